"""What MLflow's record of one run says: what it is part of, read, and made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from unified_mlops.lineage import urn
from unified_mlops.records import (
    Alias,
    Claim,
    Edge,
    EdgeKind,
    Level,
    Node,
    Observation,
    Scalar,
)
from unified_mlops_mlflow import context, datasets, feast_tags, hygiene
from unified_mlops_mlflow.collect_models import Models, fields
from unified_mlops_mlflow.convert import (
    FINAL,
    PARENT_TAG,
    experiment_uri,
    instance_uri,
    model_uri,
    run_params,
    run_state,
    run_uri,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TASK_TAG = "unified_mlops.parent_task"
OUTPUT_TAG = "unified_mlops.output."
EVALUATED_TAG = "mlflow.datasets"
"""MLflow's evaluator writes here which models it evaluated, on which data."""
TRAINING = "training"
SHOWN_PARAMS = 10
MILLISECOND = 0.001
"""MLflow cuts its times to whole ones: a run may have gone on for the rest of its last."""
_MODEL = re.compile(r"models:/[^:?#\n]+")
"""MLflow takes blanks in the name of a registered model, and no colon."""
_MADE = re.compile(r"output|result|regist|produc|publish|promot", re.IGNORECASE)
"""In the name of a param: the model that it names is one that the run makes."""


