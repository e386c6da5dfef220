"""Feast → us: the records of views, and native errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unified_mlops.errors import (
    ArgumentError,
    BackendError,
    ConfigError,
    NotFoundError,
    UnifiedMLOpsError,
    store_error,
)
from unified_mlops.records import FeatureViewRecord, Ref
from unified_mlops_feast.definition import View
from unified_mlops_feast.names import Names

PLUGIN = "feast"
_STORES = {"sqlalchemy", "duckdb", "_duckdb", "pyarrow", "redis"}
"""The packages whose errors say that a store is broken, locked or away."""

NO_DUCKDB_2 = "pip install 'duckdb<2'"
"""Feast 0.67 casts times in a way that DuckDB 2 refuses for nanoseconds, pandas' default."""


def view_record(view: View, names: Names) -> FeatureViewRecord:
    """The record of a view, which names the definition that is live now."""
    spec = view.message.spec
    return FeatureViewRecord(
        ref=Ref(PLUGIN, "feature_view", view.name, names.view(view.name, view.version)),
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
