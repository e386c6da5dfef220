"""What a page may show of parameters and metadata: small values, and no secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from unified_mlops.records import Scalar

_LONGEST = 200
_MASK = "***"
_WORDS = (
    r"passw\w*|pwd|secret\w*|token|api_?key|access_?key\w*|private_?key|credentials?|signature|sig"
)
_NAME = re.compile(rf"(^|[^a-z])({_WORDS}|auth\w*)([^a-z]|$)", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_ASSIGNED = re.compile(
    rf"((?:{_WORDS})[\"']?\s*[=:]\s*[\"']?|\bbearer\s+)[^\s\"',;&}}]+", re.IGNORECASE
)


def shown(prefix: str, values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Values that fit on a page: numbers, and text that is not long; secrets are masked."""
    found: dict[str, Scalar] = {}
    for name, value in _masked(values).items():
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        text: Scalar = value if plain else json.dumps(value)
        if len(str(text)) <= _LONGEST:
            found[prefix + name] = text
    return found


def clean(text: str) -> str:
    """A text without the credentials that stand in it."""
    return _ASSIGNED.sub(rf"\1{_MASK}", _USER.sub("", text))


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): _masked(item)
            if isinstance(item, int | float) or not _secret(str(name))
            else _MASK
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def _secret(name: str) -> bool:
    # camelCase and snake_case alike, but neither `tokenizer` nor `author`
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return bool(_NAME.search(words)) and "author" not in words.lower()