class RunReader:
    """Gathers what one run says.

    Args:
        client: of the run's store.
        run: the run.
        instance: the store's short name.
        models: the store's logged models.
    """

    def __init__(self, client: MlflowClient, run: Run, instance: str, models: Models) -> None:
        self.client = client
        self.run = run
        self.models = models
        self.uri = run_uri(run.info.run_id)
        self.scope = instance_uri(instance)
        self.start = run.info.start_time / 1000
        self.end = run.info.end_time / 1000 if is_over(run) and run.info.end_time else None
        self.tags = {key: str(value) for key, value in run.data.tags.items()}
        self.nodes: list[Node] = [self._node()]
        self.edges = [self._under(experiment_uri(instance, run.info.experiment_id))]
        self.claims: list[Claim] = []
        self.unresolved: list[str] = []
        self.training: list[tuple[str, tuple[str, ...]]] = []

    def observe(self) -> Observation:
        """All of it."""
        self._read_family()
        columns = self._read_inputs()
        retrievals = self._read_feast(columns)
        self._read_outputs()
        self._read_models(retrievals)
        self._read_texts()
        return Observation(
            key=f"run/{self.run.info.run_id}",
            nodes=tuple({node.uri: node for node in self.nodes}.values()),
            edges=tuple(dict.fromkeys(self.edges)),
            unresolved=tuple(hygiene.clean(text) for text in self.unresolved),
            aliases=tuple(self._aliases()),
            claims=tuple(dict.fromkeys(self.claims)),
            time=self.end or self.start,
        )

    def _node(self) -> Node:
        attributes: dict[str, Scalar] = {"state": run_state(self.run)}
        params = hygiene.shown(run_params(self.run), SHOWN_PARAMS)
        attributes |= {f"param.{key}": value for key, value in params.items()}
        name = hygiene.clean(self.run.info.run_name or self.run.info.run_id)
        return Node(self.uri, "run", name, attributes, self.start)

    def _under(self, parent: str) -> Edge:
        return Edge(parent, "PARENT_OF", self.uri)

    def _claim(self, name: str, rule: str, kind: EdgeKind = "PARENT_OF", scope: str = "") -> None:
        self.claims.append(Claim(name, kind, self.uri, rule, self.start, scope=scope))

    def _read_family(self) -> None:
        """The runs, tasks and jobs that it is part of."""
        if parent := self.tags.get(PARENT_TAG):
            self.edges.append(self._under(run_uri(parent)))
        if task := datasets.canonical(self.tags.get(TASK_TAG, "")):
            self.edges.append(self._under(task))
        if pipeline := self.tags.get(context.KFP_RUN_TAG):
            task = self.tags.get(context.KFP_TASK_TAG)
            self._claim(
                f"kfp:task/{pipeline}/{task}" if task else f"kfp:run/{pipeline}", "kfp-tags"
            )
        if job := self.tags.get(context.RAY_JOB_TAG):
            self._claim(f"ray:job/{job}", "ray-job")
        if driver := self.tags.get(context.RAY_DRIVER_TAG):
            self._claim(f"ray:driver/{driver}", "ray-job")

    def _aliases(self) -> Iterator[Alias]:
        host, pid = self.tags.get(context.HOST_TAG), self.tags.get(context.PID_TAG)
        if host and pid:
            name = f"process:{host}:{pid}"
            until = None if self.end is None else self.end + MILLISECOND
            yield Alias(name, self.uri, since=self.start, until=until)

    # --- data ------------------------------------------------------------------------------

    def _read_inputs(self) -> list[str]:
        """The datasets that it read; the columns of those that it was trained on."""
        inputs = list(datasets.read_inputs(self.run))
        contexts = {item.context for item in inputs}
        trained = [i for i in inputs if i.context == TRAINING or TRAINING not in contexts]
        for item in inputs:
            if item.uri is None:
                self._no_place(item)
                continue
            self._dataset(item.uri, item.name, item.columns, digest=item.digest)
            self.edges.append(Edge(item.uri, "INPUT", self.uri))
            self._derived_columns(item.name, item.uri)
            if item in trained:
                self.training.append((item.uri, item.columns))
        return [column for item in trained for column in item.columns]

    def _no_place(self, item: datasets.Input) -> None:
        source = f"its source ({item.source_type}) names no place that is known"
        if item.retrieved and feast_tags.REFERENCES_TAG in self.tags:
            return  # the references on the run say where it came from
        if item.retrieved:
            source = "Feast retrieved it, and wrote no references on the run"
        self.unresolved.append(f"dataset {item.name!r} ({item.digest}): {source}")

    def _derived_columns(self, name: str, uri: str) -> None:
        for column, sources in datasets.read_columns(self.run, name, uri).items():
            for source in filter(None, map(datasets.canonical, sources)):
                if column == datasets.WHOLE_FRAME:
                    edge = Edge(source, "DERIVES", uri, "derived", "frame-stamp")
                    self.edges.append(edge)
                    continue
                self.edges.append(Edge(source, "DERIVES", urn.column(uri, column)))
                self.edges.append(Edge(urn.owner(source), "DERIVES", uri))

    def _read_feast(self, columns: Sequence[str]) -> list[feast_tags.Retrieval]:
        stamped = [item.uri for item in datasets.read_inputs(self.run) if item.uri]
        known = sum(uri.startswith("feast://") and "/retrieval/" in uri for uri in stamped)
        found, unresolved = feast_tags.read(self.client, self.run, columns, known)
        self.unresolved += unresolved
        for retrieval in found:
            self.claims += feast_tags.claims(retrieval, self.uri)
        return found

    def _read_outputs(self) -> None:
        base = datasets.folder(self.run)
        for key, value in sorted(self.tags.items()):
            if not key.startswith(OUTPUT_TAG):
                continue
            uri = datasets.canonical(value, base)
            if uri is None:
                self.unresolved.append(f"tag {key!r}: {value!r} is relative, to what is not known")
                continue
            self._dataset(uri, uri.rpartition("/")[2] or uri, ())
            self.edges.append(Edge(self.uri, "OUTPUT", uri))

    def _dataset(self, uri: str, name: str, columns: Sequence[str], **attributes: Scalar) -> None:
        self.nodes.append(Node(uri, "dataset", hygiene.clean(name), attributes))
        for node, edge in fields(uri, columns):
            self.nodes.append(node)
            self.edges.append(edge)

    # --- models ----------------------------------------------------------------------------

    def _read_models(self, retrievals: Sequence[feast_tags.Retrieval]) -> None:
        for given in self.run.inputs.model_inputs if self.run.inputs else ():
            self.edges.append(Edge(model_uri(given.model_id), "INPUT", self.uri))
        for output in self.run.outputs.model_outputs if self.run.outputs else ():
            self._read_output(output.model_id, retrievals)

    def _read_output(self, model_id: str, retrievals: Sequence[feast_tags.Retrieval]) -> None:
        uri = model_uri(model_id)
        self.edges.append(Edge(self.uri, "OUTPUT", uri))
        if self.models.get(model_id) is None:  # deleted; the run still made it
            self.nodes.append(Node(uri, "model", model_id))
            return
        inputs = self.models.columns(model_id)
        level: Level = "derived"
        for dataset, columns in self.training:
            for name in sorted(set(inputs).intersection(columns)):
                source, target = urn.column(dataset, name), urn.column(uri, name)
                self.edges.append(Edge(source, "DERIVES", target, level, "signature-column"))
        self.claims += feast_tags.column_claims(retrievals, uri, inputs)

    def _read_texts(self) -> None:
        """The models that texts on the run name as what it used."""
        outputs = self.run.outputs.model_outputs if self.run.outputs else ()
        own = {f"models:/{output.model_id}" for output in outputs}
        for text in dict.fromkeys(self._model_texts()):
            if (shown := hygiene.clean(text)) != text:
                self.unresolved.append(f"{shown!r} names no model: more stands there, kept secret")
            elif text not in own:
                self._claim(text, "model-text", "INPUT", self.scope)

    def _model_texts(self) -> Iterator[str]:
        for key, value in sorted(self.run.data.params.items()):
            if _MODEL.fullmatch(str(value)) and not _MADE.search(key):
                yield str(value)
        for key in ("model_uri", "model"):
            if _MODEL.fullmatch(self.tags.get(key, "")):
                yield self.tags[key]
        name, version = self.tags.get("feast.model_name"), self.tags.get("feast.model_version")
        if name and version:
            yield f"models:/{name}/{version}"
        for model_id in _evaluated(self.tags.get(EVALUATED_TAG, "")):
            yield f"models:/{model_id}"


def is_over(run: Run) -> bool:
    """Whether a run has ended."""
    return run.info.status in FINAL


def _evaluated(text: str) -> Iterator[str]:
    """The ids in the tag of MLflow's evaluator, `[{"name": …, "hash": …, "model": "m-…"}]`."""
    try:
        items = json.loads(text or "[]")
    except ValueError:  # MLflow cut it
        return
    for item in items if isinstance(items, list) else ():
        model = item.get("model") if isinstance(item, dict) else None
        if isinstance(model, str) and model.startswith("m-"):
            yield model
