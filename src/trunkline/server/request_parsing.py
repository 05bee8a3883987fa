"""Parse a request's body, merged with the preset that it refers to. Source: OpenRouter, "Presets"."""

import msgspec

from trunkline.dialects.common.json_input import envelope, printable
from trunkline.dialects.common.request_fields import value
from trunkline.dialects.interfaces import Call, Client
from trunkline.model.errors import InvalidRequest, NotFound
from trunkline.model.preset import Preset, PresetUse
from trunkline.presets.fields import CACHE_ENABLED, CACHE_TTL
from trunkline.presets.merge import MODEL_PREFIX, find_reference, merge_preset
from trunkline.presets.to_dialect import DialectFields, version_to_dialect
from trunkline.server.gateway_fields import apply_gateway_fields
from trunkline.storage.presets import PresetStore

NO_DUPLICATES = (b'"model"', b'"messages"', b'"provider"', b'"preset"')
MIN_TTL_S, MAX_TTL_S = 1, 86_400
"""The range of a cached response's lifetime. Source: OpenRouter, "Response caching"."""

_encoder = msgspec.json.Encoder()


def parse(client: Client, presets: PresetStore, owner: str, body: bytes) -> tuple[Call, PresetUse | None]:
    """Parse *body* in *client*'s dialect, merged with the preset that it refers to: one that *owner* sees.

    The preset is None where there is none.

    Raises:
        NotFound: the preset does not exist.
        InvalidRequest: as `Client.parse` and `apply_gateway_fields`.
    """
    call, preset = _merge(client, presets, owner, body)
    return apply_gateway_fields(call), preset


def _merge(client: Client, presets: PresetStore, owner: str, body: bytes) -> tuple[Call, PresetUse | None]:
    try:
        call = client.parse(body)
    except InvalidRequest:
        if b"preset" not in body:
            raise
    else:
        if "preset" not in call.envelope and (call.model is None or MODEL_PREFIX not in call.model):
            return call, None
    found = find_reference(envelope(body, NO_DUPLICATES))
    if found is None:
        return client.parse(body), None
    preset = presets.find(found.slug, owner)
    if preset is None:
        raise NotFound(f"{found.param}: there is no preset {printable(found.slug)!r}", param=found.param)
    preset_part = version_to_dialect(preset.version, client.name)
    merged = _encoder.encode(merge_preset(found.rest, preset_part.fields, preset.version.system, client.name))
    try:
        call = client.parse(merged)
    except InvalidRequest as error:
        error.message = f"{error.message} (with the preset {preset.slug!r})"
        raise
    return call, _preset_use(preset, preset_part, len(merged) - len(body))


def _preset_use(preset: Preset, preset_part: DialectFields, grown: int) -> PresetUse:
    config = preset.version.config
    enabled = value(config[CACHE_ENABLED]) if CACHE_ENABLED in config else None
    ttl = value(config[CACHE_TTL]) if CACHE_TTL in config else None
    return PresetUse(
        id=preset.id,
        slug=preset.slug,
        version_id=preset.version.id,
        version=preset.version.version,
        cache_enabled=enabled,
        cache_ttl_s=None if ttl is None else min(max(ttl, MIN_TTL_S), MAX_TTL_S),
        added_bytes=max(grown, 0),
        losses=preset_part.losses,
    )
