"""MLflow's objects → records, and MLflow's errors → ours."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import quote

from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    BackendError,
    NotFoundError,
    UnifiedMLOpsError,
    store_error,
)
from unified_mlops.lineage import urn
from unified_mlops.records import (
    Edge,
    ModelRecord,
    ModelVersionRecord,
    Ref,
    RunRecord,
    Scalar,
    State,
)

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

PLUGIN = "mlflow"
STATES: Mapping[str, State] = {
    "SCHEDULED": "NEW",
    "RUNNING": "RUNNING",
    "FINISHED": "COMPLETE",
    "FAILED": "FAILED",
    "KILLED": "CANCELLED",
}
STATUSES: Mapping[State, str] = {ours: theirs for theirs, ours in STATES.items()} | {
    "CACHED": "FINISHED"
}
FINAL = frozenset({"FINISHED", "FAILED", "KILLED"})
STATE_TAG = "unified_mlops.state"
"""Says CACHED, which MLflow has no word for."""
TYPED_TAG = "unified_mlops.typed_params"
"""Stands on runs whose params are read back as numbers where they were numbers."""
PARAM_TAG = "unified_mlops.param."
"""The present value of a param that MLflow's own, immutable one cannot say, as JSON."""
COLUMNS_TAG = "unified_mlops.columns."
PARENT_TAG = "mlflow.parentRunId"
LOGGED_MODEL = "models:/m-"


def run_uri(run_id: str) -> str:
    """The URN of a run."""
    return f"mlflow:run/{run_id}"


def model_uri(model_id: str) -> str:
    """The URN of a logged model."""
    return f"mlflow:model/{model_id}"


def trace_uri(trace_id: str) -> str:
    """The URN of a trace."""
    return f"mlflow:trace/{trace_id}"


def instance_uri(instance: str) -> str:
    """The URN of a store, which is the scope of its registry's names."""
    return f"mlflow://{instance}"


def experiment_uri(instance: str, experiment_id: str) -> str:
    """The URN of an experiment."""
    return f"mlflow://{instance}/experiment/{experiment_id}"


def registered_uri(instance: str, name: str, version: str = "") -> str:
    """The URN of a registered model, or of one of its versions."""
    return f"mlflow://{instance}/registered/{quote(name)}" + (f"/{version}" if version else "")


def run_ref(run_id: str) -> Ref:
    """The ref of a run."""
    return Ref(PLUGIN, "run", run_id, run_uri(run_id))


def run_record(run: Run, experiment: str, parent: str | None, instance: str) -> RunRecord:
    """The record of a run.

    Args:
        run: MLflow's run.
        experiment: its experiment's name.
        parent: its parent's name.
        instance: the store's short name.
    """
    info, tags = run.info, run.data.tags
    above = [experiment_uri(instance, info.experiment_id)]
    above += [run_uri(tags[PARENT_TAG])] if PARENT_TAG in tags else []
    ref = run_ref(info.run_id)
    return RunRecord(
        ref=ref,
        edges=tuple(Edge(each, "PARENT_OF", ref.uri) for each in above),
        name=info.run_name,
        experiment=experiment,
        state=run_state(run),
        params=run_params(run),
        metrics=dict(run.data.metrics),
        tags={key: value for key, value in tags.items() if not _is_internal(key)},
        start_time=_time(info.start_time),
        end_time=_time(info.end_time) if info.status in FINAL else None,
        parent=parent,
    )


def run_state(run: Run) -> State:
    """The state of a run."""
    state = STATES.get(run.info.status, "RUNNING")
    return "CACHED" if state == "COMPLETE" and run.data.tags.get(STATE_TAG) == "CACHED" else state


def run_params(run: Run) -> dict[str, Scalar]:
    """The params of a run with their types; of a run that plain MLflow made, the texts."""
    tags, typed = run.data.tags, TYPED_TAG in run.data.tags
    return {
        key: json.loads(tags[PARAM_TAG + key]) if PARAM_TAG + key in tags else scalar(text, typed)
        for key, text in run.data.params.items()
    }


def scalar(text: str, typed: bool) -> Scalar:
    """The number that was written as this text, if `typed` and there is one; else the text."""
    kinds: tuple[type[int] | type[float], ...] = (int, float) if typed else ()
    for kind in kinds:
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text


