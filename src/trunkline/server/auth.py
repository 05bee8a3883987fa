"""Authenticate a request by its API key. Source: OpenRouter, "API overview"; docs/reference/reliability.md, S2."""

import hashlib

from trunkline.model.errors import Unauthenticated
from trunkline.model.key import ANONYMOUS, Key
from trunkline.ports import Clock, KeyStore

Headers = dict[bytes, bytes]


def key_from_headers(headers: Headers) -> bytes | None:
    """The API key in `Authorization: Bearer` or `x-api-key`; None where there is none."""
    shown = headers.get(b"authorization")
    if shown is not None and shown[:7].lower() == b"bearer ":
        return shown[7:].strip() or None
    return headers.get(b"x-api-key") or None


def key_digest(headers: Headers) -> str | None:
    """The hex SHA-256 of the API key in *headers*, by which it is looked up; None where there is none."""
    secret = key_from_headers(headers)
    return None if secret is None else hashlib.sha256(secret).hexdigest()


def authenticate(digest: str | None, keys: KeyStore, clock: Clock, *, required: bool) -> Key:
    """The key whose hex SHA-256 is *digest*; *digest* is None for a request without a key.

    Where keys are not required, a request without a key or with an unknown key gets the key `anonymous`: official
    clients always send a key.

    Raises:
        Unauthenticated: the key is missing, unknown, disabled or expired; the last three give the same message.
    """
    if digest is not None:
        key = keys.find(digest)
        if key is not None and not key.disabled and (key.expires is None or key.expires > clock.now()):
            return key
    if not required:
        return ANONYMOUS
    if digest is None:
        raise Unauthenticated("Missing Authentication header: send `Authorization: Bearer <key>` or `x-api-key: <key>`")
    raise Unauthenticated("The API key is not valid")
