"""How far the collector has read, kept as text between two collections."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a collection leaves to the next one.

    Args:
        store: the instance that was read; the cursor means nothing to another one.
        since: from when on records are read again, in milliseconds.
        looked: when the last look at the registry began, in seconds.
        glance: a mark of the database file, where there is one.
        rows: the last row that was seen of some tables of the database file.
        told: marks of the records that will be read again although they have been told.
        aliases: the version that each alias of each registered model pointed at.
        versions: the versions of each registered model, as ranges.
        made: when each registered model was created, in milliseconds.
        gone: versions, as `<name>/<number>`, that were deleted and may have been made anew since.
    """

    store: str = ""
    since: int = 0
    looked: float | None = None
    glance: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    gone: tuple[str, ...] = ()

    @classmethod
    def load(cls, text: str | None) -> Cursor:
        """The cursor of a text; what cannot be read is the beginning, as repeats add nothing."""
        try:
            stored = json.loads(text or "{}")
        except ValueError:
            return cls()
        known = {each.name for each in fields(cls)}
        if not isinstance(stored, dict) or not known.issuperset(stored):
            return cls()
        return cls(**{**stored, "gone": tuple(stored.get("gone", ()))})

    def dump(self) -> str:
        """The text to keep."""
        return json.dumps(asdict(self), sort_keys=True)


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as text: `1-3 5` for 1, 2, 3 and 5."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def numbers(text: str) -> set[int]:
    """The numbers that `ranges` wrote."""
    found: set[int] = set()
    for part in text.split():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