def model_record(model: LoggedModel, inputs: tuple[str, ...]) -> ModelRecord:
    """The record of a logged model."""
    uri = model_uri(model.model_id)
    return ModelRecord(
        ref=Ref(PLUGIN, "model", model.model_id, uri),
        edges=tuple(Edge(uri, "FIELD", urn.column(uri, name)) for name in inputs),
        name=model.name,
        run=run_ref(model.source_run_id) if model.source_run_id else None,
        inputs=inputs,
    )


def version_record(
    version: ModelVersion, inputs: tuple[str, ...], instance: str
) -> ModelVersionRecord:
    """The record of a model version."""
    number = str(version.version)
    uri = registered_uri(instance, version.name, number)
    edges = [Edge(registered_uri(instance, version.name), "VERSION_OF", uri)]
    if (version.source or "").startswith(LOGGED_MODEL):
        edges.append(Edge(model_uri(version.source.partition("/")[2]), "DERIVES", uri))
    return ModelVersionRecord(
        ref=Ref(PLUGIN, "model_version", f"{version.name}/{number}", uri),
        edges=tuple(edges),
        name=version.name,
        version=number,
        aliases=tuple(sorted(version.aliases)),
        labels=dict(version.tags),
        run=run_ref(version.run_id) if version.run_id else None,
        inputs=inputs,
    )


def _is_internal(tag: str) -> bool:
    return tag.startswith((PARAM_TAG, COLUMNS_TAG)) or tag in {TYPED_TAG, STATE_TAG}


def _time(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


# --- errors ----------------------------------------------------------------------------------


def not_found(what: str, name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a name that is not there, with the nearest ones that are."""
    names = list(dict.fromkeys(known))
    near = get_close_matches(name, names, 3) or names[:5]
    hint = f"there is {', '.join(map(repr, near))}" if near else "there is none yet"
    return NotFoundError(f"no {what} {name!r}", hint=hint)


_OTHER_VERSION = {
    "out-of-date": ("was made by another version", "mlflow db upgrade <tracking_uri>"),
    "can't locate revision": ("was made by a newer MLflow", "pip install --upgrade mlflow"),
}
_CLOSED = ("does not let us in", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
_NO_STORE = {
    "filesystem tracking backend": (
        "is a file store, which this MLflow no longer reads",
        "mlflow migrate-filestore --source <folder> --target sqlite:///mlflow.db",
    ),
    "failed with error code 404": (
        "is no MLflow server: something else answers there",
        "change tracking_uri in [plugins.mlflow]",
    ),
    "failed with error code 401": _CLOSED,
    "failed with error code 403": _CLOSED,
}
"""What answers but is no store to read, by MLflow's words."""
_ERRNOS = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EFBIG}
_DRIVERS = ("sqlite3", "sqlalchemy", "psycopg", "pymysql", "requests", "urllib3", "alembic")
_FILES = ("filelock", "shutil")


@contextmanager
def native_errors(store: str) -> Iterator[None]:
    """Let known errors of MLflow and of its database leave as ours, and others as they are.

    Args:
        store: where the store is, for the message.
    """
    try:
        yield
    except UnifiedMLOpsError:
        raise
    except Exception as error:
        ours = _translated(error, store)
        if ours is None:
            raise
        raise ours from error


def _translated(error: Exception, store: str) -> UnifiedMLOpsError | None:
    text = str(error).strip().partition("\n")[0]
    for words, (fact, hint) in _NO_STORE.items():
        if words in text.lower():
            return BackendError(f"{store!r} {fact}", hint=hint)
    match getattr(error, "error_code", None):
        case "RESOURCE_DOES_NOT_EXIST":
            return NotFoundError(f"mlflow cannot find it: {text}", hint=f"look into {store}")
        case "RESOURCE_ALREADY_EXISTS":
            return AlreadyExistsError(f"mlflow has it already: {text}", hint="choose another name")
        case "INVALID_PARAMETER_VALUE":
            return ArgumentError(f"mlflow refuses it: {text}", hint="change what it names")
    for words, (fact, hint) in _OTHER_VERSION.items():
        if words in text.lower():
            return BackendError(f"the MLflow store {store!r} {fact}", hint=hint)
    causes = [link for link in _chain(error) if _is_backend(link)]
    mend = f"restore it from a backup, or start anew: mv {store} {store}.bad"
    return store_error(f"the MLflow store {store!r}", causes[-1], mend=mend) if causes else None


def _is_backend(error: BaseException) -> bool:
    known = type(error).__module__.startswith((*_DRIVERS, *_FILES))
    return known or (isinstance(error, OSError) and error.errno in _ERRNOS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
