"""The URNs of a project's things, and of the physical tables, files and topics it reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.lineage import urn

Offline = Mapping[str, str]
"""What of the offline store's settings says where a table is; no credentials."""

PLACES = frozenset(
    [
        *("host", "port", "database", "db_schema", "schema", "account", "project_id"),
        *("cluster_id", "workgroup", "region", "catalog", "data_source"),
    ]
)
"""The settings of an offline store that qualify the names of tables."""


@dataclass(frozen=True)
class Names:
    """The URNs of one project in one registry.

    Args:
        store: the fingerprint of the registry's location.
        project: the project.
        repo: the folder that relative paths start from.
        offline: where the offline store is.
    """

    store: str
    project: str
    repo: Path
    offline: Offline = field(default_factory=dict)

    @classmethod
    def of(cls, registry: str, project: str, repo: Path, offline: Offline | None = None) -> Names:
        """The names of a project in the registry at a canonical location."""
        return cls(digest(registry), project, repo, offline or {})

    @property
    def root(self) -> str:
        """The URN of the project itself."""
        return f"feast://{self.store}/{quote(self.project)}"

    def view(self, name: str, version: str = "") -> str:
        """The URN of a view, or of one definition of it."""
        return urn.feature_view(self.store, quote(self.project), name) + _at(version)

    def service(self, name: str, version: str = "") -> str:
        """The URN of a feature service, or of one definition of it."""
        return f"{self.root}/featureService/{quote(name)}" + _at(version)

    def materialization(self, views: str, start: datetime, end: datetime) -> str:
        """The URN of one copy of views to the online store."""
        span = "--".join(time.astimezone(timezone.utc).isoformat() for time in (start, end))
        return f"{self.root}/materialization/{quote(views, safe='+')}/{span}"

    def source(self, source: Any) -> str:
        """The URN of a data source: its physical location where that is known, else its name.

        A query and what only its own store can find are versions: they may change under a name.
        """
        place = self.place(source)
        if place:
            return place
        options = source.WhichOneof("options")
        held = getattr(source, options).SerializeToString(deterministic=True) if options else b""
        version = "" if is_given(source) else digest(options, held.hex())
        return f"{self.root}/dataSource/{quote(source.name)}" + _at(version)

    def place(self, source: Any) -> str:
        """The physical URN of a data source; empty where its definition does not tell it."""
        options = source.WhichOneof("options")
        if path := source_path(source):
            return urn.canonical(path, self.repo)
        if options == "custom_options" and source.data_source_class_type.endswith(
            "PostgreSQLSource"
        ):
            return _postgresql(source.custom_options, self.offline)
        find = _FINDERS.get(options or "")
        return find(getattr(source, options), self.offline) if find else ""


def is_given(source: Any) -> bool:
    """Whether callers bring the values: request data, or rows that are pushed."""
    return bool(source.HasField("request_data_options") or source.type == source.PUSH_SOURCE)


def source_path(source: Any) -> str:
    """The path or object URI of a data source as its definition spells it; else empty."""
    options = source.WhichOneof("options")
    if options is None:
        return ""
    location = getattr(source, options)
    return str(getattr(location, "uri", "") or getattr(location, "path", ""))


def digest(*parts: Any) -> str:
    """A short hash of plain values."""
    text = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else _plain(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fingerprint(references: Iterable[str]) -> str:
    """The hash by which a set of feature references is known to other tools."""
    return hashlib.sha256("\n".join(sorted(set(references))).encode()).hexdigest()[:16]


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _at(version: str) -> str:
    return f"@{version}" if version else ""


def _qualified(table: str, *defaults: str) -> str:
    """A table's whole name, what it leaves out added; empty where a part is not known."""
    parts = [part.strip('"`[]') for part in table.split(".")] if table else []
    missing = len(defaults) + 1 - len(parts)
    whole = [*defaults[: max(missing, 0)], *parts]
    return ".".join(whole) if parts and missing >= 0 and all(whole) else ""


def _located(place: str, name: str) -> str:
    return f"{place}{name}" if name else ""


def _bigquery(options: Any, offline: Offline) -> str:
    table = options.table.replace(":", ".", 1)
    name = _qualified(table, offline.get("project_id", ""), "")
    return _located("bigquery:", name)


def _snowflake(options: Any, offline: Offline) -> str:
    defaults = (
        options.database or offline.get("database", ""),
        options.schema or offline.get("schema", ""),
    )
    account = offline.get("account", "").lower()
    return _located(
        f"snowflake://{account}/", _qualified(options.table, *defaults) if account else ""
    )


def _redshift(options: Any, offline: Offline) -> str:
    host = offline.get("cluster_id") or offline.get("workgroup") or ""
    database = options.database or offline.get("database", "")
    name = _qualified(options.table, database, options.schema or "public")
    place = f"redshift://{host}.{offline.get('region', '')}:5439/"
    return _located(place, name if host else "")


def _athena(options: Any, offline: Offline) -> str:
    catalog = options.data_source or offline.get("data_source", "")
    name = _qualified(options.table, catalog, options.database or offline.get("database", ""))
    region = offline.get("region", "")
    return _located(f"awsathena://athena.{region}.amazonaws.com/", name if region else "")


def _trino(options: Any, offline: Offline) -> str:
    name = _qualified(options.table, offline.get("catalog", ""), "")
    host = offline.get("host", "").lower()
    return _located(f"trino://{host}:{offline.get('port', '8080')}/", name if host else "")


def _postgresql(options: Any, offline: Offline) -> str:
    """Feast's contributed source, whose options are JSON: a table or a query."""
    table = str(json.loads(options.configuration or b"{}").get("table") or "")
    name = _qualified(table, offline.get("db_schema", "public"))
    host, database = offline.get("host", ""), offline.get("database", "")
    if not (name and host and database):
        return ""
    return urn.canonical(f"postgresql://{host}:{offline.get('port', '5432')}/{database}/{name}")


def _kafka(options: Any, _: Offline) -> str:
    servers = sorted(s.strip() for s in options.kafka_bootstrap_servers.lower().split(","))
    return _located(f"kafka://{servers[0]}/", options.topic if servers[0] else "")


def _kinesis(options: Any, _: Offline) -> str:
    return _located(f"kinesis://{options.region}/", options.stream_name)


_FINDERS: Mapping[str, Callable[[Any, Offline], str]] = {
    "bigquery_options": _bigquery,
    "snowflake_options": _snowflake,
    "redshift_options": _redshift,
    "athena_options": _athena,
    "trino_options": _trino,
    "kafka_options": _kafka,
    "kinesis_options": _kinesis,
}
