"""Every fault of a configuration is one line that names file, line, key and what to do; secrets are never in it."""

from pathlib import Path

import pytest

from trunkline.settings import ConfigError, load, parse

_CASES = Path(__file__).with_name("errors.txt").read_text("utf-8").split("\n### ")[1:]
WRONG = [(text.rstrip("\n"), expected) for expected, _, text in (case.partition("\n") for case in _CASES)]


def line(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode() if isinstance(text, str) else text, {"WORDS": "topsecret words"})
    return str(caught.value)


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[expected[:70] for _, expected in WRONG])
def test_the_line(text: str, expected: str) -> None:
    said = line(text)
    assert said == expected
    assert "\n" not in said
    assert "topsecret" not in said


def test_text_that_is_not_utf8() -> None:
    assert line(b"a: \xff") == "trunkline.yaml: not YAML: it has characters that text does not have, or is not UTF-8"


def test_aliases_that_stand_for_billions() -> None:
    endpoints = ", ".join("{provider: demo, upstream_model: x}" for _ in range(250))
    bomb = f"models:\n  x/y: {{endpoints: &a [{endpoints}]}}\n"
    bomb += "".join(f"  x/{i}: {{endpoints: *a}}\n" for i in range(250))
    assert "more than 200000 values" in line(bomb)


def test_a_merge_that_leads_back_to_itself() -> None:
    assert line("server: &a {<<: *a}") == "trunkline.yaml:1: server: `<<` leads back to itself"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "no.yaml", {})
    assert str(caught.value) == f"{tmp_path / 'no.yaml'}: cannot be read: No such file or directory"


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="longer than 4194304 bytes"):
        load(tmp_path / "long.yaml", {})


def test_a_key_of_the_environment_that_cannot_be_sent() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b"", {"GROQ_API_KEY": "top\nsecret"})
    assert str(caught.value) == "the environment variable GROQ_API_KEY: has a space or a control character in it"


def test_shared_state_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.settings.validation.find_spec", lambda name: None)
    assert line("shared_state: {url: 'redis://:topsecret@h:6379/0'}") == (
        "trunkline.yaml:1: shared_state.url: it needs a package: pip install 'trunkline[redis]'"
    )
