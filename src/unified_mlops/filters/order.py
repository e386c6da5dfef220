"""`order_by`, as AIP-132 has it: `create_time desc, display_name`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from unified_mlops.filters.nodes import Record, value_at
from unified_mlops.filters.scan import Scanner

T = TypeVar("T")

_DIRECTION = re.compile(r"[^\s,]+")


@dataclass(frozen=True, slots=True)
class Key:
    """One field to sort by."""

    path: tuple[str, ...]
    descending: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An order that was read: by the first key, and where that is equal by the next."""

    keys: tuple[Key, ...]

    def sort(self, items: Iterable[T], record: Callable[[T], Record]) -> list[T]:
        """The items in this order; those equal in it stay as they came.

        Args:
            items: what to sort.
            record: gives an item's fields. What has no value comes last, in both directions;
                values of several types are sorted by type first.
        """
        done = list(items)
        for key in reversed(self.keys):
            found = [(_rank(value_at(record(item), key.path)), item) for item in done]
            there = [pair for pair in found if pair[0] is not None]
            there.sort(key=lambda pair: pair[0], reverse=key.descending)
            done = [item for _, item in there] + [item for rank, item in found if rank is None]
        return done


def parse_order(text: str, fields: Collection[str] | None = None) -> Order:
    """Read an order; an empty one leaves things as they are.

    Args:
        text: paths with commas between, each perhaps followed by `desc` or `asc`.
        fields: the fields there are; None: any.

    Raises:
        ArgumentError: it cannot be read; points at the column and says what belongs there.
    """
    scanner = Scanner("order_by", text, fields)
    keys: list[Key] = []
    while scanner.skip() < len(text):
        start = scanner.at
        path = scanner.path()
        scanner.check(path[0], start)
        at = scanner.skip()
        direction = scanner.take(_DIRECTION)
        if direction not in ("", "asc", "desc"):
            raise scanner.error(f"{direction!r} is no direction", "write desc, asc or a comma", at)
        keys.append(Key(path, direction == "desc"))
        at = scanner.skip()
        if scanner.sign(",") and scanner.skip() == len(text):
            raise scanner.error("nothing stands after this comma", "leave it out", at)
        if at < len(text) and text[at] != ",":
            raise scanner.error(f"{text[at]!r} cannot stand here", "write a comma", at)
    return Order(tuple(keys))


def _rank(value: Any) -> Any:
    """The value as something that can be compared with every other rank; None where it cannot."""
    if isinstance(value, datetime):
        return ("datetime", value if value.tzinfo else value.replace(tzinfo=timezone.utc))
    if isinstance(value, int | float):
        return ("number", value) if value == value else None  # noqa: PLR0124  NaN has no place
    if isinstance(value, timedelta):
        return ("timedelta", value)
    return ("str", value) if isinstance(value, str) else None
