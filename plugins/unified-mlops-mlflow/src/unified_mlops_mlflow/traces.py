"""What MLflow records of traces: of which model and run they are, and of which request.

Requests and responses are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from unified_mlops.records import Claim, Edge, Node, Observation, Scalar
from unified_mlops_mlflow import hygiene, registry
from unified_mlops_mlflow.convert import experiment_uri, model_uri, run_uri, trace_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import TraceInfo

PAGE = 500
"""Traces that are read at once."""
RUN = "mlflow.sourceRun"
MODEL = "mlflow.modelId"
NAME = "mlflow.traceName"


def changed(client: MlflowClient, experiments: Sequence[str], since: int) -> Iterator[TraceInfo]:
    """The traces that ended since, in milliseconds, and those that still go on."""
    filters = [f"attributes.end_time_ms >= {since}", "attributes.status = 'IN_PROGRESS'"]
    seen = set()
    for which in filters if since else [None]:
        for trace in registry.pages(
            client.search_traces,
            locations=list(experiments),
            filter_string=which,
            max_results=PAGE,
            include_spans=False,
        ):
            if trace.info.trace_id not in seen:
                seen.add(trace.info.trace_id)
                yield trace.info


def observe(trace: TraceInfo, instance: str) -> Observation:
    """What a trace says.

    A request may pass through several services under one id, so that a trace is drawn from the
    prediction: the other way round, a prediction would come from its callers' models.
    """
    uri, about = trace_uri(trace.trace_id), trace.trace_metadata
    began = trace.request_time / 1000
    attributes: dict[str, Scalar] = {"state": trace.state.value}
    if trace.execution_duration is not None:
        attributes["duration_ms"] = trace.execution_duration
    name = hygiene.clean(trace.tags.get(NAME) or trace.trace_id)
    edges = []
    if run := about.get(RUN):
        edges.append(Edge(run_uri(run), "OUTPUT", uri))
    elif experiment := trace.experiment_id:
        edges.append(Edge(experiment_uri(instance, experiment), "PARENT_OF", uri))
    if model := about.get(MODEL):
        edges.append(Edge(model_uri(model), "DERIVES", uri))
    request = trace.client_request_id
    claims = (Claim(f"request:{request}", "DERIVES", uri, "request-id", began),) if request else ()
    return Observation(
        key=f"trace/{trace.trace_id}",
        nodes=(Node(uri, "trace", name, attributes, began),),
        edges=tuple(edges),
        claims=claims,
        time=began + (trace.execution_duration or 0) / 1000,
    )
