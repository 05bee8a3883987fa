"""The table of routing: each row of `cases/*.toml` is a request, what was before it, and who is asked or why nobody is.

A row goes the whole way: its file's catalog is built as a configuration's, its body is parsed by its dialect, and the
gateway's own `Router` decides, with a scripted draw. What a row may say is in `Row`; sources are in the files.
"""

import tomllib
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from trunkline.catalog.catalog import Catalog, build_catalog
from trunkline.catalog.config import ModelSettings
from trunkline.dialects.interfaces import Call, Client
from trunkline.dialects.registry import CLIENTS
from trunkline.engine.credentials import Credentials
from trunkline.engine.router import Route, Router, memory
from trunkline.model.endpoint import DataPolicy, Endpoint
from trunkline.model.errors import TrunklineError, UpstreamLimited
from trunkline.model.key import ANONYMOUS
from trunkline.model.usage import Usage
from trunkline.providers.provider import Credential, Provider
from trunkline.routing.config import PolicySettings, RoutingSettings
from trunkline.routing.requirements import unsupported_parameters
from trunkline.routing.statistics import Statistics

NOW = 100_000.0
BARE: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 16},
    "responses": {"input": "Hi"},
}
"""The least that each dialect takes."""


class ProviderRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A provider of a file."""

    name: str
    training: bool | None = None
    zdr: bool | None = None
    region: str = ""


class Happened(Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint has done lately. Ages are in seconds."""

    failed: tuple[float, ...] = ()
    """Ages of failures."""
    limited: tuple[float, ...] = ()
    """Ages of 429s."""
    served: int = 0
    """Answers, at `age`, with a `latency` to the first token and a `speed` in tokens a second."""
    age: float = 60.0
    latency: float | None = None
    speed: float | None = None
    slow: int = 0
    """Further answers, with a tenth of the speed and ten times the latency."""
    good_tools: int = 0
    bad_tools: int = 0
    """Answers with tool calls that were valid, and not."""
    recovered: float | None = None
    """Age of a probe that was answered."""


class Earlier(Struct, frozen=True, forbid_unknown_fields=True):
    """A request like the row's, without preferences, that was served before; what else differs is said."""

    by: str
    """The tag of the endpoint that served it."""
    ago: float = 60.0
    cached: int = 0
    cache_write: int = 0
    key: str = "anonymous"
    model: str | None = None
    header: str | None = None
    body: dict[str, Any] = {}


