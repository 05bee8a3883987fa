"""The hand-written pages name everything there is, and what they point to is there."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from trunkline.model.errors import TrunklineError
from trunkline.model.record import GenerationRecord
from trunkline.observe.metrics import Metrics
from trunkline.providers.config import SUPPORTED_DIALECTS
from trunkline.server.config import ServerSettings
from trunkline.server.routes import INFERENCE
from trunkline.settings import parse
from trunkline.transport.demo_request import DemoOptions

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def leaves(root: type[TrunklineError]) -> list[type[TrunklineError]]:
    return [one for child in root.__subclasses__() for one in (child, *leaves(child))]


def anchors(page: Path) -> set[str]:
    """The fragments that a reader of Markdown makes of a page's headings."""
    found = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(page.read_text("utf-8")))
    return {heading.strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        found = (page.parent / unquote(path)).resolve() if path else page
        assert found.exists(), f"{name(page)}: {target}"
        assert found.is_relative_to(ROOT), f"{name(page)}: {target} leaves the repository"
        if fragment:
            assert fragment in anchors(found), f"{name(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_machine(page: Path) -> None:
    found = re.search(
        r"(/root|/home|/work|/Users)/|\.\./shared|localhost:\d|files\.pythonhosted|/tmp/", text(name(page))
    )
    assert found is None, f"{name(page)}: {found}"


@pytest.mark.parametrize("page", [page for page in PAGES if "```yaml" in page.read_text("utf-8")], ids=name)
def test_every_example_of_a_configuration_is_one(page: Path) -> None:
    for example in _YAML.findall(page.read_text("utf-8")):
        if not example.startswith("# prometheus.yml"):
            environ = {variable: f"{variable}-of-the-test" for variable in re.findall(r"\$\{(\w+)", example)}
            parse(example.encode(), environ)


@pytest.mark.parametrize("index", ["README.md", "docs/README.md"])
def test_every_page_is_in_the_index(index: str) -> None:
    folder = (ROOT / index).parent
    linked = {(folder / target.partition("#")[0]).resolve() for target in _LINK.findall(text(index))}
    pages = [page for place in ("docs", "docs/guides", "docs/reference") for page in sorted((ROOT / place).glob("*"))]
    for page in pages:
        if page.suffix in (".md", ".json") and name(page) != "docs/README.md":
            assert page.resolve() in linked, f"{index} does not name {name(page)}"


def test_every_decision_is_in_the_index_and_says_what_and_why() -> None:
    index = text("docs/decisions/README.md")
    for number, page in enumerate(DECISIONS, 1):
        said = page.read_text("utf-8")
        assert page.name.startswith(f"{number:04}-")
        assert f"]({page.name})" in index
        assert said.startswith(f"# {number:04} ")
        for word in ("**Decision.**", "**Why.**"):
            assert word in said or number == 2, f"{page.name} has no {word}"


def test_every_metric_is_documented() -> None:
    page, metrics = text("docs/reference/metrics.md"), Metrics()
    metrics.generation(
        GenerationRecord(id="", created=0, key_id="", status="completed", api_type="chat", model="m", requested="m")
    )
    families = list(metrics.collect())
    assert len(families) >= 8
    for family in families:
        shown = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"| `{shown}` | {family.type} |" in page, shown


def gauges() -> set[str]:
    """The gauges that the code registers beside `Metrics`, by their names in it."""
    sources = (ROOT / "src").rglob("*.py")
    return {found for one in sources for found in re.findall(r'"(trunkline_\w+)",\s+"[^"]*\."', one.read_text("utf-8"))}


def test_every_gauge_is_documented() -> None:
    page = text("docs/reference/metrics.md") + text("docs/guides/replicas.md")
    assert len(gauges()) >= 8
    for gauge in gauges() - {family.name for family in Metrics().collect()}:
        assert re.search(rf"^\| `{gauge}(_total)?` \|", page, re.MULTILINE), gauge


def test_every_metric_that_a_query_uses_exists() -> None:
    known = {family.name for family in Metrics().collect()} | gauges()
    for used in re.findall(r"\btrunkline_\w+", text("docs/reference/metrics.md")):
        assert re.sub(r"_(total|bucket|sum|count)$", "", used) in known, used


def test_every_error_is_documented() -> None:
    page = text("docs/reference/errors.md")
    classes = leaves(TrunklineError)
    assert len(classes) >= 20
    for one in classes:
        assert f"| `{one.__name__}` |" in page, one.__name__


def test_every_wish_of_the_demo_provider_has_its_row_and_an_example() -> None:
    page = text("docs/reference/demo.md")
    headings = " ".join(_HEADING.findall(page))
    for wish in DemoOptions.__struct_fields__:
        assert f"| `{wish}` |" in page, wish
        assert f"`{wish}`" in headings, wish
        assert re.search(rf'"demo": {{[^}}]*"{wish}":', page), wish


def test_every_make_target_has_a_line_of_help_and_is_named_in_the_docs() -> None:
    makefile = text("Makefile")
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert sorted(targets) == sorted(phony[1].split())
    said = "\n".join(page.read_text("utf-8") for page in PAGES)
    for target in targets:
        assert re.search(rf"^{target}:.*  ## \S", makefile, re.MULTILINE), target
        if target not in ("help", "clean"):
            assert f"make {target}" in said, target
    for used in re.findall(r"[`$] ?make ([a-z]+)", said):
        assert used in targets, used


def test_every_dependency_has_its_reason() -> None:
    page = text("docs/decisions/0002-dependencies.md")
    for wanted in tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]:
        package = re.split(r"[<>=;\[ ]", wanted)[0]
        assert re.search(rf"^\| [^|]*\b{package}\b", page, re.MULTILINE), package


def test_the_address_in_the_examples_is_the_default() -> None:
    default = ServerSettings()
    address = f"http://{default.host}:{default.port}"
    for path in ("README.md", "docs/reference/demo.md"):
        assert address in text(path)
    assert f"drain_s` ({default.drain_s:g} s)" in text("docs/guides/operations.md")


def test_what_is_served_and_what_is_not_is_said_as_it_is() -> None:
    """Every dialect has its line in the pages that say which there are, and its path is named as served."""
    page = text("docs/reference/dialects.md")
    for dialect in SUPPORTED_DIALECTS:
        assert f"| `{dialect}` |" in page
    served = next(
        line for line in text("docs/reference/compatibility.md").splitlines() if "`POST /chat/completions`" in line
    )
    assert all(f"`POST {path}`" in served for path in INFERENCE.values())
