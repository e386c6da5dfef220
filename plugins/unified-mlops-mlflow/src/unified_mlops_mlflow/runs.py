"""Experiments, runs and params as people expect them, on MLflow's client."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from unified_mlops.errors import AlreadyExistsError, ArgumentError, ArgumentTypeError
from unified_mlops.records import Metric, RunRecord, Scalar
from unified_mlops_mlflow.convert import (
    PARAM_TAG,
    PARENT_TAG,
    TYPED_TAG,
    not_found,
    run_record,
    scalar,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

    from unified_mlops_mlflow.store import Store

LONGEST = 6000
"""Characters that MLflow keeps of a value; it would cut the rest off silently."""
BATCH = 100
"""Params or tags that MLflow takes at once."""
PAGE = 1000
"""Runs that are read at once."""
_TASK_TAGS = ("kfp.", "unified_mlops.parent_task")
"""Tags that say which pipeline task a run is of."""


def experiment_named(client: MlflowClient, name: str) -> Experiment:
    """The experiment of a name.

    Raises:
        NotFoundError: there is none, or it was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        raise not_found("experiment", name, [each.name for each in client.search_experiments()])
    return found


def make_experiment(client: MlflowClient, name: str, artifact_root: str | None) -> str:
    """The id of the experiment of a name, which is created where it is new or was deleted."""
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        _free_name(client, found)
        found = None
    if found is not None:
        return str(found.experiment_id)
    folder = re.sub(r"[^\w-]+", "_", name)[:80]
    location = f"{artifact_root}/{quote(folder)}" if artifact_root else None
    return str(client.create_experiment(name, location))


def _free_name(client: MlflowClient, experiment: Experiment) -> None:
    """Give a deleted experiment another name; MLflow renames only what is not deleted."""
    client.restore_experiment(experiment.experiment_id)
    new_name = f"{experiment.name} (deleted {time.strftime('%Y-%m-%d')} {experiment.experiment_id})"
    client.rename_experiment(experiment.experiment_id, new_name)
    client.delete_experiment(experiment.experiment_id)


def create(
    store: Store, client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]
) -> Run:
    """Create a run, with the tags that MLflow's own runs have.

    Raises:
        AlreadyExistsError: the experiment has a run of that name.
    """
    from mlflow.tracking.context.registry import resolve_tags

    all_tags = resolve_tags({TYPED_TAG: "true", **tags})
    with store.exclusive():
        experiment_id = make_experiment(client, experiment, store.artifact_root)
        if _runs_named(client, experiment_id, name):
            raise AlreadyExistsError(
                f"experiment {experiment!r} has a run {name!r}",
                hint="choose another name, or resume that run",
            )
        return client.create_run(experiment_id, run_name=name, tags=all_tags)


def run_named(client: MlflowClient, experiment: Experiment, name: str) -> Run:
    """The run of a name; the newest, where plain MLflow made several.

    Raises:
        NotFoundError: there is none.
    """
    found = _runs_named(client, experiment.experiment_id, name)
    if not found:
        names = [run.info.run_name for run in client.search_runs([experiment.experiment_id])]
        raise not_found(f"run in experiment {experiment.name!r} named", name, names)
    return found[0]


def _runs_named(client: MlflowClient, experiment_id: str, name: str) -> list[Run]:
    mark = '"' if "'" in name else "'"
    if mark in name:  # MLflow's filters cannot quote both marks
        return [run for run in search(client, [experiment_id], "") if run.info.run_name == name]
    return list(client.search_runs([experiment_id], f"attributes.run_name = {mark}{name}{mark}"))


def search(
    client: MlflowClient, experiments: Sequence[str], filter_string: str, view: int = 1
) -> Iterator[Run]:
    """Runs page by page, oldest first; `view` is MLflow's `ViewType`, active ones by default."""
    order, token = ["attributes.start_time ASC"], None
    while True:
        page = client.search_runs(list(experiments), filter_string, view, PAGE, order, token)
        yield from page
        token = page.token
        if not token:
            return


def existing(client: MlflowClient, run_id: str) -> Iterator[Run]:
    """The run of an id, if it has not been deleted for good."""
    from mlflow.exceptions import MlflowException

    try:
        yield client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def records(
    client: MlflowClient,
    runs: Sequence[Run],
    name: str,
    store: Store,
    known: Mapping[str, str] = MappingProxyType({}),
) -> list[RunRecord]:
    """The records of runs of one experiment; parents are named, wherever they are.

    Args:
        client: where they are.
        runs: the runs.
        name: the experiment's name.
        store: the store.
        known: the names of runs, by id, that need not be looked up.
    """
    names: dict[str, str] = {**known, **{run.info.run_id: run.info.run_name for run in runs}}
    found = []
    for run in runs:
        parent = run.data.tags.get(PARENT_TAG)
        if parent is not None and parent not in names:
            names[parent] = _name_of(client, parent)
        parent_name = names[parent] if parent else None
        found.append(run_record(run, name, parent_name, store.instance(client)))
    return found


