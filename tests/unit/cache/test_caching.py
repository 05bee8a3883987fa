"""What a request wants of the response cache, and the name of its answer there."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.registry import CLIENTS
from trunkline.engine.context import Context
from trunkline.model.key import Key
from trunkline.server.http.request_headers import RESPONSE_CACHE as HEADER
from trunkline.server.response_cache import (
    CLEAR,
    MOST_TTL_S,
    TTL,
    Caching,
    Kept,
    decide,
    key_of,
    seconds,
)


@pytest.mark.parametrize(
    ("value", "ttl_s"),
    [
        (None, None),
        (b"", None),
        (b"abc", None),
        (b"-", None),
        (b".5", None),
        (b"60", 60),
        (b" 60", 60),
        (b"+60", 60),
        (b"60abc", 60),
        (b"1.5", 1),
        (b"1e3", 1),
        (b"0", 1),
        (b"-5", 1),
        (b"0000000000060", 60),
        (b"86400", 86_400),
        (b"86401", 86_400),
        (b"9" * 9000, 86_400),
        (b"\xff", None),
    ],
)
def test_seconds(value: bytes | None, ttl_s: int | None) -> None:
    assert seconds(value) == ttl_s


@given(st.binary(max_size=30))
def test_any_seconds_are_within_bounds(value: bytes) -> None:
    found = seconds(value)
    assert found is None or 1 <= found <= MOST_TTL_S


@pytest.mark.parametrize("header", [None, b"true", b"false", b" TRUE ", b"False", b"1", b"yes", b""])
@pytest.mark.parametrize("preset", [None, True, False])
def test_whether(header: bytes | None, preset: bool | None) -> None:
    headers = {} if header is None else {HEADER: header}
    said = {b"true": True, b"false": False}.get((header or b"").strip().lower())
    # A preset's no, the header's no, the header's yes, the preset's yes.
    wanted = False if preset is False or said is False else said is True or preset is True
    assert (decide(headers, preset_enabled=preset) is not None) == wanted


@pytest.mark.parametrize(
    ("headers", "preset_ttl_s", "wanted"),
    [
        ({}, None, Caching(300)),
        ({}, 60, Caching(60)),
        ({}, 0, Caching(1)),
        ({}, 10**9, Caching(86_400)),
        ({TTL: b"5"}, 60, Caching(5)),
        ({TTL: b"soon"}, 60, Caching(60)),
        ({TTL: b"soon"}, None, Caching(300)),
        ({CLEAR: b"true"}, None, Caching(300, clear=True)),
        ({CLEAR: b"false"}, None, Caching(300)),
        ({CLEAR: b"1"}, None, Caching(300)),
    ],
)
def test_how(headers: dict[bytes, bytes], preset_ttl_s: int | None, wanted: Caching) -> None:
    assert decide({HEADER: b"true", **headers}, preset_ttl_s=preset_ttl_s) == wanted
    assert decide(headers, preset_enabled=True, preset_ttl_s=preset_ttl_s) == wanted
    assert decide(headers, preset_ttl_s=preset_ttl_s) is None, "to clear is not to enable"


BODY: dict[str, Any] = {"model": "acme/m", "messages": [{"role": "user", "content": "a  b"}], "stream": False}


def name(body: bytes, *, key: str = "k1", client: str = "chat") -> bytes:
    owner = cast("Key", SimpleNamespace(id=key))
    call = CLIENTS["chat"].parse(body)
    return key_of(Context(id="g", created=0, begun=0, body_bytes=0, key=owner, client=CLIENTS[client], call=call), body)


PLAIN = msgspec.json.encode(BODY)


def test_whitespace_does_not_count() -> None:
    assert {name(msgspec.json.format(PLAIN, indent=indent)) for indent in (-1, 0, 2, 7)} == {name(PLAIN)}
    assert name(b"\r\n\t" + PLAIN + b" \n") == name(PLAIN)


def test_everything_else_does() -> None:
    others = [
        msgspec.json.encode(dict(reversed(BODY.items()))),
        msgspec.json.encode({**BODY, "stream": True}),
        msgspec.json.encode({**BODY, "temperature": None}),
        msgspec.json.encode({**BODY, "model": "acme/n"}),
        msgspec.json.encode({**BODY, "models": ["acme/n"]}),
        PLAIN.replace(b"a  b", b"a b"),
        PLAIN.replace(b"a  b", b"a \\u0020b"),
    ]
    names = {name(PLAIN), name(PLAIN, key="k2"), name(PLAIN, client="messages"), *map(name, others)}
    assert len(names) == len(others) + 3
    assert all(len(one) == 64 and one.isalnum() for one in names)
    assert name(PLAIN) == name(PLAIN)


def test_what_is_kept_says_what_it_is() -> None:
    kept = Kept(v=1, source="gen-1", ttl_s=300, model="acme/m", body=b'{"a":1}')
    data = msgspec.msgpack.encode(kept)
    assert msgspec.msgpack.decode(data)["v"] == 1
    assert msgspec.msgpack.decode(data, type=Kept) == kept
    later = msgspec.msgpack.encode({**msgspec.msgpack.decode(data), "v": 2})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(later, type=Kept)
