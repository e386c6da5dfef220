"""What KFP's classification metrics say, as pictures: a ROC curve and a confusion matrix.

They are SVG files of a few kilobytes that every browser shows; the same as a plotly page would
take 4 megabytes for each task, or a network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unified_mlops.pipelines.drawing import clean, text

_SIDE = 320
_MARGIN = 60
_CELL = 56
_LARGEST = 50
"""Categories above which a matrix is not drawn."""


def charts(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pictures of the metadata of a `system.ClassificationMetrics` artifact.

    Args:
        metadata: with `confidenceMetrics`, `confusionMatrix`, both or neither.

    Yields:
        `roc` or `confusion_matrix`, and its SVG document; nothing for what cannot be drawn.
    """
    points = list(_points(metadata.get("confidenceMetrics")))
    if len(points) > 1:
        yield "roc", _roc(points)
    labels, rows = _matrix(metadata.get("confusionMatrix"))
    if labels:
        yield "confusion_matrix", _confusion(labels, rows)


def _points(given: Any) -> Iterator[tuple[float, float]]:
    """Rates of false and of true positives, as far as they are rates."""
    for point in given if isinstance(given, Sequence) else ():
        x, y = (_number(point, key) for key in ("falsePositiveRate", "recall"))
        if 0 <= x <= 1 and 0 <= y <= 1:
            yield x, y


def _matrix(given: Any) -> tuple[list[str], list[list[float]]]:
    """The categories and as many rows of as many numbers; nothing where they do not fit."""
    if not isinstance(given, Mapping):
        return [], []
    specs, rows = given.get("annotationSpecs", ()), given.get("rows", ())
    labels = [str(_get(each, "displayName")) for each in specs]
    cells = [[_number({"v": cell}, "v") for cell in _get(row, "row") or ()] for row in rows]
    size = len(labels)
    fits = len(cells) == size <= _LARGEST and all(len(row) == size for row in cells)
    return (labels, cells) if fits else ([], [])


def _get(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, Mapping) else None


def _number(mapping: Any, key: str) -> float:
    value = _get(mapping, key)
    return value if isinstance(value, int | float) else math.nan


def _roc(points: Sequence[tuple[float, float]]) -> str:
    curve = sorted(points)
    path = " ".join(f"{_MARGIN + x * _SIDE:.1f},{_MARGIN + (1 - y) * _SIDE:.1f}" for x, y in curve)
    low, high, middle = _MARGIN + _SIDE, _MARGIN, _MARGIN + _SIDE / 2
    shapes = [
        f'<rect x="{high}" y="{high}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#888"/>',
        f'<path d="M{high},{low} L{low},{high}" stroke="#bbb" stroke-dasharray="4"/>',
        f'<polyline points="{path}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
        text(middle, 30, "ROC curve", 'text-anchor="middle" font-size="14"'),
        text(middle, low + 36, "false positive rate", 'text-anchor="middle"'),
        f'<g transform="translate(20,{middle}) rotate(-90)">',
        text(0, 0, "true positive rate", 'text-anchor="middle"'),
        "</g>",
    ]
    for tick in (0, 0.5, 1):
        at = _MARGIN + tick * _SIDE
        shapes.append(text(at, low + 16, f"{tick:g}", 'text-anchor="middle"'))
        shapes.append(text(high - 8, low - tick * _SIDE + 4, f"{tick:g}", 'text-anchor="end"'))
    return _page(_SIDE + 2 * _MARGIN, _SIDE + 2 * _MARGIN, shapes)


def _confusion(labels: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    left = 40 + 7 * min(20, max(map(len, labels)))
    top, size = 90, _CELL * len(labels)
    most = max((abs(cell) for row in rows for cell in row if math.isfinite(cell)), default=0) or 1
    middle = left + size / 2
    shapes = [
        text(middle, 30, "confusion matrix", 'text-anchor="middle" font-size="14"'),
        text(middle, 52, "columns: predicted, rows: true", 'text-anchor="middle"'),
    ]
    for at, label in enumerate(labels):
        short = label if len(label) <= 20 else f"{label[:19]}…"
        middle = (at + 0.5) * _CELL
        shapes.append(text(left - 8, top + middle + 4, short, 'text-anchor="end"'))
        column = short if len(short) <= 8 else f"{short[:7]}…"
        shapes.append(text(left + middle, top - 8, column, 'text-anchor="middle"'))
        for across, cell in enumerate(rows[at]):
            name = f"true {label}, predicted {labels[across]}: {cell:g}"
            place = left + across * _CELL, top + at * _CELL
            shapes.append(_cell(*place, cell, abs(cell) / most, name))
    return _page(max(left + size + 40, 300), top + size + 40, shapes)


def _cell(x: float, y: float, value: float, share: float, name: str) -> str:
    share = share if math.isfinite(share) else 0
    style = f'text-anchor="middle" fill="{"white" if share > 0.6 else "black"}"'
    number = text(x + _CELL / 2, y + _CELL / 2 + 4, f"{value:g}", style)
    return (
        f"<g><title>{clean(name)}</title>"
        f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" stroke="#ccc" '
        f'fill="#1f6feb" fill-opacity="{share:.2f}"/>'
        f"{number}</g>"
    )


def _page(width: float, height: float, shapes: Sequence[str]) -> str:
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="12">'
    )
    return "\n".join((start, '<rect width="100%" height="100%" fill="white"/>', *shapes, "</svg>"))
