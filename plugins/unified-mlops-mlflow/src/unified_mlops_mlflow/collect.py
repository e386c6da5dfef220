"""What MLflow's own records say of where things came from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from unified_mlops.lineage import urn
from unified_mlops.records import Collection, Edge, Node, Observation, Scalar
from unified_mlops_mlflow import datasets, models, registry, runs
from unified_mlops_mlflow.convert import (
    FINAL,
    LOGGED_MODEL,
    PARENT_TAG,
    experiment_uri,
    model_uri,
    registered_uri,
    run_params,
    run_state,
    run_uri,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from unified_mlops_mlflow.store import Store

OVERLAP = 60_000
"""Milliseconds that are read twice: the clocks of the machines that write runs may differ."""
TASK_TAG = "unified_mlops.parent_task"
OUTPUT_TAG = "unified_mlops.output."
TRAINING = "training"
SHOWN_PARAMS = 10
ALL = 3
"""MLflow's `ViewType.ALL`: what was deleted still happened."""


def collect(store: Store, client: MlflowClient, cursor: str | None) -> Collection:
    """Read experiments, the runs that changed since the cursor, and the whole registry.

    The cursor is a time, and the marks of the runs that will be read again although they have
    been told.
    """
    state = json.loads(cursor or '{"since": 0, "told": {}}')
    since = round(time.time() * 1000) - OVERLAP
    instance = store.instance(client)
    experiments = registry.pages(client.search_experiments, view_type=ALL)
    ids = [each.experiment_id for each in experiments]
    found, told = [_experiment(each, instance) for each in experiments], {}
    for run in _changed(client, ids, state["since"]):
        seen = _Run(client, run, instance).observe()
        mark = hashlib.sha256(repr(seen).encode()).hexdigest()[:12]
        if state["told"].get(run.info.run_id) != mark:
            found.append(seen)
        if max(run.info.start_time, run.info.end_time or 0) >= since or _is_open(run):
            told[run.info.run_id] = mark
    found.extend(_registry(client, instance))
    return Collection(found, json.dumps({"since": since, "told": told}))


def _is_open(run: Run) -> bool:
    return run.info.status not in FINAL


def _changed(client: MlflowClient, experiments: list[str], since: int) -> Iterator[Run]:
    """Runs that were started, ended or given a model since; and all that still go on."""
    filters = [f"attributes.start_time >= {since}"]
    if since:
        filters.append(f"attributes.end_time >= {since}")
        filters += [f"attributes.status = '{status}'" for status in ("RUNNING", "SCHEDULED")]
    found = chain.from_iterable(runs.search(client, experiments, each, ALL) for each in filters)
    seen: set[str] = set()
    for run in chain(found, _runs_given_models(client, experiments, since)):
        if run.info.run_id not in seen:
            seen.add(run.info.run_id)
            yield run


def _runs_given_models(client: MlflowClient, experiments: list[str], since: int) -> Iterator[Run]:
    if since:
        which = {"filter_string": f"last_updated_timestamp >= {since}"}
        for model in registry.pages(
            client.search_logged_models, experiment_ids=experiments, **which
        ):
            if model.source_run_id:
                yield client.get_run(model.source_run_id)


def _experiment(experiment: Experiment, instance: str) -> Observation:
    uri = experiment_uri(instance, experiment.experiment_id)
    node = Node(uri, "experiment", experiment.name)
    return Observation(f"experiment/{experiment.experiment_id}", (node,), ())


