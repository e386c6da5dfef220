"""A filter as a tree of frozen dataclasses, and what it says of a record."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, Any]
"""A resource by the names of its fields; maps are mappings with text keys, lists are sequences."""

Test: TypeAlias = Callable[..., bool]
"""A function of the language: takes the record and the texts of its arguments."""

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBER = re.compile(r"[+-]?(\d+|(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?)", re.ASCII)
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)s", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_STRUCT: Mapping[str, tuple[type, ...]] = {
    "number_value": (int, float),
    "string_value": (str,),
    "bool_value": (bool,),
}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as a filter writes it. `pieces` are what stands between its wildcards."""

    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """The value with its wildcards as stars."""
        return "*".join(self.pieces)

    @property
    def anything(self) -> bool:
        """Whether it is `*`: with `:` that asks whether the field is there."""
        return self.pieces == ("", "")

    def fits(self, text: str) -> bool:
        """Whether a text is this one, each wildcard standing for any text."""
        first, *middle = self.pieces
        if not middle:
            return text == first
        last, at = middle.pop(), len(first)
        end = len(text) - len(last)
        if end < at or not text.startswith(first) or not text.endswith(last):
            return False
        for piece in middle:
            at = text.find(piece, at, end) + len(piece)
            if at < len(piece):
                return False
        return True

    def read(self, kind: type) -> Any:
        """The value as `str`, `float`, `bool`, `datetime` or `timedelta`; None if it is none."""
        try:
            return _READERS[kind](self.text)
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path sign literal`, where the sign is one of `= != < <= > >= :`."""

    path: tuple[str, ...]
    sign: str
    literal: Literal

    def matches(self, record: Record) -> bool:
        """Whether it holds for a record."""
        found = _reach(record, self.path, self.sign == ":")
        if self.sign != ":":
            return any(_compare(value, self.sign, self.literal) for value in found)
        if self.literal.anything:
            # As messages have it, a field that holds its default is not there; a map's key is.
            one = len(self.path) == 1
            return any(bool(value) if one else value is not None for value in found)
        return any(_has(value, self.literal) for value in found)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its own meaning, such as `in_context("demo")`."""

    name: str
    arguments: tuple[str, ...]
    test: Test = field(repr=False, compare=False)

    def matches(self, record: Record) -> bool:
        """Whether it holds for a record."""
        return self.test(record, *self.arguments)


@dataclass(frozen=True, slots=True)
class Not:
    """What holds where `node` does not."""

    node: Node

    def matches(self, record: Record) -> bool:
        """Whether it holds for a record."""
        return not self.node.matches(record)


@dataclass(frozen=True, slots=True)
class And:
    """What holds where all of `nodes` do."""

    nodes: tuple[Node, ...]

    def matches(self, record: Record) -> bool:
        """Whether it holds for a record."""
        return all(node.matches(record) for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Or:
    """What holds where any of `nodes` does."""

    nodes: tuple[Node, ...]

    def matches(self, record: Record) -> bool:
        """Whether it holds for a record."""
        return any(node.matches(record) for node in self.nodes)


Node: TypeAlias = Comparison | Call | Not | And | Or


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read: `text` as it was given, `node` what it says."""

    text: str
    node: Node

    def matches(self, record: Record) -> bool:
        """Whether a record passes.

        Args:
            record: a resource by field name: texts, numbers, booleans, `datetime`, `timedelta`,
                None, and mappings and sequences of those.
        """
        return self.node.matches(record)


def value_at(record: Record, path: tuple[str, ...]) -> Any:
    """What stands at a path through maps; None where nothing does."""
    return next(_reach(record, path, False), None)


def _reach(value: Any, path: tuple[str, ...], through: bool) -> Iterator[Any]:
    """What stands at a path: one value or none, or several where it may go through lists."""
    if not path:
        yield value
    elif isinstance(value, Mapping):
        if path[0] in value:
            yield from _reach(value[path[0]], path[1:], through)
    elif _is_list(value):
        for item in value if through else ():
            yield from _reach(item, path, through)
    elif len(path) == 1 and _kind(value) in map(_kind_of, _STRUCT.get(path[0], ())):
        yield value


def _has(value: Any, literal: Literal) -> bool:
    if isinstance(value, Mapping):
        return any(literal.fits(key) for key in value)
    if _is_list(value):
        return any(_compare(item, "=", literal) for item in value)
    return _compare(value, "=", literal)


def _compare(value: Any, sign: str, literal: Literal) -> bool:
    kind = _kind(value)
    equality = sign in ("=", "!=")
    if kind is None or (kind is bool and not equality):
        return False
    if kind is str and equality:
        return literal.fits(value) == (sign == "=")
    if kind is datetime and value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    wanted = literal.read(kind)
    return sign == "!=" if wanted is None else _ORDER[sign](value, wanted)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | frozenset | set) and not isinstance(value, str | bytes)


def _kind(value: Any) -> type | None:
    return _kind_of(type(value))


def _kind_of(kind: type) -> type | None:
    """The kind of value that the language knows a Python type as; None for all others."""
    if issubclass(kind, int | float) and not issubclass(kind, bool):
        return float
    return next((known for known in _READERS if issubclass(kind, known)), None)


def _number(text: str) -> int | float | None:
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    return float(text) if found[2] else int(text)


def _duration(text: str) -> timedelta | None:
    found = _DURATION.fullmatch(text)
    return timedelta(seconds=float(found[1])) if found else None


def _moment(text: str) -> datetime | None:
    found = _MOMENT.fullmatch(text)
    if not found:
        return None
    day, time, fraction, zone = found.groups()
    offset = "+00:00" if zone in ("Z", "z") else zone
    # Python 3.10 reads three or six digits of a second and no Z.
    return datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}{offset}")


_READERS: Mapping[type, Callable[[str], Any]] = {
    str: str,
    bool: {"true": True, "false": False}.get,
    float: _number,
    datetime: _moment,
    timedelta: _duration,
}
