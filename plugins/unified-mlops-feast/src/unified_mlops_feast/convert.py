"""Feast → us: definitions as the registry holds them, their URNs, and native errors as ours.

Definitions are read from the registry's own messages, not from Feast's objects: building those
would run the pickled functions of on-demand views.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import (
    ArgumentError,
    BackendError,
    ConfigError,
    NotFoundError,
    UnifiedMLOpsError,
    store_error,
)
from unified_mlops.lineage import urn
from unified_mlops.records import FeatureViewRecord, Ref

PLUGIN = "feast"
_STORES = {"sqlalchemy", "duckdb", "_duckdb", "pyarrow", "redis"}
"""The packages whose errors say that a store is broken, locked or away."""

NO_DUCKDB_2 = "pip install 'duckdb<2'"
"""Feast 0.67 casts times in a way that DuckDB 2 refuses for nanoseconds, pandas' default."""

_NO_ENTITY = "__dummy_id"  # the join key that Feast gives to a view without entities


@dataclass(frozen=True)
class View:
    """A feature view of any kind, as the registry defines it.

    Args:
        name: unique in its project.
        keys: the join keys that a caller must give.
        features: Feast's value type of each feature, in definition order.
        source: the batch source's message; None for an on-demand view.
        inputs: the features that it is computed from, by the view they belong to.
        requests: the request sources of an on-demand view.
        message: the registry's own message.
    """

    name: str
    keys: tuple[str, ...]
    features: Mapping[str, int]
    message: Any
    source: Any = None
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requests: tuple[Any, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that a caller must give: join keys, then request data."""
        asked = (item.name for source in self.requests for item in request_columns(source))
        return tuple(dict.fromkeys((*self.keys, *asked)))


@dataclass(frozen=True)
class Names:
    """The URNs of one project in one registry.

    Args:
        store: the fingerprint of the registry's location.
        project: the project.
        repo: the folder that relative paths start from.
    """

    store: str
    project: str
    repo: Path

    @classmethod
    def of(cls, registry: str, project: str, repo: Path) -> Names:
        """The names of a project in the registry at a canonical location."""
        return cls(hashlib.sha256(registry.encode()).hexdigest()[:12], project, repo)

    @property
    def root(self) -> str:
        """The URN of the project itself."""
        return f"feast://{self.store}/{self.project}"

    def view(self, name: str) -> str:
        """The URN of a view."""
        return urn.feature_view(self.store, self.project, name)

    def service(self, name: str) -> str:
        """The URN of a feature service."""
        return f"{self.root}/featureService/{quote(name)}"

    def materialization(self, views: str, start: datetime, end: datetime) -> str:
        """The URN of one copy of views to the online store."""
        span = "--".join(time.astimezone(timezone.utc).isoformat() for time in (start, end))
        return f"{self.root}/materialization/{quote(views, safe='+')}/{span}"

    def source(self, source: Any) -> str:
        """The URN of a data source: its physical location where it is a path, else its name."""
        path = source_path(source)
        if path:
            return urn.canonical(path, self.repo)
        return f"{self.root}/dataSource/{quote(source.name)}"


def source_path(source: Any) -> str:
    """The path or object URI of a data source as its definition spells it; else empty."""
    options = source.WhichOneof("options")
    if options is None:
        return ""
    location = getattr(source, options)
    return str(getattr(location, "uri", "") or getattr(location, "path", ""))


def request_columns(source: Any) -> Any:
    """The schema of a request source."""
    return source.request_data_options.schema


def views_of(registry: Any, project: str) -> dict[str, View]:
    """The views of a project by name, from a registry message."""
    views: dict[str, View] = {}
    for message in (*registry.feature_views, *registry.stream_feature_views):
        if message.spec.project == project:
            views[message.spec.name] = _view(message)
    for message in registry.on_demand_feature_views:
        if message.spec.project == project:
            views[message.spec.name] = _on_demand_view(message, views)
    return dict(sorted(views.items()))


def view_record(view: View, names: Names) -> FeatureViewRecord:
    """The record of a view."""
    spec = view.message.spec
    return FeatureViewRecord(
        ref=Ref(PLUGIN, "feature_view", view.name, names.view(view.name)),
        name=view.name,
        entities=view.keys,
        features=tuple(view.features),
        source="" if view.source is None else names.source(view.source),
        description=spec.description,
        labels=dict(sorted(spec.tags.items())),
    )


@contextmanager
def translated(repo: Path) -> Iterator[None]:
    """Raise Feast's own errors, and those of its stores, as ours."""
    try:
        yield
    except UnifiedMLOpsError:
        raise
    except Exception as error:
        ours = _ours(error, repo)
        if ours is None:
            raise
        raise ours from error


def _ours(error: Exception, repo: Path) -> UnifiedMLOpsError | None:
    kinds = {base.__name__ for base in type(error).__mro__}
    origins = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    text = str(error).strip().partition("\n")[0]
    ours: UnifiedMLOpsError | None = None
    if "FeastObjectNotFoundException" in kinds:
        ours = NotFoundError(text, hint=f"feast -c {repo} feature-views list")
    elif kinds & {"FeastConfigError", "YAMLError"}:
        file = repo / "feature_store.yaml"
        ours = ConfigError(f"{str(file)!r} cannot be used: {error}", hint=f"mend {file}")
    elif "DecodeError" in kinds:
        hint = f"move the registry file away, and then: feast -c {repo} apply"
        ours = BackendError(f"the registry of {str(repo)!r} is corrupted", hint=hint)
    elif "IbisError" in kinds:
        hint = "Feast's DuckDB store drops names that end in '_y': rename such features"
        ours = BackendError(f"the offline store cannot join: {text}", hint=hint)
    elif "sqlite3" in origins:
        hint = f"move it and the registry away, and then: feast -c {repo} apply, and materialise"
        ours = store_error(f"the online store of {str(repo)!r}", error, mend=hint)
    elif isinstance(error, OSError) or origins & _STORES:
        nanoseconds = "TIMESTAMPTZ_NS" in text
        hint = NO_DUCKDB_2 if nanoseconds else f"see what {repo / 'feature_store.yaml'} names"
        ours = store_error(f"a store of {str(repo)!r}", error, mend=hint)
    elif isinstance(error, ValueError) or "FeastError" in kinds:
        ours = ArgumentError(text, hint=f"see the definitions in {repo}")
    return ours


def _view(message: Any) -> View:
    spec = message.spec
    return View(
        name=spec.name,
        keys=tuple(key.name for key in spec.entity_columns if key.name != _NO_ENTITY),
        features={feature.name: feature.value_type for feature in spec.features},
        message=message,
        source=spec.batch_source if spec.HasField("batch_source") else None,
        inputs={
            parent.name: tuple(feature.name for feature in parent.features)
            for parent in getattr(spec, "source_views", ())
        },
    )


def _on_demand_view(message: Any, views: Mapping[str, View]) -> View:
    spec = message.spec
    keys: dict[str, None] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    requests = []
    for _, source in sorted(spec.sources.items()):
        kind = source.WhichOneof("source")
        if kind == "request_data_source":
            requests.append(source.request_data_source)
            continue
        name, renamed, features = _input(source, kind)
        inputs[name] = features
        parent = views[name].keys if name in views else ()
        keys.update(dict.fromkeys(renamed.get(key, key) for key in parent))
    return View(
        name=spec.name,
        keys=tuple(keys),
        features={feature.name: feature.value_type for feature in spec.features},
        message=message,
        inputs=inputs,
        requests=tuple(requests),
    )


def _input(source: Any, kind: str) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    """The name, renamed join keys and features of a view that an on-demand view reads."""
    if kind == "feature_view":
        spec = source.feature_view.spec
        return spec.name, {}, tuple(feature.name for feature in spec.features)
    projection = source.feature_view_projection
    features = tuple(feature.name for feature in projection.feature_columns)
    return projection.feature_view_name, projection.join_key_map, features
