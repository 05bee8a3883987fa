"""What a name stands for. The rows of `cases/names.toml` go the whole way; here are the corners."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.catalog.model_names import SUFFIXES, ModelNames, ResolvedModel
from trunkline.model.endpoint import Model


def model(name: str, **said: Any) -> Model:
    return Model(id=name, name=name, endpoints=(), **said)


SMALL = model("acme/small", aliases=("tiny", "acme/little"))
FREE = model("acme/small:free")
BATCH = model("acme/small:batch")
LARGE = model("acme/large-1.10-turbo", aliases=("acme/small",))
NAMES = ModelNames([SMALL, FREE, BATCH, LARGE])


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("acme/small", ResolvedModel(model=SMALL)),
        ("tiny", ResolvedModel(model=SMALL, strategy="alias")),
        ("acme/small:free", ResolvedModel(model=FREE)),
        ("acme/little:free", ResolvedModel(model=FREE, strategy="alias")),
        ("acme/small:batch", ResolvedModel(model=BATCH)),
        ("acme/small:free:nitro", ResolvedModel(model=FREE, suffixes=("nitro",))),
        ("acme/small:nitro:free", ResolvedModel(model=FREE, suffixes=("nitro",))),
        ("acme/small:nitro:floor", ResolvedModel(model=SMALL, suffixes=("nitro", "floor"))),
        ("tiny:online:thinking", ResolvedModel(model=SMALL, strategy="alias", suffixes=("online", "thinking"))),
        ("acme/large-latest", ResolvedModel(model=LARGE, strategy="latest")),
        ("~acme/large-1.10-latest", ResolvedModel(model=LARGE, strategy="latest")),
        ("~acme/large-1.10-turbo-latest", ResolvedModel(model=LARGE, strategy="latest")),
        ("~acme/large-latest:free", ResolvedModel(model=LARGE, strategy="latest", suffixes=("free",))),
        ("acme/small:swift", None),
        ("acme/little:batch", None),
        ("acme/small:", None),
        (":free", None),
        ("", None),
        ("~acme/small", None),
        ("~tiny-latest", None),
        ("acme/-latest", None),
        ("-latest", None),
        ("acme/large-1-latest", None),
        ("ACME/small", None),
    ],
)
def test_names(name: str, named: ResolvedModel | None) -> None:
    for _ in range(2):  # the second time it is remembered
        assert NAMES.resolve(name) == named


def test_an_id_goes_before_an_alias_and_the_first_alias_before_others() -> None:
    first, other = model("a/one", aliases=("x",)), model("a/two", aliases=("x", "a/one"))
    names = ModelNames([first, other])
    assert names.resolve("x") == ResolvedModel(model=first, strategy="alias")
    assert names.resolve("a/one") == ResolvedModel(model=first)


def latest(*models: Model, name: str = "~a/m-latest") -> str | None:
    found = ModelNames(models).resolve(name)
    return None if found is None else found.model.id


def test_the_latest_is_the_newest() -> None:
    assert latest(model("a/m-9", created=1), model("a/m-2", created=2)) == "a/m-2"


def test_of_one_day_the_highest_version_is_the_latest() -> None:
    assert latest(model("a/m-2"), model("a/m-10"), model("a/m-9.9")) == "a/m-10"
    assert latest(model("a/m-4.5"), model("a/m-4.10")) == "a/m-4.10"


def test_the_latest_is_never_hidden_nor_a_variant_nor_another_latest() -> None:
    assert latest(
        model("a/m-1", created=1),
        model("a/m-2", created=2, hidden=True),
        model("a/m-3:free", created=3),
        model("a/m-latest", created=4),
    ) == "a/m-1"  # fmt: skip
    assert latest(model("a/m-2", hidden=True)) is None
    assert latest(model("a/m-latest")) is None


def test_a_family_ends_at_a_hyphen() -> None:
    models = (model("a/max-1"), model("a/maximal-9"))
    assert latest(*models, name="~a/max-latest") == "a/max-1"
    assert latest(*models, name="~a/maxi-latest") is None


def test_name_cache_is_bounded() -> None:
    names = ModelNames([SMALL])
    for number in range(ModelNames.MAX_REMEMBERED + 10):
        assert names.resolve(f"nobody/{number}") is None
    assert names.resolve("acme/small:nitro") == ResolvedModel(model=SMALL, suffixes=("nitro",))
    assert len(names._resolved) == ModelNames.MAX_REMEMBERED


@given(
    suffixes=st.lists(st.sampled_from([*SUFFIXES, "batch", "swift", ""]), max_size=5),
    base=st.sampled_from(["acme/small", "tiny", "x"]),
)
def test_any_suffixes_resolve_or_the_name_is_unknown(suffixes: list[str], base: str) -> None:
    named = NAMES.resolve(":".join([base, *suffixes]))
    if named is not None:
        own = named.model.id.partition(":")[2]
        assert {*named.suffixes, own} - {""} == set(suffixes)
