"""What is generated under docs/ is what the code says."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trunkline.settings import Configuration

ROOT = Path(__file__).resolve().parents[3]


def docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trunkline_tools_docs", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs().main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = docs()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "FILES", {"docs/x.md": lambda: "new\n"})
    assert module.main(["--check"]) == 1
    assert "docs/x.md is stale: run `make docs`" in capsys.readouterr().err
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0


def test_a_part_of_a_page_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = docs()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "p.md").write_text("a\n<!-- generated: t -->\nold\n<!-- end -->\nb\n")
    assert module.section("p.md", "t", lambda: "new\n")() == "a\n<!-- generated: t -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(SystemExit, match=r"p\.md: no part"):
        module.section("p.md", "u", lambda: "new\n")()


def test_every_key_has_a_meaning() -> None:
    rows = [
        line
        for line in (ROOT / "docs/reference/configuration.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) > 60
    for row in rows:
        assert len(re.split(r"(?<!\\)\|", row)[4].strip()) > 8, row


def test_the_schema_takes_a_variable_where_a_number_is_wanted() -> None:
    schema: dict[str, Any] = json.loads((ROOT / "docs/reference/configuration.schema.json").read_text("utf-8"))
    definitions = schema["$defs"]
    assert set(definitions["Configuration"]["properties"]) == set(Configuration.__struct_fields__)
    assert all(one.get("additionalProperties") is False for one in definitions.values())
    port = definitions["ServerSettings"]["properties"]["port"]
    number, variable = port["anyOf"]
    assert number == {"type": "integer", "minimum": 0, "maximum": 65535}
    assert re.search(variable["pattern"], "${PORT}")
    assert re.search(variable["pattern"], "${PORT:-1}")
    assert not re.search(variable["pattern"], "8484")
    price = definitions["PriceSettings"]["properties"]["prompt"]
    assert price["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 100_000}
