"""What Ray and models answer -> plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into our error."""
    try:
        yield
    except OSError as error:
        raise BackendError(
            f"{str(path)!r} cannot be used: {error.strerror or error}",
            hint=f"see to the space and permissions of {path.parent}",
        ) from error


# --- models ---


def answers(values: Any) -> list[Any]:
    """A model's predictions as plain Python values, one for each instance."""
    if hasattr(values, "to_dict") and getattr(values, "ndim", 1) == 2:
        return list(values.to_dict("records"))
    return [plain(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]


def plain(value: Any) -> Any:
    """A value without the types of numpy and pandas."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str | int | float | bool | None):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def to_json(value: Any) -> str:
    """A value as strict JSON: what is not a number becomes null, anything unknown its text."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_foreign)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_foreign)


def _foreign(value: Any) -> Any:
    return plain(value) if hasattr(value, "tolist") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
