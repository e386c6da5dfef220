"""What a snapshot names in its tags and metadata: models, and the data that was compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unified_mlops.errors import LineageError
from unified_mlops.lineage import urn

_MODEL = re.compile(r"models:/(?!/)[^\s?#]+")
_PLACE = re.compile(
    r"(?i)(file|s3[an]?|gs|gcs|abfss?|wasbs?|hdfs|postgres(ql)?|sqlite)[\w+]*:.+|/.+"
)
_DATA = frozenset(
    [
        *("data", "dataset", "datasets", "table", "source", "sources", "input", "inputs"),
        *("reference", "baseline", "current", "train", "training", "test", "production"),
    ]
)
_SECRET = re.compile(r"(?i)pass|pwd|token|secret|key|credential|auth")


@dataclass(frozen=True, slots=True)
class Names:
    """Things that a snapshot names.

    Args:
        models: `models:/…` texts, whose meaning the registry knows.
        datasets: URNs.
        unknown: `key=text` where the key says that data is meant, and nothing tells which.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    unknown: tuple[str, ...]


def names(metadata: Mapping[str, Any], tags: Sequence[Any]) -> Names:
    """What stands in the metadata under any key, and in tags, alone or as `key=text`.

    What stands under a key by which people keep secrets is not looked at.

    Args:
        metadata: of a snapshot; values may be texts, lists and mappings of them.
        tags: of a snapshot.
    """
    models, datasets, unknown = [], [], []
    for key, text in (*_flat("", metadata), *_tagged(tags)):
        if _SECRET.search(key) or key.startswith("unified_mlops."):
            continue
        if _MODEL.fullmatch(text):
            models.append(text)
        elif place := _place(key, text):
            datasets.append(place)
        elif text and _means_data(key):
            unknown.append(f"{key}={urn.without_secrets(text)[:200]}")
    kept = (tuple(dict.fromkeys(found)) for found in (models, datasets, unknown))
    return Names(*kept)


def place(text: object) -> str:
    """The URN of a text that names a file, an object, a table or a thing; empty if it does not."""
    try:
        return urn.canonical(text) if isinstance(text, str) and text else ""
    except LineageError:
        return ""


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not _SECRET.search(str(name)):
                yield from _flat(str(name), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flat(key, item)
    elif isinstance(value, str):
        yield key, value.strip()


def _tagged(tags: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for tag in tags:
        key, equals, text = str(tag).partition("=")
        named = equals and "/" not in key
        yield (key.strip(), text.strip()) if named else ("", str(tag).strip())


def _means_data(key: str) -> bool:
    return not _DATA.isdisjoint(re.split(r"[\W_]+", key.lower()))


def _place(key: str, text: str) -> str:
    """A location under a key that means data, or in a tag of its own."""
    return place(text) if (not key or _means_data(key)) and _PLACE.fullmatch(text) else ""