def _name_of(client: MlflowClient, run_id: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.run_name)
    except MlflowException:  # deleted for good: its id is all there is
        return run_id


def variables(store: Store, run: Run, experiment: str) -> dict[str, str]:
    """The variables by which plain MLflow, in another process, makes its runs children of a run.

    Of the variables of this process, those that would lead to another run or experiment are
    replaced; tags that stand in `MLFLOW_RUN_CONTEXT` and are not about a pipeline stay.
    """
    tags = {key: text for key, text in run.data.tags.items() if key.startswith(_TASK_TAGS)}
    others = {key: text for key, text in _context().items() if not key.startswith(_TASK_TAGS)}
    context = {**others, **tags, PARENT_TAG: run.info.run_id}
    others_say = {"MLFLOW_RUN_ID": "", "MLFLOW_EXPERIMENT_NAME": experiment}
    return {
        **{key: value for key, value in others_say.items() if key in os.environ},
        **_address(store),
        "MLFLOW_EXPERIMENT_ID": str(run.info.experiment_id),
        "MLFLOW_RUN_CONTEXT": json.dumps(context),
    }


def _context() -> dict[str, str]:
    """The tags that the user gives to the runs of this process."""
    try:
        found = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _address(store: Store) -> dict[str, str]:
    """Where the store is; the login of a server stands in variables of its own."""
    scheme, _, rest = store.uri.partition("://")
    if store.file:  # the other process may work in another folder
        _, mark, options = rest.partition("?")
        return {"MLFLOW_TRACKING_URI": f"{scheme}:///{store.file}{mark}{options}"}
    login, at, place = rest.rpartition("@")
    if not at or not scheme.startswith("http"):
        return {"MLFLOW_TRACKING_URI": store.uri}
    user, _, password = login.partition(":")
    return {
        "MLFLOW_TRACKING_URI": f"{scheme}://{place}",
        "MLFLOW_TRACKING_USERNAME": unquote(user),
        "MLFLOW_TRACKING_PASSWORD": unquote(password),
    }


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, as many as there are."""
    from mlflow.entities import RunTag

    items = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(items), BATCH):
        client.log_batch(run_id, tags=items[start : start + BATCH])


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Scalar]) -> None:
    """Record params; what MLflow's own param cannot say, a tag says beside it.

    MLflow's params are texts that never change. A first value stands there and is read back by
    its form; a tag is needed for a value that replaces another and for text that looks like a
    number.

    Raises:
        ArgumentError: a value is too long; nothing was written.
    """
    from mlflow.entities import Param, RunTag

    data = client.get_run(run_id).data
    new, tags = [], []
    for key, value in params.items():
        _check_length(key, value)
        if key not in data.params:
            new.append(Param(key, str(value)))
        read = scalar(data.params.get(key, str(value)), TYPED_TAG in data.tags)
        same = type(read) is type(value) and read == value
        if not same or PARAM_TAG + key in data.tags:
            tags.append(RunTag(PARAM_TAG + key, json.dumps(value)))
    for start in range(0, max(len(new), len(tags)), BATCH):
        part = slice(start, start + BATCH)
        client.log_batch(run_id, params=new[part], tags=tags[part])


def log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    """Record metrics in batches as large as MLflow takes.

    Raises:
        ArgumentTypeError: one is not a number; nothing was written.
    """
    from mlflow.entities import Metric as NativeMetric

    for metric in metrics:
        if isinstance(metric.value, bool) or not isinstance(metric.value, int | float):
            raise ArgumentTypeError(
                f"metric {metric.key!r} is {metric.value!r}, which is no number", hint="log a float"
            )
    native = [NativeMetric(m.key, m.value, round(m.time * 1000), m.step) for m in metrics]
    for start in range(0, len(native), 1000):
        client.log_batch(run_id, metrics=native[start : start + 1000])


def _check_length(key: str, value: Scalar) -> None:
    if isinstance(value, str) and len(json.dumps(value)) > LONGEST:
        raise ArgumentError(
            f"param {key!r} has {len(value)} characters, and MLflow keeps {LONGEST}",
            hint="keep it in a file: log_artifact(path)",
        )
