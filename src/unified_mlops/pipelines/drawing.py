"""The graph of a pipeline, and its picture: one SVG file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from unified_mlops.records import TaskState

COLOURS: Mapping[TaskState, str] = {
    "FAILED": "#f8c9c4",
    "RUNNING": "#cfe2ff",
    "CANCELLED": "#ffe3b3",
    "SUCCEEDED": "#cdeccf",
    "SKIPPED": "#e0d7f5",
    "PENDING": "#ffffff",
    "NOT_TRIGGERED": "#ececec",
}
"""What each state is filled with; the first that any instance of a task is in counts."""
WORDS: Mapping[TaskState, str] = {"SKIPPED": "from the cache", "NOT_TRIGGERED": "not triggered"}
"""The states that people have other words for."""

_GAP = 28
_HEIGHT = 42
_ACROSS = 8
"""Boxes side by side, of those that wait for the same."""
_LONGEST = 48
"""Characters of a label."""
_LETTER = 7.3
"""Width of a character of the label's font."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ITERATION = re.compile(r"(\[\d+\])+$")


@dataclass(frozen=True, slots=True)
class Box:
    """A task of a pipeline, or a group of tasks.

    Args:
        name: what its record is called, without the number of an iteration.
        after: the names of the boxes beside it that go before it.
        parts: what stands in it, where it is a group.
    """

    name: str
    after: tuple[str, ...]
    parts: tuple[Box, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Drawn:
    width: float
    height: float
    shapes: tuple[str, ...]


def base(name: str) -> str:
    """The name of a task without the number of its iteration: `train` of `train[2][0]`."""
    return _ITERATION.sub("", name)


def boxes(spec: Mapping[str, Any], names: Mapping[str, str]) -> tuple[Box, ...]:
    """The graph of a compiled pipeline.

    Args:
        spec: KFP's intermediate representation.
        names: what the record of each task is called, by its path (`group.task`); the last part
            of the path where left out.
    """
    components = spec.get("components", {})

    def level(component: Mapping[str, Any], path: str) -> Iterator[Box]:
        tasks = component["dag"].get("tasks", {})
        title = {key: names.get(path + key, key) for key in tasks}
        for key, task in tasks.items():
            inner = components.get(task.get("componentRef", {}).get("name"), {})
            parts = tuple(level(inner, f"{path}{key}.")) if "dag" in inner else None
            before = tuple(title[each] for each in _before(task) if each in title)
            yield Box(title[key], before, parts)

    return tuple(level(spec.get("root", {"dag": {}}), ""))


def leaves(graph: Sequence[Box]) -> frozenset[str]:
    """The names of the tasks that are no group."""
    own = {box.name for box in graph if box.parts is None}
    return frozenset(own.union(*(leaves(box.parts) for box in graph if box.parts is not None)))


def rows(graph: Sequence[Box]) -> Iterator[Sequence[Box]]:
    """The boxes by how many others stand before them, and not too many side by side."""
    waiting, placed = list(graph), set[str]()
    while waiting:
        ready = [box for box in waiting if placed.issuperset(box.after)] or waiting
        waiting = [box for box in waiting if box not in ready]
        placed.update(box.name for box in ready)
        yield from (ready[i : i + _ACROSS] for i in range(0, len(ready), _ACROSS))


def svg(title: str, graph: Sequence[Box], states: Mapping[str, Mapping[TaskState, int]]) -> str:
    """The picture of a graph, coloured by how far its tasks are.

    Args:
        title: what stands above it.
        graph: what `boxes` returned.
        states: how many instances of each task are in which state.

    Returns:
        An SVG document without scripts, in which every text is escaped.
    """
    drawn = _level(graph, states)
    width = max(drawn.width, len(title) * _LETTER) + 2 * _GAP
    height = drawn.height + 3 * _GAP
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            text(_GAP, _GAP, title, 'font-size="14" font-weight="bold"'),
            f'<g transform="translate({_GAP},{2 * _GAP})">',
            *drawn.shapes,
            "</g></svg>",
        )
    )


