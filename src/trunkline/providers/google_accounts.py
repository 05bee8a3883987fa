"""Google service accounts: from the JSON file to an access token. Pure functions.

A service account signs a JWT with its RSA key and exchanges it at the token endpoint for an access token that is valid
for one hour (RFC 7523). The file written by `gcloud auth application-default login` contains a refresh token instead;
it is supported too. Other kinds (workload identity federation) are refused with an error. Signing requires the package
`cryptography`, which the extra `trunkline[vertex]` installs.

Sources: developers.google.com "Using OAuth 2.0 for Server to Server Applications", "Using OAuth 2.0 for Web Server
Applications" (refreshing), the code of google-auth; read 2026-11-26.
"""

import base64
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
LIFETIME_S = 3600
MAX_FILE_BYTES = 64 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class GoogleAccount(Struct, frozen=True, kw_only=True):
    """The account in the file. `kind` determines which fields are set."""

    kind: Literal["service_account", "authorized_user"]
    token_uri: str = TOKEN_URI
    email: str = ""
    key_id: str = ""
    private_key: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    project: str = ""
    """The project in the file; empty where it has none."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """All values that must never be shown."""
        return tuple(one for one in (self.private_key, self.client_secret, self.refresh_token) if one)

    def __repr__(self) -> str:
        """Without secrets."""
        return f"Account(kind={self.kind!r}, email={self.email!r})"


class _AccountFile(Struct, frozen=True, kw_only=True):
    type: str = ""
    token_uri: str = TOKEN_URI
    client_email: str = ""
    private_key_id: str = ""
    private_key: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    project_id: str = ""
    quota_project_id: str = ""


class AccountUnusable(ValueError):
    """A service account cannot be used. The message states the reason and contains no secret."""


def load_account(said: str) -> GoogleAccount:
    """Load the account from *said*: the JSON text itself, or the path of its file.

    Raises:
        AccountUnusable: it cannot be read, or its kind is not supported.
    """
    text = said.strip()
    if text.startswith("{"):
        return parse_account(text.encode())
    try:
        with Path(text).expanduser().open("rb") as file:
            return parse_account(file.read(MAX_FILE_BYTES))
    except OSError as error:
        raise AccountUnusable(f"the file cannot be read: {error.strerror}") from error


def parse_account(text: bytes) -> GoogleAccount:
    """Parse the content of an account file.

    Raises:
        AccountUnusable: as `load_account`.
    """
    try:
        said = msgspec.json.decode(text, type=_AccountFile)
    except msgspec.MsgspecError:
        raise AccountUnusable("it is not valid service account JSON") from None
    if not _is_safe_token_uri(said.token_uri):
        raise AccountUnusable("its token_uri is not an https address")
    project = said.project_id or said.quota_project_id
    if said.type == "service_account" and said.client_email and said.private_key:
        if find_spec("cryptography") is None:
            raise AccountUnusable("signing requires a package: pip install 'trunkline[vertex]'")
        return GoogleAccount(
            kind="service_account",
            token_uri=said.token_uri,
            email=said.client_email,
            key_id=said.private_key_id,
            private_key=said.private_key,
            project=project,
        )
    if said.type == "authorized_user" and said.client_id and said.client_secret and said.refresh_token:
        return GoogleAccount(
            kind="authorized_user",
            token_uri=said.token_uri,
            client_id=said.client_id,
            client_secret=said.client_secret,
            refresh_token=said.refresh_token,
            project=project,
        )
    if said.type in ("service_account", "authorized_user"):
        raise AccountUnusable("a required field is missing")
    raise AccountUnusable("it is neither a service account nor a user's application-default credentials")


def _is_safe_token_uri(url: str) -> bool:
    """Whether the assertion may be sent to *url*: over TLS, or to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def token_request_body(account: GoogleAccount, now: float) -> bytes:
    """The body of the token request, `application/x-www-form-urlencoded`. *now* is Unix seconds.

    Raises:
        AccountUnusable: the private key cannot sign.
    """
    if account.kind == "authorized_user":
        fields = {
            "grant_type": "refresh_token",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
            "refresh_token": account.refresh_token,
        }
    else:
        fields = {"grant_type": JWT_BEARER_GRANT, "assertion": signed_assertion(account, now)}
    return urlencode(fields).encode()


def signed_assertion(account: GoogleAccount, now: float) -> str:
    """The signed JWT of a service account. *now* is Unix seconds.

    Raises:
        AccountUnusable: the private key cannot sign.
    """
    issued = int(now)
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": account.key_id} if account.key_id else {})
    claims = {
        "iss": account.email,
        "sub": account.email,
        "aud": account.token_uri,
        "iat": issued,
        "exp": issued + LIFETIME_S,
        "scope": SCOPE,
    }
    signed = f"{_base64url(msgspec.json.encode(header))}.{_base64url(msgspec.json.encode(claims))}"
    return f"{signed}.{_base64url(_signature(account.private_key, signed.encode()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(private_key: str, data: bytes) -> bytes:
    # Imported here because it is an extra that only one provider needs.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AccountUnusable("its private key cannot be read") from None
    if not isinstance(key, RSAPrivateKey):
        raise AccountUnusable("its private key is not an RSA key")
    return key.sign(data, PKCS1v15(), SHA256())


class _TokenResponse(Struct, frozen=True, kw_only=True):
    access_token: str
    expires_in: int = LIFETIME_S


def parse_token_response(body: bytes) -> tuple[str, float]:
    """The access token in the token endpoint's response, and its lifetime in seconds.

    Raises:
        ValueError: the response contains no valid token.
    """
    try:
        said = msgspec.json.decode(body, type=_TokenResponse)
    except msgspec.MsgspecError:
        raise ValueError("the token endpoint's response contains no token") from None
    if not said.access_token.isascii() or not said.access_token.isprintable() or " " in said.access_token:
        raise ValueError("the token endpoint's token cannot be sent in a header")
    return said.access_token, float(said.expires_in)


def vertex_host(region: str) -> str:
    """The host of Vertex for *region*: `us-central1`, the multi-regions `us` and `eu`, or `global`.

    Source: docs.cloud.google.com, "Deployments and endpoints", read 2026-11-26.
    """
    if region == "global":
        return "aiplatform.googleapis.com"
    if region in ("us", "eu"):
        return f"aiplatform.{region}.rep.googleapis.com"
    return f"{region}-aiplatform.googleapis.com"
