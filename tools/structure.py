"""Prints the structure of the package: import depth, circles, long modules, large classes. `make check-structure`.

Depth is the number of modules on the longest chain of module-level imports within the package. Imports inside
functions do not count. Imports under `TYPE_CHECKING` count for circles, not for depth. Exits with 1 where a limit is
exceeded.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent / "src"
PACKAGE = "trunkline"
MAX_DEPTH = 18
MAX_LINES = 600
MAX_ATTRIBUTES = 15

Graph = dict[str, set[str]]


class Import(NamedTuple):
    """One import statement's target; *typing*: it stands under `TYPE_CHECKING`."""

    target: str
    typing: bool


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.Module, known: dict[str, Path]) -> Iterator[Import]:
    """The modules of the package that the module-level statements of *tree* import."""
    statements = [(statement, False) for statement in tree.body]
    while statements:
        statement, typing = statements.pop()
        match statement:
            case ast.Import(names=names):
                yield from (Import(one.name, typing) for one in names if one.name in known)
            case ast.ImportFrom(module=str(module), names=names):
                for one in names:
                    inner = f"{module}.{one.name}"
                    if inner in known or module in known:
                        yield Import(inner if inner in known else module, typing)
            case ast.If(test=test):
                guarded = typing or "TYPE_CHECKING" in ast.unparse(test)
                statements += [(inner, guarded) for inner in statement.body]
                statements += [(inner, typing) for inner in statement.orelse]
            case ast.Try():
                statements += [(inner, typing) for inner in (*statement.body, *statement.orelse, *statement.finalbody)]
                statements += [(inner, typing) for handler in statement.handlers for inner in handler.body]
            case _:
                pass


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other: Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            group = sorted(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for node in graph:
        if node not in index:
            visit(node)
    return found


def longest(graph: Graph) -> list[str]:
    """The longest chain of imports in *graph*, which has no circles."""
    chains: dict[str, list[str]] = {}

    def chain(node: str) -> list[str]:
        if node not in chains:
            chains[node] = []  # a circle, which is reported on its own, ends here
            below = [chain(target) for target in sorted(graph[node])]
            chains[node] = [node, *max(below, key=len, default=[])]
        return chains[node]

    return max((chain(node) for node in graph), key=len)


def attributes(found: ast.ClassDef) -> set[str]:
    """The attributes of its own that instances of a class have: declared in its body, or assigned to `self`."""
    own = {
        statement.target.id
        for statement in found.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and "ClassVar" not in ast.unparse(statement.annotation)
    }
    for node in ast.walk(found):
        targets: list[ast.expr] = []
        match node:
            case ast.Assign(targets=several):
                targets = several
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                targets = [target]
            case _:
                pass
        flat = [inner for one in targets for inner in (one.elts if isinstance(one, ast.Tuple) else [one])]
        own |= {
            one.attr
            for one in flat
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "self"
        }
    return own


def is_data(found: ast.ClassDef) -> bool:
    """Whether a class only holds data: a Struct, a named tuple, a dataclass, a protocol or a table of the database."""
    bases = {ast.unparse(base).rpartition(".")[2] for base in found.bases}
    decorators = " ".join(ast.unparse(one) for one in found.decorator_list)
    methods = [one for one in found.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    structs = bases & {"Struct", "NamedTuple", "TypedDict", "Protocol", "Enum", "StrEnum", "Base"}
    return bool(structs) or ("dataclass" in decorators and not methods)


def main() -> int:
    """Print the figures; return 1 where one is above its limit."""
    known = modules()
    graph: Graph = {}
    runtime: Graph = {}
    lines: dict[str, int] = {}
    large: dict[str, int] = {}
    for name, path in known.items():
        text = path.read_text()
        tree = ast.parse(text)
        found = [one for one in imports(tree, known) if one.target != name]
        graph[name] = {one.target for one in found}
        runtime[name] = {one.target for one in found if not one.typing}
        lines[name] = text.count("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not is_data(node) and len(own := attributes(node)) > MAX_ATTRIBUTES:
                large[f"{name}.{node.name}"] = len(own)
    chain, groups = longest(runtime), circles(graph)
    long = {name: count for name, count in lines.items() if count > MAX_LINES}
    longest_module = max(lines, key=lambda name: lines[name])
    print(f"modules          {len(known)}, {sum(lines.values())} lines")
    print(f"longest          {lines[longest_module]} lines: {longest_module}")
    print(f"import depth     {len(chain)} (at most {MAX_DEPTH}): {' > '.join(chain)}")
    print(f"circles          {len(groups)} (at most 0)")
    for group in groups:
        print(f"                 {' <-> '.join(group)}")
    print(f"long modules     {len(long)} of more than {MAX_LINES} lines (at most 0)")
    for name, count in sorted(long.items(), key=lambda item: -item[1]):
        print(f"                 {count}: {name}")
    print(f"large classes    {len(large)} with more than {MAX_ATTRIBUTES} attributes of their own")
    for name, count in sorted(large.items(), key=lambda item: -item[1]):
        print(f"                 {count}: {name}")
    return 1 if len(chain) > MAX_DEPTH or groups or long else 0


if __name__ == "__main__":
    sys.exit(main())
