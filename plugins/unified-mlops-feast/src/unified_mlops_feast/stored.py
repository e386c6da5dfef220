"""What stands in a registry, read without Feast's own objects.

Those would run the pickled functions of views, make tables where there are none, and cost Feast's
import of many seconds even where nothing is new.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError, ConfigError, store_error
from unified_mlops.lineage import urn
from unified_mlops_feast.names import PLACES, Names

_HISTORY = "feature_view_version_history"
_VIEW = "feature_view_proto, feature_view_name, project_id"
_TABLES = {
    "data_sources": "data_source_proto, data_source_name, project_id",
    "feature_views": _VIEW,
    "stream_feature_views": _VIEW,
    "on_demand_feature_views": _VIEW,
    "feature_services": "feature_service_proto, feature_service_name, project_id",
    _HISTORY: (
        "feature_view_proto, feature_view_name, version_number, feature_view_type,"
        " created_timestamp"
    ),
}
"""The tables of Feast's SQL registry (0.67), named as the registry's fields are; their columns."""


@dataclass(frozen=True)
class Settings:
    """What `feature_store.yaml` says of the registry and of where tables are.

    Args:
        project: the project.
        kind: `file` or `sql`; anything else only Feast itself can read.
        path: the registry's path as it is spelt, which may hold a password.
        location: its canonical form, which holds none.
        offline: where the offline store is.
        repo: the folder of the settings.
    """

    project: str
    kind: str
    path: str = field(repr=False)
    location: str
    offline: Mapping[str, str]
    repo: Path

    @property
    def names(self) -> Names:
        """The URNs of the project."""
        return Names.of(self.location, self.project, self.repo, self.offline)

    @property
    def file(self) -> Path | None:
        """The registry's file, where it is one on this machine."""
        scheme, _, rest = self.location.partition(":")
        return urn.path_of(f"file:{rest}") if scheme in {"file", "sqlite"} else None


Message = tuple[str, bytes, tuple[Any, ...]]
"""The registry's field, the serialised message, and what a table has beside it."""


@dataclass(frozen=True)
class Stored:
    """A registry's messages, still serialised."""

    messages: tuple[Message, ...]

    @property
    def digest(self) -> str:
        """Equal as long as nothing in the registry was written."""
        content = hashlib.sha256()
        for name, message, beside in self.messages:
            content.update(f"{name} {beside} {len(message)} ".encode() + message)
        return content.hexdigest()

    def registry(self, settings: Settings) -> Any:
        """The registry's message, with what a SQL registry leaves to its columns filled in.

        Raises:
            BackendError: it is no registry, or only a part of one.
        """
        from feast.protos.feast.core.Registry_pb2 import Registry

        registry = Registry()
        with _whole(settings):
            for name, message, beside in self.messages:
                if not name:
                    registry.MergeFromString(message)
                elif name == _HISTORY:
                    _add_version(registry, settings.project, message, *beside)
                else:
                    made = getattr(registry, name).add()
                    made.MergeFromString(message)
                    getattr(made, "spec", made).project = settings.project
        if settings.kind == "file" and not registry.registry_schema_version:
            raise _corrupted(settings)
        return registry


def read_settings(repo: Path) -> Settings:
    """Read `feature_store.yaml`, as Feast does, without importing Feast.

    Raises:
        ConfigError: it cannot be read.
    """
    found = _yaml(repo / "feature_store.yaml")
    registry = found.get("registry") or "data/registry.db"
    if not isinstance(registry, dict):
        registry = {"path": registry}
    offline = found.get("offline_store")
    places = offline if isinstance(offline, dict) else {}
    path = str(registry.get("path") or "")
    kind = str(registry.get("registry_type", "file"))
    local = "://" not in path or path.startswith("file:")
    return Settings(
        project=found["project"],
        kind=kind if kind != "file" or local else "object",
        path=path,
        location=_location(kind, registry, repo),
        offline={
            name: str(places[name]).rpartition("@")[2]  # without credentials
            for name in sorted(PLACES & places.keys())
        },
        repo=repo,
    )


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(os.path.expandvars(path.read_text()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(path, str(error).partition("\n")[0]) from error
    if not isinstance(found, dict) or not isinstance(found.get("project"), str):
        raise _unusable(path, "it names no project")
    return found


def read(settings: Settings) -> Stored:
    """Read what stands in the registry now.

    Raises:
        BackendError: it is locked, broken, out of reach or no registry.
        ConfigError: the driver of its database is not installed.
    """
    if settings.kind == "file" and settings.file:
        return Stored((("", settings.file.read_bytes(), ()),))
    if settings.kind == "sql":
        return Stored(tuple(_rows(settings)))
    from feast import FeatureStore

    registry = FeatureStore(repo_path=str(settings.repo)).registry.proto()
    return Stored((("", registry.SerializeToString(deterministic=True), ()),))


def _location(kind: str, registry: Mapping[str, Any], repo: Path) -> str:
    if kind == "snowflake.registry":
        account, *rest = (str(registry.get(key, "")) for key in ("account", "database", "schema"))
        return f"snowflake://{account.lower()}/{'.'.join(rest)}"
    path = str(registry.get("path") or "")
    return path.lower() if kind == "remote" else urn.canonical(path, repo)


def _rows(settings: Settings) -> Iterator[Message]:
    """The messages that the tables of Feast 0.67's SQL registry hold for the project."""
    from sqlalchemy import text

    project = {"project": settings.project}
    with _connected(settings) as (connection, there):
        for table, columns in _TABLES.items():
            if table not in there:
                continue  # of a registry that is older than Feast's version history
            query = f"SELECT {columns} FROM {table} WHERE project_id = :project ORDER BY 2, 3"
            for message, *beside in connection.execute(text(query), project):
                yield table, bytes(message), tuple(beside)


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[Any, set[str]]]:
    """A connection that only reads, and the names of the tables."""
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(_url(settings), poolclass=NullPool)
        with engine.connect() as connection:
            there = set(inspect(connection).get_table_names())
            if not _TABLES.keys() - {_HISTORY} <= there:
                raise _corrupted(settings)
            yield connection, there
    except SQLAlchemyError as error:
        hint = "see `registry` in " + str(settings.repo / "feature_store.yaml")
        raise store_error(f"the registry {settings.location!r}", error, mend=hint) from error
    except ModuleNotFoundError as error:
        fact = f"the registry {settings.location!r} needs {error.name!r}, which is not installed"
        raise ConfigError(fact, hint=f"pip install {error.name}") from error


def _url(settings: Settings) -> str:
    if settings.file:
        return f"sqlite:///{settings.file}"
    return re.sub("^postgres(ql)?://", "postgresql+psycopg://", settings.path)  # as Feast does


def _add_version(registry: Any, project: str, message: bytes, *beside: Any) -> None:
    view, number, kind, created = beside
    record = registry.feature_view_version_history.records.add(
        feature_view_name=view,
        project_id=project,
        version_number=number,
        feature_view_type=kind,
        feature_view_proto=message,
    )
    record.created_timestamp.FromSeconds(int(created))


@contextmanager
def _whole(settings: Settings) -> Iterator[None]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        yield
    except DecodeError as error:
        raise _corrupted(settings) from error


def _corrupted(settings: Settings) -> BackendError:
    fact = f"the registry {settings.location!r} is corrupted, half-written or not Feast's"
    hint = f"move it away, and then: feast -c {settings.repo} apply"
    return BackendError(fact, hint=hint)


def _unusable(path: Path, said: str) -> ConfigError:
    return ConfigError(f"{str(path)!r} cannot be used: {said}", hint=f"mend {path}")
