"""Observations as rows: kept once each, whoever tells them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from unified_mlops.lineage.rows import Rows
from unified_mlops.records import Observation


def as_row(collector: str, observation: Observation) -> dict[str, Any]:
    """An observation as a row of its table, all but its number."""
    body = json.dumps(_plain(observation) | {"key": None}, sort_keys=True, default=_plain)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return {
        **{"collector": collector, "key": observation.key, "hash": digest},
        **{"time": observation.time, "body": body},
    }


def keep(rows: Rows, observed: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Insert the observations that are not there yet, and return them with their numbers."""
    fresh = {(item["collector"], item["key"], item["hash"]): item for item in observed}
    for old in rows.among("observation", key=(key for _, key, _ in fresh)):
        fresh.pop((old["collector"], old["key"], old["hash"]), None)
    first = rows.next_id("observation")
    new = [{**item, "id": first + place} for place, item in enumerate(fresh.values())]
    rows.insert("observation", new)
    return new


def _plain(value: Any) -> Any:
    """A record as a dictionary; anything else that JSON does not know as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    return dict(value) if isinstance(value, Mapping) else str(value)