def text(x: float, y: float, words: str, style: str = "") -> str:
    """A line of text in a picture, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{clean(words)}</text>'


def clean(words: str) -> str:
    """A text as it may stand in an SVG document."""
    return escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", words))


def _before(task: Mapping[str, Any]) -> list[str]:
    """The keys of the tasks that a task waits for."""
    found = list(task.get("dependentTasks", ()))
    for part in task.get("inputs", {}).values():
        for given in part.values():
            of_task = (value for value in given.values() if isinstance(value, Mapping))
            found += [value["producerTask"] for value in of_task if "producerTask" in value]
    return list(dict.fromkeys(found))


def _level(graph: Sequence[Box], states: Mapping[str, Mapping[TaskState, int]]) -> _Drawn:
    """Boxes in rows, each below those that it waits for, and the lines between them."""
    drawn_rows = [[(box, _box(box, states)) for box in row] for row in rows(graph)]
    widths = [sum(drawn.width + _GAP for _, drawn in row) - _GAP for row in drawn_rows]
    width, y = max(widths, default=0.0), 0.0
    shapes, ends = [], {}
    for row, taken in zip(drawn_rows, widths, strict=True):
        x = (width - taken) / 2
        for box, drawn in row:
            shapes += [f'<g transform="translate({x:.1f},{y:.1f})">', *drawn.shapes, "</g>"]
            ends[box.name] = (x + drawn.width / 2, y, y + drawn.height)
            x += drawn.width + _GAP
        y += max(drawn.height for _, drawn in row) + _GAP
    lines = [_line(ends[name], ends[box.name]) for box in graph for name in box.after]
    return _Drawn(width, max(y - _GAP, 0), (*lines, *shapes))


def _box(box: Box, states: Mapping[str, Mapping[TaskState, int]]) -> _Drawn:
    counts = states.get(box.name) or {"PENDING": 1}
    state = next(state for state in COLOURS if counts.get(state))
    label = box.name if len(box.name) <= _LONGEST else f"{box.name[: _LONGEST - 1]}…"
    inner = _level(box.parts, states) if box.parts is not None else _Drawn(0, 0, ())
    told = _told(counts)
    width = max(len(label) * _LETTER, len(told) * 6, inner.width) + _GAP
    height = _HEIGHT + (inner.height + _GAP / 2 if box.parts else 0)
    colour = COLOURS[state] if box.parts is None else "#fafafa"
    shapes = (
        f"<title>{clean(f'{box.name}: {told}')}</title>",
        f'<rect width="{width:.1f}" height="{height:.1f}" rx="6" fill="{colour}" '
        f'stroke="{"#c0392b" if state == "FAILED" else "#888"}"/>',
        text(width / 2, 18, label, 'text-anchor="middle"'),
        text(width / 2, 33, told, 'text-anchor="middle" font-size="10" fill="#555"'),
        f'<g transform="translate({(width - inner.width) / 2:.1f},{_HEIGHT})">',
        *inner.shapes,
        "</g>",
    )
    return _Drawn(width, height, shapes)


def _told(counts: Mapping[TaskState, int]) -> str:
    """`succeeded`; of several instances how many there are, and how many in which state."""
    words = {state: WORDS.get(state, state.lower()) for state in COLOURS if counts.get(state)}
    total = sum(counts.values())
    if total == 1:
        return next(iter(words.values()))
    parts = ", ".join(f"{counts[state]} {word}" for state, word in words.items())
    return f"\N{MULTIPLICATION SIGN}{total}: {parts}"


def _line(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    (x1, _, y1), (x2, y2, _) = start, end
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:.1f},{y1:.1f} C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} '
        f'{x2:.1f},{y2:.1f}" fill="none" stroke="#999"/>'
    )