class Refused(Struct, frozen=True, forbid_unknown_fields=True):
    """The error that a client would get. `says` is parts of its message."""

    status: int
    code: str | None = None
    by: list[str] | None = None
    says: tuple[str, ...] = ()
    param: str | None = None


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """One row. `tried` is the tags in order, or `refused` the error."""

    it: str
    tried: str | None = None
    refused: Refused | None = None
    through: str | None = None
    """The models of the plan, where there are several."""
    strategy: str | None = None
    sticky: str | None = None
    dialect: str = "chat"
    model: str = "acme/small"
    """Empty: the request names none."""
    provider: dict[str, Any] | None = None
    body: dict[str, Any] = {}
    """Further fields, and those of `BARE` that are others."""
    words: int = 0
    """Of a prompt that is long."""
    header: str | None = None
    """`x-session-id`."""
    account: RoutingSettings = RoutingSettings()
    key: PolicySettings = PolicySettings()
    happened: dict[str, Happened] = {}
    """By tag."""
    resting: tuple[str, ...] = ()
    """Providers of which every credential rests."""
    earlier: Earlier | None = None
    draws: tuple[float, ...] | None = None
    """What the draw gives, all of which must be used; else one half every time, so that it is the order of prices."""


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the table."""

    providers: dict[str, ProviderRow]
    models: dict[str, ModelSettings]
    rows: tuple[Row, ...]


FOLDER = Path(__file__).parent / "cases"


@cache
def read(theme: str) -> tuple[File, Catalog]:
    said = tomllib.loads((FOLDER / f"{theme}.toml").read_text())
    file = msgspec.convert(said, File, strict=False)
    providers = {
        slug: Provider(
            slug=slug, name=row.name, base_url=f"https://{slug}.example/v1", dialect="chat",
            credentials=(Credential(id="one", secret="s"), Credential(id="two", secret="t")),
            data_policy=DataPolicy(training=row.training, zdr=row.zdr), region=row.region,
        )
        for slug, row in file.providers.items()
    }  # fmt: skip
    return file, build_catalog(providers, file.models, now=0.0)


ROWS = [(path.stem, row) for path in sorted(FOLDER.glob("*.toml")) for row in read(path.stem)[0].rows]


class World:
    """The gateway as far as routing needs it, before one row."""

    def __init__(self, catalog: Catalog, row: Row) -> None:
        self.now = NOW
        self.drawn = list(row.draws or ())
        self.catalog = catalog
        self.credentials = Credentials(lambda: self.now)
        self.memory = memory()
        self.row = row
        self.router = Router(
            catalog, row.account, memory=self.memory, credentials=self.credentials, monotonic=lambda: self.now,
            draw=self.draw,
        )  # fmt: skip
        self.key = replace(ANONYMOUS, policy=row.key.policy("key"))
        self.scripted = False

    def draw(self) -> float:
        return self.drawn.pop(0) if self.scripted else 0.5

    def before(self) -> None:
        row = self.row
        if row.earlier is not None:
            self.now = NOW - row.earlier.ago
            self.serve(row.earlier)
            self.now = NOW
        for tag, happened in row.happened.items():
            for endpoint in self.named(tag):
                happen(self.memory.statistics[endpoint.name], happened)
        for slug in row.resting:
            provider = self.catalog.providers[slug]
            for credential in provider.credentials:
                self.credentials.failed(provider, credential, UpstreamLimited("slow down", retry_after_s=20.0))
        self.scripted = row.draws is not None

    def named(self, tag: str) -> list[Endpoint]:
        found = [one for model in self.catalog.models for one in model.endpoints if one.tag == tag]
        assert found, f"no endpoint {tag}"
        return found

    def serve(self, earlier: Earlier) -> None:
        row = self.row
        body = {**row.body, **earlier.body}
        row = replace(
            row, body=body, model=earlier.model or row.model, header=earlier.header or row.header, provider=None
        )  # fmt: skip
        key = replace(self.key, id=earlier.key)
        client, call = parsed(row)
        route = self.router.route(client, call, key, body_bytes=100, session_id=call.session_id or row.header)
        (by,) = [one for one in route.plan.endpoints if one.tag == earlier.by]
        usage = Usage(prompt=100, completion=2, cached=earlier.cached, cache_write=earlier.cache_write)
        self.router.served(route, by, call, key, usage, latency_s=None, seconds=0.0, tools=None)

    def route(self) -> Route:
        client, call = parsed(self.row)
        return self.router.route(
            client,
            call,
            self.key,
            body_bytes=len(written(self.row)),
            session_id=call.session_id or self.row.header,
            is_expressible=partial(says_all, client, call),
        )


def says_all(client: Client, call: Call, endpoint: Endpoint) -> bool:
    return not unsupported_parameters(client.decode(call), endpoint.parameters)


def written(row: Row) -> bytes:
    body = {**BARE[row.dialect], **row.body}
    if row.words:
        prompt = "word " * row.words
        body |= {"input": prompt} if row.dialect == "responses" else {"messages": [{"role": "user", "content": prompt}]}
    if row.model:
        body["model"] = row.model
    if row.provider is not None:
        body["provider"] = row.provider
    return msgspec.json.encode(body)


def parsed(row: Row) -> tuple[Client, Call]:
    client = CLIENTS[row.dialect]
    return client, client.parse(written(row))


def happen(statistics: Statistics, happened: Happened) -> None:
    """Tell *statistics* all of it, the oldest first."""
    told = [(age, statistics.failed) for age in happened.failed]
    told += [(age, statistics.limited) for age in happened.limited]

    def served(now: float, *, pace: float = 1.0, tools: bool | None = None) -> None:
        speed, latency = happened.speed, happened.latency
        statistics.served(
            now,
            latency_s=None if latency is None else latency / pace,
            tokens=1000 if speed else 0,
            seconds=1000 / (speed * pace) if speed else 0.0,
            tools=tools,
        )

    told += [(happened.age, served)] * happened.served
    told += [(happened.age, partial(served, pace=0.1))] * happened.slow
    told += [(happened.age, partial(served, tools=True))] * happened.good_tools
    told += [(happened.age, partial(served, tools=False))] * happened.bad_tools
    if happened.recovered is not None:
        told.append((happened.recovered, statistics.recovered))
    for age, tell in sorted(told, key=lambda one: -one[0]):
        tell(NOW - age)


@pytest.mark.parametrize(("theme", "row"), [pytest.param(theme, row, id=f"{theme}: {row.it}") for theme, row in ROWS])
def test_case(theme: str, row: Row) -> None:
    assert (row.tried is None) != (row.refused is None), "either tried or refused"
    world = World(read(theme)[1], row)
    world.before()
    if row.refused is not None:
        with pytest.raises(TrunklineError) as caught:
            world.route()
        assert_refused(caught.value, row)
        return
    route = world.route()
    assert " ".join(endpoint.tag for endpoint in route.plan.endpoints) == row.tried
    if row.through is not None:
        assert " ".join(found.model.id for found in route.plan.candidates) == row.through
    if row.strategy is not None:
        assert route.strategy == row.strategy
    assert (route.plan.sticky.tag if route.plan.sticky else None) == row.sticky
    assert not world.drawn, "draws that nobody asked for"


def assert_refused(error: TrunklineError, row: Row) -> None:
    refused = row.refused
    assert refused is not None
    for part in refused.says:
        assert part in error.message
    assert error.http_status == refused.status
    assert CLIENTS[row.dialect].status(error) == refused.status
    availability = error.availability or {}
    assert availability.get("code") == refused.code
    assert availability.get("excluded_by") == refused.by
    assert refused.param is None or error.param == refused.param


def test_case_names_are_unique() -> None:
    names = [f"{theme}: {row.it}" for theme, row in ROWS]
    assert len(set(names)) == len(names)
    assert len(names) >= 150
    assert {row.dialect for _, row in ROWS} == set(CLIENTS)
