"""A walk as plain values, and as a page in one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from importlib.resources import files
from typing import Any

from unified_mlops.lineage.render.words import summary, title
from unified_mlops.lineage.subgraph import Subgraph

_SCRIPTS = ("layout.js", "walk.js", "page.js", "panel.js", "control.js")


def as_dict(subgraph: Subgraph) -> dict[str, Any]:
    """The walk as plain values that any JSON reader takes."""
    edges = []
    for step in subgraph.steps:
        edge = step.edge
        known = subgraph.evidence.get((edge.source, edge.kind, edge.target), ())
        told = [_fields(one) for one in known]
        edges.append(_fields(edge) | {"here": step.here, "there": step.there, "evidence": told})
    values = {
        "root": subgraph.root,
        "direction": subgraph.direction,
        "truncated": subgraph.truncated,
        "summary": summary(subgraph),
        "nodes": [
            _fields(node) | {"title": title(subgraph, uri), "coarse": uri in subgraph.coarse}
            for uri, node in subgraph.nodes.items()
        ],
        "edges": edges,
    }
    return {key: _strict(value) for key, value in values.items()}


def html(sections: Sequence[tuple[str, Subgraph]], heading: str = "Lineage") -> str:
    """The walks as one page that needs no network.

    Args:
        sections: a title and a walk for each tab.
        heading: the page's title.
    """
    data = {
        "heading": heading,
        "sections": [{"title": name, **as_dict(subgraph)} for name, subgraph in sections],
    }
    style, script = _part("page.css"), "".join(map(_part, _SCRIPTS))
    parts = {
        "HEADING": escape(heading),
        "STYLE": style,
        "SCRIPT": script,
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        # so that no value can end the script element
        "DATA": json.dumps(data).replace("<", "\\u003c"),
    }
    # in one pass: what a value contains is no place to fill
    return re.sub(r"__([A-Z_]+)__", lambda place: parts[place[1]], _part("page.html"))


def _fields(record: Any) -> dict[str, Any]:
    """A dataclass as a dictionary, without the deep copies of `asdict`."""
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _strict(value: Any) -> Any:
    """JSON knows no infinity and no NaN: these are spelt out."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _strict(one) for key, one in value.items()}
    return [_strict(one) for one in value] if isinstance(value, list | tuple) else value


def _part(name: str) -> str:
    return files("unified_mlops.lineage.render").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a content security policy names an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
