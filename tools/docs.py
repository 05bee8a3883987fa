"""Writes the generated files under docs/: `make docs`. With `--check`, names stale files and exits with status 1.

Each generated file is a row of `FILES`: its path below the root, and the function that returns its text. `section`
generates a part of a hand-written page, between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import (
    BoolType,
    DecimalType,
    DictType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from trunkline.dialects.common.openai_errors import error_object
from trunkline.model.errors import TrunklineError
from trunkline.model.record import GenerationRecord
from trunkline.observe.metrics import Metrics
from trunkline.providers.compatible import Compatible, compatible
from trunkline.settings import Configuration
from trunkline.settings.reader import in_order

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}

HEAD = """\
<!-- Written by tools/docs.py; change the docstrings in src/trunkline and run `make docs`. -->
# Configuration

After this page you can write `trunkline.yaml`. It lists every setting with its type, default and meaning.

```yaml
# yaml-language-server: $schema=configuration.schema.json
providers:
  groq: {credentials: [{api_key: "${GROQ_API_KEY}"}]}    # known: a key is enough
  acme:
    base_url: https://api.acme.example/v1
    credentials: [{api_key: "${ACME_API_KEY}"}, {api_key: "${ACME_SECOND_KEY}"}]
    data_policy: {training: false, retention_days: 0, zdr: true}
models:
  acme/small:
    context_length: 128000
    endpoints:
      - provider: acme
        upstream_model: small-1
        price: {prompt: 0.25, completion: 2.0, cache_read: 0.025}    # USD per million tokens
```

- The file is named by `--config FILE`. Without that, `trunkline.yaml` in the current folder is read if it exists.
- Without a file, or without a block `providers`, providers are found from the environment: each of [the
  list](providers.md) whose key variable is set, and an Ollama that answers at its usual address or at `OLLAMA_HOST`.
- The provider `demo` with its model `demo/echo` is always there.
- In every value, `${NAME}` stands for the environment variable of that name. `${NAME:-default}` has a default for a
  variable that is not set or empty. `$${` is a literal `${`. Inside `{…}` and `[…]`, YAML needs quotes around it.
