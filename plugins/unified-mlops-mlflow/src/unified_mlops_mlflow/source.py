"""A dataset source for what MLflow has no name for: our URNs, and tables of databases.

mlflow.data.from_pandas(frame, source="feast://…")
"""

from __future__ import annotations

import json
from typing import Any

from unified_mlops.errors import UnsupportedError
from unified_mlops.lineage import urn

_SCHEMES = {
    *("feast", "kfp", "ray", "evidently", "prediction"),
    *("postgresql", "postgres", "mysql", "sqlite"),
}


class UrnSource:
    """MLflow's `DatasetSource`, by shape: deriving from it would import MLflow.

    Args:
        uri: the URN, or any spelling of a database table; credentials are dropped.
    """

    def __init__(self, uri: str) -> None:
        self.uri = urn.canonical(uri)

    @staticmethod
    def _get_source_type() -> str:
        return "unified_mlops"

    def load(self) -> Any:
        """Refuse: a URN says what a thing is, not how to read it.

        Raises:
            UnsupportedError: always.
        """
        hint = f"umlops lineage up '{self.uri}' says what it was made from"
        raise UnsupportedError(f"{self.uri!r} is a name and cannot be loaded", hint=hint)

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        if isinstance(raw_source, UrnSource):
            return True
        if not isinstance(raw_source, str):
            return False
        scheme, separator, _ = raw_source.partition(":")
        return bool(separator) and scheme.lower().partition("+")[0] in _SCHEMES

    @classmethod
    def _resolve(cls, raw_source: Any) -> UrnSource:
        return raw_source if isinstance(raw_source, UrnSource) else cls(raw_source)

    def to_dict(self) -> dict[str, Any]:
        """What MLflow stores of it."""
        return {"uri": self.uri}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> UrnSource:
        """What `to_dict` gave."""
        return cls(source_dict["uri"])

    @classmethod
    def from_json(cls, source_json: str) -> UrnSource:
        """What `to_json` gave."""
        return cls.from_dict(json.loads(source_json))
