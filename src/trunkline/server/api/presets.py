"""Presets: create versions from ordinary request bodies, list and read them.

Source: OpenRouter, "Presets"; OpenRouter's OpenAPI document, `/presets`. A preset belongs
to the key that made it; where the operator says so, all keys share one set.
"""

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.dialects.common.json_input import envelope, printable
from trunkline.dialects.interfaces import Client
from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import InvalidRequest, NotFound
from trunkline.model.preset import Preset, PresetVersion
from trunkline.presets.fields import GATEWAY_FIELDS, encode_raw
from trunkline.presets.from_body import PresetContent, parse_preset, preset_fields
from trunkline.presets.to_dialect import config_to_dialect
from trunkline.server.api.common import json, key_of, state_of
from trunkline.server.gateway_fields import check_gateway_fields
from trunkline.server.request_parsing import NO_DUPLICATES

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 100, 50
"""The maximum and the default number of entries per page."""
PLACEHOLDER_PROMPT: dict[str, tuple[str, Raw]] = {
    "chat": ("messages", encode_raw([{"role": "user", "content": "x"}])),
    "messages": ("messages", encode_raw([{"role": "user", "content": "x"}])),
    "responses": ("input", encode_raw("x")),
}
"""A client dialect → the required field that presets do not store, with a value to validate the rest of the body."""


async def create_version(client: Client, request: Request) -> Response:
    """Create a preset, or a new version of it, from a body in *client*'s dialect. No model is called."""
    key, state = key_of(request), state_of(request)
    slug = request.path_params["slug"]
    if not SLUG.fullmatch(slug):
        raise InvalidRequest(
            f"slug: {printable(slug)!r} is not valid; expected 1 to 64 letters, digits, or . _ - after the first",
            param="slug",
        )
    try:
        body = await request.body()
    except ClientDisconnect:  # or the body is too large, and the error has been sent
        return Response(status_code=413)
    content = parse_content(client, body)
    owner = state.preset_owner(key)
    made = await state.presets.put(slug, content.config, content.system, key.name, owner=owner)
    return json({"data": preset_object(made) | {"designated_version": version_object(made.version)}})


def parse_content(client: Client, body: bytes) -> PresetContent:
    """Parse *body*, in *client*'s dialect, into the content of a preset.

    Raises:
        InvalidRequest: a field is invalid in the dialect; `param` names it.
    """
    fields = envelope(body, NO_DUPLICATES)
    _check(client, preset_fields(fields))
    content = parse_preset(fields, client.name)
    _check(client, config_to_dialect(content.config, client.name).fields)
    return content


def _check(client: Client, fields: dict[str, Raw]) -> None:
    """Validate *fields* as a request; raises what the request would raise."""
    field, conversation = PLACEHOLDER_PROMPT[client.name]
    rest = {key: said for key, said in fields.items() if key not in GATEWAY_FIELDS}
    client.parse(msgspec.json.encode({"model": "x", **rest, field: conversation}))
    check_gateway_fields(fields)


async def list_presets(request: Request) -> Response:
    """The presets that the key sees, the most recently changed first."""
    key, state = key_of(request), state_of(request)
    offset, limit = _page(request)
    await state.presets.refresh()
    found = state.presets.list(state.preset_owner(key))
    return json({"data": [preset_object(one) for one in found[offset : offset + limit]], "total_count": len(found)})


async def one(request: Request) -> Response:
    """One preset with its newest version."""
    found = await _find(request)
    return json({"data": preset_object(found) | {"designated_version": version_object(found.version)}})


async def list_versions(request: Request) -> Response:
    """The versions of a preset, oldest first."""
    found = await _find(request)
    offset, limit = _page(request)
    page, total = await state_of(request).presets.versions(found, offset, limit)
    return json({"data": [version_object(one) for one in page], "total_count": total})


async def version(request: Request) -> Response:
    """One version of a preset."""
    found = await _find(request)
    said = request.path_params["version"]
    number = int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else 0
    wanted = await state_of(request).presets.version(found, number)
    if wanted is None:
        raise NotFound(f"the preset {found.slug!r} has no version {printable(said)}")
    return json({"data": version_object(wanted)})


async def _find(request: Request) -> Preset:
    key, state, slug = key_of(request), state_of(request), request.path_params["slug"]
    await state.presets.refresh()
    found = state.presets.find(slug, state.preset_owner(key))
    if found is None:
        raise NotFound(f"there is no preset {printable(slug)!r}")
    return found


def _page(request: Request) -> tuple[int, int]:
    return _parse_page_number(request, "offset", 0, 0, 2**31), _parse_page_number(
        request, "limit", DEFAULT_PAGE_SIZE, 1, MAX_PAGE_SIZE
    )


def _parse_page_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    said = request.query_params.get(name, "")
    if not said:
        return default
    number = int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else -1
    if not least <= number <= most:
        raise InvalidRequest(f"{name}: expected a number from {least} to {most}", param=name)
    return number


def preset_object(preset: Preset) -> dict[str, Any]:
    """The wire form of a preset without its versions. There are no users and no workspaces."""
    return {
        "id": preset.id,
        "creator_user_id": None,
        "workspace_id": None,
        "name": preset.slug,
        "slug": preset.slug,
        "description": None,
        "status": "active",
        "designated_version_id": preset.version.id,
        "created_at": _time(preset.created),
        "updated_at": _time(preset.updated),
        "status_updated_at": None,
    }


def version_object(found: PresetVersion) -> dict[str, Any]:
    """The wire form of a version. The creator is the name of a key."""
    return {
        "id": found.id,
        "preset_id": found.preset_id,
        "creator_id": found.creator,
        "version": found.version,
        "system_prompt": found.system,
        "config": found.config,
        "created_at": _time(found.created),
        "updated_at": _time(found.created),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


ROUTES = [
    Route("/presets", list_presets),
    Route("/presets/{slug}", one),
    Route("/presets/{slug}/versions", list_versions),
    Route("/presets/{slug}/versions/{version}", version),
    Route("/presets/{slug}/chat/completions", partial(create_version, CLIENTS["chat"]), methods=["POST"]),
    Route("/presets/{slug}/messages", partial(create_version, CLIENTS["messages"]), methods=["POST"]),
    Route("/presets/{slug}/responses", partial(create_version, CLIENTS["responses"]), methods=["POST"]),
]
