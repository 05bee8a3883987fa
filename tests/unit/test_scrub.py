"""Upstream words made fit for others (S4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.engine.error_scrubbing import Scrubber
from trunkline.providers.provider import Provider

ACME = Provider(slug="acme", name="Acme", base_url="https://api.acme.example:8443/v1", dialect="chat")
SECRET = "hunter2-(very+secret)"
SCRUBBER = Scrubber(frozenset({SECRET, "hunter2-(very+secret)-longer", "short"}))


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (f"bad key {SECRET}!", "bad key [key]!"),
        (f"bad key {SECRET}-longer!", "bad key [key]!"),
        (f'{{"key":"{SECRET}"}}', '{"key":"[key]"}'),
        ("a short word stays", "a short word stays"),
        ("Incorrect API key provided: sk-proj-abcDEF123456.", "Incorrect API key provided: [key]"),
        ("sk-ant-api03-AbCdEf_123 was revoked", "[key] was revoked"),
        ("key gsk_abcdefgh123", "key [key]"),
        ("sk-*********************1234", "[key]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[key]"),
        ("Authorization: Bearer abc.def", "Authorization: [key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("token ya29.c.b0AXv0zTP_x-y.z is old", "token [key] is old"),
        ("ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl+/A=", "[key]"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def", "token [key]"),
        ("deadbeefdeadbeefdeadbeefdeadbeef", "[key]"),
        ("see https://api.acme.example:8443/v1/x?key=1 now", "see [address] now"),
        ("http://internal:80/", "[address]"),
        ("no route to 10.1.2.3:8080", "no route to [address]"),
        ("cannot reach api.acme.example:8443", "cannot reach [address]:8443"),
        ("cannot reach API.ACME.EXAMPLE", "cannot reach [address]"),
        ("organization org-AbCdEf123456", "organization [account]"),
        ("user_1234567890 is blocked", "[account] is blocked"),
        ('File "/usr/lib/python3/site.py", line 5', 'File "[path]", line 5'),
        ("/home/acme/run.sh: not found", "[path]: not found"),
        ("max_tokens must be below 4096", "max_tokens must be below 4096"),
        ("and/or either/home", "and/or either/home"),
        ("use temperature 0.7, top_p 1.0", "use temperature 0.7, top_p 1.0"),
        ("", ""),
    ],
)
def test_what_is_left(words: str, left: str) -> None:
    assert SCRUBBER.scrub(words, ACME) == left


@given(before=st.text(max_size=20), after=st.text(max_size=20), secret=st.text(min_size=6, max_size=20))
def test_no_secret_that_is_known_is_left(before: str, after: str, secret: str) -> None:
    scrubbed = Scrubber(frozenset({secret})).scrub(before + secret + after, ACME)
    whole = before + "[key]" + after
    assert secret not in scrubbed or secret in whole or secret in "[key][address][account][path]"


def test_without_secrets_and_without_a_host() -> None:
    demo = Provider(slug="demo", name="Demo", base_url="demo:", dialect="chat")
    assert Scrubber(frozenset()).scrub("words", demo) == "words"
