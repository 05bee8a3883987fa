"""Malformed and doubtful HTTP/1.1 requests, with the status that nginx gives each.

The set follows three public ones, written anew for a request with two bytes of body: h1spec
(github.com/uNetworking/h1spec), "The HTTP Garden" (github.com/narfindustries/http-garden) and "HTTP Desync Attacks"
(portswigger.net/research). `nginx` is what nginx 1.22 answers with `proxy_pass`; 0 is an answer without a status.
`ours` is given where Trunkline answers differently, with the reason.
"""

from typing import NamedTuple


class Case(NamedTuple):
    """One request. `ours` is None where it is nginx's status."""

    name: str
    raw: bytes
    nginx: int
    ours: int | None = None
    why: str = ""

    @property
    def expected(self) -> int:
        """The status that Trunkline gives."""
        return self.nginx if self.ours is None else self.ours


P = b"GET /health/live HTTP/1.1\r\n"
H = b"Host: localhost\r\n"
L = b"Content-Length: 2\r\n"
T = b"Transfer-Encoding: chunked\r\n"
CHUNKED = b"\r\n2\r\n{}\r\n0\r\n\r\n"


def head(*lines: bytes) -> bytes:
    return P + b"".join(lines) + b"\r\n{}"


CASES = (
    Case("good length", head(H, L), 200),
    Case("good chunked", P + H + T + CHUNKED, 200),
    Case("no version", b"GET /health/live\r\n" + H + L + b"\r\n{}", 0, 505, "HTTP/0.9 is not supported"),
    Case("version 0.9", b"GET /health/live HTTP/0.9\r\n" + H + b"\r\n", 400, 505, "the version is not supported"),
    Case("version 1.2", b"GET /health/live HTTP/1.2\r\n" + H + b"\r\n", 200, 400, "only 1.0 and 1.1 are"),
    Case("version 2.0", b"GET /health/live HTTP/2.0\r\n" + H + b"\r\n", 505),
    Case("version 3.0", b"GET /health/live HTTP/3.0\r\n" + H + b"\r\n", 505, 400, "the parser refuses it"),
    Case("version 11", b"GET /health/live HTTP/11\r\n" + H + b"\r\n", 505, 400, "the parser refuses it"),
    Case("version word", b"GET /health/live HTTP/x.y\r\n" + H + b"\r\n", 400),
    Case("lower-case version", b"GET /health/live http/1.1\r\n" + H + b"\r\n", 400),
    Case("version with spaces", b"GET /health/live HTTP/ 1.1\r\n" + H + b"\r\n", 400),
    Case("two spaces after the method", b"GET  /health/live HTTP/1.1\r\n" + H + b"\r\n", 200),
    Case("two spaces before the version", b"GET /health/live  HTTP/1.1\r\n" + H + b"\r\n", 200),
    Case("tab in the request line", b"GET\t/health/live HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("space in the path", b"GET /health live HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("NUL in the path", b"GET /health\0 HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("CR in the path", b"GET /health\rlive HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case(
        "fragment in the path", b"GET /health/live#x HTTP/1.1\r\n" + H + b"\r\n", 200, 404, "it is part of no path here"
    ),
    Case("path without slash", b"GET health/live HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("lower-case method", b"get /health/live HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case(
        "unknown method",
        b"BREW /health/live HTTP/1.1\r\n" + H + b"\r\n",
        200,
        400,
        "the parser knows the registered methods only",
    ),
    Case("method with a control", b"G\x01T /health/live HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("CONNECT", b"CONNECT a:443 HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("TRACE", b"TRACE /health/live HTTP/1.1\r\n" + H + b"\r\n", 405),
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    Case("TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"a" * 40, 400),
    Case("leading CRLF", b"\r\n" + head(H, L), 200),
    Case("leading space", b" " + head(H, L), 400),
    Case("no Host", head(L), 400),
    Case("two Hosts", head(H, b"Host: b\r\n", L), 400),
    Case("two equal Hosts", head(H, H, L), 400),
    Case("empty Host", head(b"Host:\r\n", L), 400),
    Case("Host with space", head(b"Host: a b\r\n", L), 400),
    Case("Host with slash", head(b"Host: a/b\r\n", L), 400),
    Case("Host with user", head(b"Host: u@a\r\n", L), 200, 400, "RFC 9112 §3.2: an invalid Host is 400"),
    Case("Host with a bad port", head(b"Host: a:x\r\n", L), 200, 400, "RFC 9112 §3.2: an invalid Host is 400"),
    Case("Host with NUL", head(b"Host: a\0b\r\n", L), 400),
    Case("HTTP/1.0 without Host", b"GET /health/live HTTP/1.0\r\n\r\n", 200),
    Case("absolute target", b"GET http://b/health/live HTTP/1.1\r\n" + H + b"\r\n", 200),
    Case("absolute target with user", b"GET http://u@b/health/live HTTP/1.1\r\n" + H + b"\r\n", 400),
    Case("space before the colon", head(H, b"X-A : b\r\n", L), 400),
    Case("no colon", head(H, b"X-A\r\n", L), 200, 400, "a line that is no field is never skipped"),
    Case("empty name", head(H, b": b\r\n", L), 400),
    Case("name with a control", head(H, b"X\x01A: b\r\n", L), 400),
    Case("name with NUL", head(H, b"X\0A: b\r\n", L), 400),
    Case("name with a space", head(H, b"X A: b\r\n", L), 400),
    Case("name with an umlaut", head(H, b"X\xe4: b\r\n", L), 200, 400, "a field name is a token"),
    Case("name with a parenthesis", head(H, b"X(A): b\r\n", L), 200, 400, "a field name is a token"),
    Case("value with NUL", head(H, b"X-A: b\0c\r\n", L), 400),
    Case("value with a control", head(H, b"X-A: b\x01c\r\n", L), 200, 400, "a field value has no controls"),
    Case("value with CR", head(H, b"X-A: b\rc\r\n", L), 400),
    Case("value with DEL", head(H, b"X-A: b\x7fc\r\n", L), 200, 400, "a field value has no controls"),
    Case("value in Latin-1", head(H, b"X-A: \xe4\r\n", L), 200),
    Case("empty value", head(H, b"X-A:\r\n", L), 200),
    Case("folded header", head(H, b"X-A: b\r\n c\r\n", L), 400),
    Case("folded first header", P + b" X-A: b\r\n" + H + L + b"\r\n{}", 400),
    Case("bare LF", head(H, L).replace(b"\r\n", b"\n"), 200, 400, "a bare LF ends no line"),
    Case("bare LF after one header", head(H, b"X-A: b\n", L), 200, 400, "a bare LF ends no line"),
    Case("LF CR", head(H, L).replace(b"\r\n", b"\n\r"), 400),
    Case("two lengths", head(H, L, b"Content-Length: 3\r\n"), 400),
    Case("two equal lengths", head(H, L, L), 400),
    Case("length list", head(H, b"Content-Length: 2, 2\r\n"), 400),
    Case("negative length", head(H, b"Content-Length: -2\r\n"), 400),
    Case("plus length", head(H, b"Content-Length: +2\r\n"), 400),
    Case("hex length", head(H, b"Content-Length: 0x2\r\n"), 400),
    Case("word length", head(H, b"Content-Length: two\r\n"), 400),
    Case("empty length", head(H, b"Content-Length:\r\n"), 400),
    Case("length with a space", head(H, b"Content-Length: 2 2\r\n"), 400),
    Case("huge length", head(H, b"Content-Length: 99999999999999999999999\r\n"), 400),
    Case("length with an underscore", head(H, b"Content-Length: 1_0\r\n"), 400),
    Case("length and chunked", P + H + L + T + CHUNKED, 400),
    Case("chunked and length", P + H + T + L + CHUNKED, 400),
    Case("two chunked", P + H + T + T + CHUNKED, 400),
    Case(
        "chunked, chunked",
        P + H + b"Transfer-Encoding: chunked, chunked\r\n" + CHUNKED,
        501,
        400,
        "both refuse the coding",
    ),
    Case(
        "gzip, chunked", P + H + b"Transfer-Encoding: gzip, chunked\r\n" + CHUNKED, 501, 400, "both refuse the coding"
    ),
    Case(
        "chunked, gzip", P + H + b"Transfer-Encoding: chunked, gzip\r\n" + CHUNKED, 501, 400, "both refuse the coding"
    ),
    Case("identity", P + H + b"Transfer-Encoding: identity\r\n" + L + b"\r\n{}", 501, 400, "both refuse the coding"),
    Case("xchunked", P + H + b"Transfer-Encoding: xchunked\r\n" + CHUNKED, 501, 400, "both refuse the coding"),
    Case("upper-case chunked", P + H + b"Transfer-Encoding: CHUNKED\r\n" + CHUNKED, 200),
    Case("quoted chunked", P + H + b'Transfer-Encoding: "chunked"\r\n' + CHUNKED, 501, 400, "both refuse the coding"),
    Case(
        "chunked with a vertical tab",
        P + H + b"Transfer-Encoding:\x0bchunked\r\n" + CHUNKED,
        501,
        400,
        "both refuse the coding",
    ),
    Case("chunked with a space before the colon", P + H + b"Transfer-Encoding : chunked\r\n" + CHUNKED, 400),
    Case(
        "chunked with a tab",
        P + H + b"Transfer-Encoding:\tchunked\r\n" + CHUNKED,
        501,
        200,
        "RFC 9110 §5.6.3: a tab is white space",
    ),
    Case(
        "empty transfer-encoding", P + H + b"Transfer-Encoding:\r\n" + L + b"\r\n{}", 501, 400, "both refuse the coding"
    ),
    Case("chunked in HTTP/1.0", P.replace(b"1.1", b"1.0") + H + T + CHUNKED, 400),
    Case("chunk size with 0x", P + H + T + b"\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk size with plus", P + H + T + b"\r\n+2\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk size negative", P + H + T + b"\r\n-2\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk size empty", P + H + T + b"\r\n\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk size huge", P + H + T + b"\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk size with a space", P + H + T + b"\r\n2 \r\n{}\r\n0\r\n\r\n", 200, 400, "a chunk size is digits"),
    Case("chunk size with a space before", P + H + T + b"\r\n 2\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk size with an underscore", P + H + T + b"\r\n0_2\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk extension", P + H + T + b"\r\n2;a=b\r\n{}\r\n0\r\n\r\n", 200),
    Case("chunk extension with LF", P + H + T + b"\r\n2;a\nb\r\n{}\r\n0\r\n\r\n", 400),
    Case("chunk too long", P + H + T + b"\r\n2\r\n{}x\r\n0\r\n\r\n", 400),
    Case("chunk without CRLF", P + H + T + b"\r\n2\r\n{}0\r\n\r\n", 400),
    Case("chunk with bare LF", P + H + T + b"\r\n2\n{}\n0\n\n", 200, 400, "a bare LF ends no line"),
    Case("trailer", P + H + T + b"\r\n2\r\n{}\r\n0\r\nX-A: b\r\n\r\n", 200),
    Case(
        "malformed trailer",
        P + H + T + b"\r\n2\r\n{}\r\n0\r\nX A\r\n\r\n",
        200,
        400,
        "a line that is no field is never skipped",
    ),
    Case("Expect: other", head(H, L, b"Expect: 200-ok\r\n"), 200),
    Case(
        "200 headers",
        head(H, L, *[b"X-%d: b\r\n" % n for n in range(200)]),
        200,
        431,
        "a request has at most 100 headers",
    ),
    Case("40 KiB header", head(H, L, b"X-A: " + b"b" * 40000 + b"\r\n"), 400, 431, "RFC 6585 §5"),
    Case("9 KiB path", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
)