class _Run:
    """Gathers what one run says."""

    def __init__(self, client: MlflowClient, run: Run, instance: str) -> None:
        self.client = client
        self.run = run
        self.uri = run_uri(run.info.run_id)
        self.tags: Mapping[str, str] = run.data.tags
        self.edges = [self._under(experiment_uri(instance, run.info.experiment_id))]
        self.nodes = [self._node()]
        self.unresolved: list[str] = []
        self.training: list[tuple[str, tuple[str, ...]]] = []

    def observe(self) -> Observation:
        """What the run is part of, read, and made."""
        if parent := self.tags.get(PARENT_TAG):
            self.edges.append(self._under(run_uri(parent)))
        if task := self.tags.get(TASK_TAG):
            self.edges.append(self._under(task))
        self._read_inputs()
        self._read_outputs()
        for output in self.run.outputs.model_outputs if self.run.outputs else ():
            self._read_model(output.model_id)
        edges, nodes = tuple(dict.fromkeys(self.edges)), {node.uri: node for node in self.nodes}
        key = f"run/{self.run.info.run_id}"
        return Observation(key, tuple(nodes.values()), edges, tuple(self.unresolved))

    def _under(self, parent: str) -> Edge:
        return Edge(parent, "PARENT_OF", self.uri)

    def _node(self) -> Node:
        params = list(run_params(self.run).items())[:SHOWN_PARAMS]
        attributes: dict[str, Scalar] = {"state": run_state(self.run)}
        attributes |= {f"param.{key}": value for key, value in params}
        return Node(self.uri, "run", self.run.info.run_name or self.run.info.run_id, attributes)

    def _read_inputs(self) -> None:
        inputs = list(datasets.read_inputs(self.run))
        contexts = {item.context for item in inputs}
        for item in inputs:
            if item.uri is None:
                source = f"its source ({item.source_type}) names no place that is known"
                self.unresolved.append(f"dataset {item.name!r} ({item.digest}): {source}")
                continue
            self._dataset(item.uri, item.name, item.columns, digest=item.digest)
            self.edges.append(Edge(item.uri, "INPUT", self.uri))
            self._derived_columns(item.name, item.uri)
            if item.context == TRAINING or TRAINING not in contexts:
                self.training.append((item.uri, item.columns))

    def _derived_columns(self, name: str, uri: str) -> None:
        for column, sources in datasets.read_columns(self.run, name, uri).items():
            for source in sources:
                self.edges.append(Edge(source, "DERIVES", urn.column(uri, column)))
                self.edges.append(Edge(urn.owner(source), "DERIVES", uri))

    def _read_outputs(self) -> None:
        for key, value in sorted(self.tags.items()):
            if not key.startswith(OUTPUT_TAG):
                continue
            uri = datasets.canonical(value)
            if uri is None:
                self.unresolved.append(f"tag {key!r}: {value!r} is relative, to what is not known")
                continue
            self._dataset(uri, uri.rpartition("/")[2] or uri, ())
            self.edges.append(Edge(self.uri, "OUTPUT", uri))

    def _dataset(self, uri: str, name: str, columns: Sequence[str], **attributes: Scalar) -> None:
        self.nodes.append(Node(uri, "dataset", name, attributes))
        self._fields(uri, columns)

    def _fields(self, uri: str, columns: Sequence[str]) -> None:
        for name in columns:
            column = urn.column(uri, name)
            self.nodes.append(Node(column, "column", name))
            self.edges.append(Edge(uri, "FIELD", column))

    def _read_model(self, model_id: str) -> None:
        from mlflow.exceptions import MlflowException

        uri = model_uri(model_id)
        self.edges.append(Edge(self.uri, "OUTPUT", uri))
        try:
            model = self.client.get_logged_model(model_id)
        except MlflowException:  # deleted; the run still made it
            self.nodes.append(Node(uri, "model", model_id))
            return
        inputs = models.signature_columns(self.client, model.artifact_location)
        self.nodes.append(Node(uri, "model", model.name))
        self._fields(uri, inputs)
        for dataset, columns in self.training:
            for name in set(inputs).intersection(columns):
                source, target = urn.column(dataset, name), urn.column(uri, name)
                rule = "signature column = training column"
                self.edges.append(Edge(source, "DERIVES", target, "derived", rule))


def _registry(client: MlflowClient, instance: str) -> Iterator[Observation]:
    families: dict[str, RegisteredModel] = {
        family.name: family for family in registry.pages(client.search_registered_models)
    }
    for name in families:
        node = Node(registered_uri(instance, name), "registered_model", name)
        yield Observation(f"registered/{name}", (node,), ())
    for version in registry.pages(client.search_model_versions):
        if version.name in families:
            yield _version(version, families[version.name].aliases, instance)


def _version(version: ModelVersion, aliases: Mapping[str, Any], instance: str) -> Observation:
    name, number = version.name, str(version.version)
    uri = registered_uri(instance, name, number)
    own = ", ".join(sorted(alias for alias, to in aliases.items() if str(to) == number))
    node = Node(uri, "model_version", f"{name}@{number}", {"aliases": own} if own else {})
    edges = [Edge(registered_uri(instance, name), "VERSION_OF", uri)]
    unresolved = []
    source = version.source or ""
    if source.startswith(LOGGED_MODEL):
        edges.append(Edge(model_uri(source.partition("/")[2]), "DERIVES", uri))
    elif source.startswith("models:/") and source.count("/") == 2:  # a copy of another version
        original, _, copied = source.removeprefix("models:/").partition("/")
        edges.append(Edge(registered_uri(instance, original, copied), "DERIVES", uri))
    elif run_id := _run_of(version):
        edges.append(Edge(run_uri(run_id), "OUTPUT", uri))
    else:
        unresolved.append(f"model version {name}@{number}: nothing says who made {source!r}")
    return Observation(f"registered/{name}/{number}", (node,), tuple(edges), tuple(unresolved))


def _run_of(version: ModelVersion) -> str:
    if (version.source or "").startswith("runs:/"):
        return str(version.source).removeprefix("runs:/").partition("/")[0]
    return version.run_id or ""
