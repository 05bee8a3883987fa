"""The error tree: each class answers four questions, and the table at the head of the module says the same."""

import re
from collections.abc import Iterator

import pytest

from trunkline.model import errors
from trunkline.model.errors import MAX_UPSTREAM_WORDS, Internal, TrunklineError


def below(kind: type[TrunklineError] = TrunklineError) -> Iterator[type[TrunklineError]]:
    for found in kind.__subclasses__():
        yield found
        yield from below(found)


KINDS = [kind for kind in below() if kind.__module__ == errors.__name__]
ROW = re.compile(
    r"^    (?:  )?([A-Z]\w+)\s{2,}(caller|upstream|ours)\s+(\S+|the last one's)\s{2,}(.+?)\s{2,}(.+)$", re.MULTILINE
)
TABLE = {row[1]: row for row in ROW.finditer(errors.__doc__ or "")}


def test_the_table_names_every_class() -> None:
    assert set(TABLE) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_table_is_right(kind: type[TrunklineError]) -> None:
    _, fault, status, another, billed = TABLE[kind.__name__].groups()
    assert kind.fault == fault
    assert status in (str(kind.status), "the last one's")
    assert kind.another_endpoint == (not another.startswith("no"))
    assert kind.billed == (billed != "no")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_class_raises_with_its_attributes(kind: type[TrunklineError]) -> None:
    assert kind.__doc__
    assert 400 <= kind.status < 600
    assert (kind.fault == "caller") == (kind.status < 500 and kind is not errors.UpstreamLimited)
    error = kind("what is wrong", raw="x" * 5000)
    assert str(error) == error.message == "what is wrong"
    assert (error.kind, error.http_status) == (kind.error_type, kind.status)
    assert error.raw == "x" * MAX_UPSTREAM_WORDS
    assert error.metadata == {}
    assert error.attempts == ()


def test_error_type_can_be_overridden() -> None:
    error = errors.UpstreamRejected("no", error_type="content_policy_violation")
    assert error.kind == "content_policy_violation"
    assert error.error_type == "invalid_request"


def test_metadata_is_not_shared() -> None:
    one = Internal("a")
    one.metadata["x"] = 1
    assert Internal("b").metadata == {}
