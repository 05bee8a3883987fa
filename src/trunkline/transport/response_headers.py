"""The header fields of a response."""

from collections.abc import Iterator, Mapping


class Headers(Mapping[str, str]):
    """Header fields by lower-case name, decoded as Latin-1 when they are read."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._fields)})"