- `trunkline check` validates the file. It names the first error with its file, line and key.
- A running gateway reads a changed file within a second; [some settings need a
  restart](../guides/operations.md#reload).
- Editors validate the file with the [JSON Schema](configuration.schema.json) that the first line of the example
  names."""


def configuration() -> str:
    """`docs/reference/configuration.md`: every key with type, default and meaning."""
    root = type_info(Configuration)
    assert isinstance(root, StructType)
    parts = [HEAD]
    for field in root.fields:
        rows = list(_rows(field.encode_name, field.type))
        said = _docstrings(Configuration).get(field.name, "")
        block = _struct(field.type)
        parts.append(f"## `{field.encode_name}`\n")
        parts.append(f"{' '.join(filter(None, (_first(block.cls) if block else '', said)))}\n")
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        parts.extend(f"| `{path}` | {kind} | {default} | {meaning} |" for path, kind, default, meaning in rows)
        parts.append("")
    return "\n".join(parts)


def _rows(path: str, kind: Type) -> "list[tuple[str, str, str, str]]":
    """The keys below *path*, depth first."""
    kind = _bare(kind)
    if isinstance(kind, VarTupleType):
        return _rows(f"{path}[]", kind.item_type) if _struct(kind.item_type) else []
    if isinstance(kind, DictType):
        return _rows(f"{path}.<{'slug' if path == 'providers' else 'id'}>", kind.value_type)
    if not isinstance(kind, StructType):
        return []
    said, rows = _docstrings(kind.cls), []
    for field in kind.fields:
        name = f"{path}.{field.encode_name}"
        meaning = said.get(field.name) or _first(kind.cls if not (inner := _struct(field.type)) else inner.cls)
        rows.append((name, _words(field.type), _default(field), meaning.replace("|", "\\|")))
        if _struct(field.type):
            rows.extend(_rows(name, field.type))
    return rows


def _words(kind: Type) -> str:
    """A readable name of a type."""
    inner = _bare(kind)
    match inner:
        case BoolType():
            return "true or false"
        case IntType():
            return "whole number"
        case FloatType() | DecimalType():
            return "number"
        case LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in in_order(values))
        case VarTupleType(item_type=item):
            return f"list of {_words(item)}" if not _struct(item) else "list"
        case DictType(value_type=value):
            return f"mapping to {_words(value)}"
        case StructType():
            return "mapping"
        case _:
            return "text"


def _default(field: msgspec.inspect.Field) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if field.default_factory is not msgspec.NODEFAULT or isinstance(value, msgspec.Struct) or value in ((), None, ""):
        return ""
    if isinstance(value, (bool, tuple)):
        value = json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`"


def _bare(kind: Type) -> Type:
    """The type without limits and without null."""
    while isinstance(kind, (Metadata, UnionType)):
        kind = kind.type if isinstance(kind, Metadata) else next(one for one in kind.types if not _null(one))
    return kind


def _null(kind: Type) -> bool:
    return isinstance(kind, msgspec.inspect.NoneType)


def _struct(kind: Type) -> StructType | None:
    """The Struct that *kind* is, or that it is a list or mapping of."""
    bare = _bare(kind)
    if isinstance(bare, VarTupleType):
        return _struct(bare.item_type)
    if isinstance(bare, DictType):
        return _struct(bare.value_type)
    return bare if isinstance(bare, StructType) else None


def _first(cls: type) -> str:
    """The docstring's first paragraph on one line."""
    said = " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())
    return said.partition(" Source: ")[0]


def _docstrings(cls: type) -> dict[str, str]:
    """The docstrings of the fields of *cls*, by field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    said: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                said[name] = " ".join(words.split())
            case _:
                pass
    return said


def schema() -> str:
    """`docs/reference/configuration.schema.json`."""
    document = msgspec.json.schema(Configuration)
    for name, definition in document["$defs"].items():
        cls = _classes(type_info(Configuration)).get(name)
        definition["description"] = _first(cls) if cls else name
        for key, text in (_docstrings(cls) if cls else {}).items():
            definition["properties"][key]["description"] = text
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Trunkline configuration",
    } | document
    return json.dumps(_with_variables(document), indent=2, default=str) + "\n"


def _classes(kind: Type) -> dict[str, type]:
    """Every Struct of the configuration, by name."""
    inner = _struct(kind)
    if inner is None:
        return {}
    found = {inner.cls.__name__: inner.cls}
    for field in inner.fields:
        found |= _classes(field.type)
    return found


def _with_variables(node: Any) -> Any:
    """*node* extended to allow a variable in place of a number, a boolean or an enum value."""
    if isinstance(node, list):
        return [_with_variables(item) for item in node]
    if isinstance(node, Decimal):
        return float(node) if node % 1 else int(node)
    if not isinstance(node, dict):
        return node
    node = {key: _with_variables(value) for key, value in node.items()}
    if node.get("format") == "decimal":
        del node["format"]
        node["type"] = "number"
    if isinstance(node.get("default"), str) and node.get("type") == "number":
        node["default"] = 0
    if node.get("type") in ("number", "integer", "boolean") or ("enum" in node and None not in node["enum"]):
        kept = {key: node.pop(key) for key in ("default", "description") if key in node}
        return {"anyOf": [node, VARIABLE]} | kept
    return node


def providers() -> str:
    """`docs/reference/providers.md`: the providers with a known address."""
    rows = [
        f"| {entry.name} | `{slug}` | {_ways(entry)} | {_variables(entry)} | {entry.base_url} | "
        f"{_models(entry)} | {_quirks(entry.quirks)} | [{entry.checked}]({entry.source}) |"
        for slug, entry in compatible().items()
    ]
    return "\n".join(
        (
            "<!-- Written by tools/docs.py from src/trunkline/providers/compatible.toml; run `make docs`. -->",
            "# Providers",
            "",
            PROVIDERS,
            "| provider | slug | dialects | variables | address | models | quirks | source, checked |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        )
    )


PROVIDERS = """\
After this page you know which providers need only a key, and what the others need.

```console
$ export MISTRAL_API_KEY=…
$ make run
```

Without a block `providers` in the [configuration](configuration.md), each provider whose key variable is set is used,
with the models of its own list. Any other server that speaks one of the five dialects needs a `base_url` too:
[Providers](../guides/providers.md).

- **dialects**: the first is the one that the provider is called in. A client that speaks a further one is relayed to
  it.
- **address**: what stands in braces is filled in from the configuration or from the variables; `{vertex}` is the host
  of a Vertex region.
- **quirks**: explained in the [configuration](configuration.md#providers).

## Providers that need more than a key

**Amazon Bedrock** takes a Bedrock API key (`AWS_BEARER_TOKEN_BEDROCK`, or `api_key`), or signs each request (SigV4)
with an access key: `credentials: [{access_key_id: …, secret_access_key: …, session_token: …}]`, or
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. These three are read only where the
configuration names the provider: `providers: {amazon-bedrock: {region: us-east-1}}`. A region is required; without
one, `AWS_BEARER_TOKEN_BEDROCK` alone makes no provider.

**Vertex** (`google-vertex` for Gemini, `google-vertex-anthropic` for Claude) takes a service account: `credentials:
[{service_account: /path/to/key.json}]`, the JSON itself by `${VARIABLE}`, or, where the configuration names the
provider, the file that `GOOGLE_APPLICATION_CREDENTIALS` names. Signing needs the extra `trunkline[vertex]`. Access
tokens are fetched when needed and renewed before they expire. Without a `region` it is `global`.

**Azure OpenAI** needs the name of the resource too: `providers: {azure: {resource: my-resource}}`. Its models are your
deployments: name them under `models:`, with the deployment's name as `upstream_model`.

## Errors and rate limits

One table of statuses holds for all providers: [errors](errors.md#when-the-next-endpoint-is-called). These hints are
read: `retry-after`, `retry-after-ms`, `x-ratelimit-reset*` (seconds, durations or moments), Anthropic's
`anthropic-ratelimit-*-reset` and Google's `RetryInfo`. A 400 that is about the key (Gemini, xAI) or about an unpaid
bill (Alibaba) makes the credential rest; the client does not see it as a fault of its request.

## The list

"""


def _ways(entry: Compatible) -> str:
    """The dialects, the main one first."""
    return ", ".join(f"`{dialect}`" for dialect in (entry.dialect, *entry.also))


def _variables(entry: Compatible) -> str:
    """The environment variables that it reads."""
    kinds = {"sigv4": ["AWS_ACCESS_KEY_ID", "…"], "google": ["GOOGLE_APPLICATION_CREDENTIALS"], "header": []}
    names = [*filter(None, [entry.env]), *kinds[entry.auth], *(name for some in entry.places.values() for name in some)]
    return ", ".join(f"`{name}`" if name != "…" else name for name in names) or "none"


def _models(entry: Compatible) -> str:
    """The source of its models."""
    if entry.models:
        return "a list of ours"
    return "its list" if entry.lists else "yours"


def _quirks(quirks: msgspec.Struct) -> str:
    """The quirks that differ from the default."""
    fields = msgspec.structs.fields(type(quirks))
    usual = type(quirks)()
    said = {field.name: getattr(quirks, field.name) for field in fields}
    said = {name: value for name, value in said.items() if value != getattr(usual, name)}
    return ", ".join(f"`{name}: {', '.join(v) if isinstance(v, tuple) else json.dumps(v)}`" for name, v in said.items())


def section(path: str, name: str, make: Callable[[], str]) -> Callable[[], str]:
    """Returns a function that regenerates the part *name* of the page at *path*, for a row of `FILES`."""

    def page() -> str:
        text = (ROOT / path).read_text("utf-8")
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, mark, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (mark and closed):
            raise SystemExit(f"{path}: no part '{begin.strip()} … {end}'")
        return f"{before}{begin}{make()}{end}{after}"

    return page


def errors() -> str:
    """The table of `docs/reference/errors.md`: every class of the error tree."""
    rows = [
        "| class | status | `error_type` | `type` | whose fault | next endpoint? | when |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{one.__name__}` | {one.status} | `{one.error_type}` | `{error_object(one(''))['type']}` | {one.fault} | "
        f"{'yes' if one.another_endpoint else 'no'} | {_first(one)} |"
        for one in error_classes(TrunklineError)
    ]
    return "\n".join(rows) + "\n"


def error_classes(root: type[TrunklineError]) -> "list[type[TrunklineError]]":
    """The classes below *root*, in the order of their definition."""
    return [one for child in root.__subclasses__() for one in (child, *error_classes(child))]


def metrics() -> str:
    """The table of `docs/reference/metrics.md`: every metric with its labels."""
    counted = Metrics()
    done = GenerationRecord(
        id="", created=0, key_id="", status="completed", api_type="chat", model="", requested="", first_token_ms=1
    )
    counted.generation(done)
    counted.upstream_error("", "")
    counted.refused("")
    rows = ["| metric | type | labels | what |", "|---|---|---|---|"]
    for family in counted.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels if label != "le")
        rows.append(f"| `{name}` | {family.type} | {labels or 'none'} | {family.documentation} |")
    return "\n".join(rows) + "\n"


FILES: "dict[str, Callable[[], str]]" = {
    "docs/reference/configuration.md": configuration,
    "docs/reference/configuration.schema.json": schema,
    "docs/reference/providers.md": providers,
    "docs/reference/errors.md": section("docs/reference/errors.md", "errors", errors),
    "docs/reference/metrics.md": section("docs/reference/metrics.md", "metrics", metrics),
}


def main(arguments: list[str]) -> int:
    """Write stale files, or only name them with `--check`."""
    stale = 0
    for path, make in FILES.items():
        file, text = ROOT / path, make()
        if file.exists() and file.read_text("utf-8") == text:
            continue
        stale += 1
        if "--check" in arguments:
            print(f"{path} is stale: run `make docs`", file=sys.stderr)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            print(f"wrote {path}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
