"""What crosses the hook boundary: refs, the records tools answer with, and events.

Everything here is a frozen dataclass of plain values, so that it can be compared, printed,
pickled to a worker and imported without any tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Scalar = float | int | str
"""What a parameter may be, as in Vertex AI Experiments."""

Row = Mapping[str, Any]
"""One entity, instance or feature vector by column name."""

Artifacts = Mapping[str, Sequence[Mapping[str, Any]]]
"""The artifacts of a task by input or output, each in KFP's form."""

State = Literal["NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELLED"]
"""States of a run, with Vertex's names (`aiplatform.gapic.Execution.State`)."""

TaskState = Literal[
    "PENDING", "RUNNING", "SUCCEEDED", "CANCELLED", "FAILED", "SKIPPED", "NOT_TRIGGERED"
]
"""States of a pipeline task (`PipelineTaskDetail.State`)."""

JobState = Literal[
    "PIPELINE_STATE_PENDING",
    "PIPELINE_STATE_RUNNING",
    "PIPELINE_STATE_SUCCEEDED",
    "PIPELINE_STATE_FAILED",
    "PIPELINE_STATE_CANCELLING",
    "PIPELINE_STATE_CANCELLED",
    "PIPELINE_STATE_PAUSED",
]
"""States of a pipeline job (`PipelineState`)."""

ARTIFACTS = frozenset(
    [
        *("dataset", "column", "feature_view", "feature_service", "feature", "model"),
        *("model_version", "endpoint", "prediction", "trace", "report", "alert"),
    ]
)
EXECUTIONS = frozenset(["run", "task", "job", "materialization", "retrieval", "deployment"])
CONTEXTS = frozenset(
    ["project", "experiment", "pipeline", "pipeline_run", "registered_model", "cluster"]
)


# --- lineage: refs, nodes, edges, events -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ref:
    """Who holds a thing and under which name.

    Args:
        plugin: the plugin that answered for it, by its entry-point name.
        kind: a noun of `ARTIFACTS`, `EXECUTIONS` or `CONTEXTS`.
        id: the tool's own identifier.
        uri: the URN by which every tool's view of the thing is one node in the graph.
    """

    plugin: str
    kind: str
    id: str
    uri: str


EdgeKind = Literal["INPUT", "OUTPUT", "DERIVES", "VERSION_OF", "PARENT_OF", "FIELD", "OBSERVES"]
Level = Literal["declared", "recorded", "derived", "inferred"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the lineage graph: what it is called and what a page may show of it.

    Args:
        uri: its URN.
        kind: a noun of `ARTIFACTS`, `EXECUTIONS` or `CONTEXTS`.
        name: what people call it.
        attributes: a few values worth showing.
        time: seconds since the epoch at which it came to be, where a record says so.
    """

    uri: str
    kind: str
    name: str
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge, drawn from upstream to downstream, with the strength of its evidence.

    Args:
        source: the upstream end.
        kind: see `EdgeKind`.
        target: the downstream end.
        level: how strong the evidence is.
        rule: the stitch rule that joined it, or what in the native record says so.
        since: for what is only so for a while, such as a model on an endpoint: from when on.
        until: and up to when; both in seconds since the epoch.
    """

    source: str
    kind: EdgeKind
    target: str
    level: Level = "recorded"
    rule: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """A name by which other records speak of a thing, and from when on it meant that thing.

    The aliases of one name in one scope follow one another: each holds until the next begins.

    Args:
        name: such as `models:/delay@prod`, `feast:<view>`, `kfp:run/<id>`, `process:<host>:<pid>`.
        uri: the thing; empty where the name stopped meaning anything.
        scope: whose name it is, such as one registry's URN: two registries do not share names.
        since: when it is first known to have meant that, in seconds; None: it always has.
        after: the last moment at which it is known that it did not yet; None: no doubt about
            `since`. What is asked of a moment between the two is ambiguous.
        until: when it stopped, where the record says so.
        fields: the columns that the thing has, where that is known.
    """

    name: str
    uri: str
    scope: str = ""
    since: float | None = None
    after: float | None = None
    until: float | None = None
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """An edge with one end known by name only; what the name meant then is looked up in aliases.

    Args:
        name: the name that the record uses, as in `Alias`.
        kind: see `EdgeKind`.
        thing: the end that is known.
        rule: the stitch rule, one of `lineage.stitch.RULES`.
        at: the moment the record speaks of, in seconds; None: the name must be a lasting one.
        field: the column of the named thing that is meant; empty: the thing itself.
        scope: whose name it is; empty: anybody's, as long as only one has it.
        down: whether the named thing is the downstream end.
        since: for what is only so for a while: from when on, as in `Edge`.
        until: and up to when.
    """

    name: str
    kind: EdgeKind
    thing: str
    rule: str
    at: float | None = None
    field: str = ""
    scope: str = ""
    down: bool = False
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """`hook` read these refs and wrote those, perhaps inside a run. Derived, never hand-made."""

    hook: str
    reads: tuple[Ref, ...]
    writes: tuple[Ref, ...]
    run: Ref | None = None
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one native record says, keyed so that seeing it again adds nothing.

    Args:
        key: the native record, unique among all stores of its tool.
        nodes: the things it describes.
        edges: what it says of them.
        unresolved: references in it that name no thing, for people to read.
        aliases: names that it gives to things.
        claims: edges to things that it knows by name only.
        time: when the record was last changed, in seconds, where it can change: of two
            observations with one key the later one describes the nodes.
    """

    key: str
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    unresolved: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()
    claims: tuple[Claim, ...] = ()
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collector found since `cursor`, and the cursor to go on from.

    Args:
        observations: what is new.
        cursor: where to go on; for a store that could not be read, where it was.
        problems: the errors of those of its stores that could not be read.
    """

    observations: Sequence[Observation]
    cursor: str | None
    problems: Sequence[Exception] = ()


# --- records ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a tool answers with: its ref, and edges finer than the contract declares."""

    ref: Ref
    edges: tuple[Edge, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of a time series; `time` is seconds since the epoch."""

    key: str
    value: float
    step: int
    time: float


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """An experiment run: the last value of each metric, and its parent's name."""

    name: str
    experiment: str
    state: State
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None
    parent: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetRecord(Record):
    """A file or table. `columns` maps each column to the URNs of the columns it was made from."""

    name: str
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelRecord(Record):
    """A model logged by a run. `inputs` are the columns of its signature."""

    name: str
    run: Ref | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelVersionRecord(Record):
    """A version in the registry. `inputs` are the columns of its signature."""

    name: str
    version: str
    aliases: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    run: Ref | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FeatureViewRecord(Record):
    """A feature view as its definition says it."""

    name: str
    entities: tuple[str, ...]
    features: tuple[str, ...]
    source: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MaterializationRecord(Record):
    """Values of `views` with event times in [start, end) were copied to the online store."""

    views: tuple[str, ...]
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model version on an endpoint; `traffic` is a whole percentage."""

    id: str
    model: Ref
    model_name: str
    traffic: int


@dataclass(frozen=True, kw_only=True)
class EndpointRecord(Record):
    """An endpoint and the models that share its traffic, which sums to 100."""

    name: str
    deployments: tuple[Deployment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PredictionRecord(Record):
    """The answer to one predict call; `ref.id` is the prediction id."""

    predictions: tuple[Any, ...]
    deployment: Deployment
    endpoint: Ref


@dataclass(frozen=True, kw_only=True)
class ServerRecord(Record):
    """An HTTP server; `stop()` ends it and waits for its port to be free."""

    url: str
    stop: Callable[[], None] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Score:
    """A drift score of one column and the threshold it is held against."""

    method: str
    value: float
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether the score exceeds its threshold, as Vertex Model Monitoring alerts."""
        return self.value > self.threshold


@dataclass(frozen=True, kw_only=True)
class AlertRecord(Record):
    """A column whose score exceeded its threshold."""

    monitor: str
    column: str
    score: Score
    time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ReportRecord(Record):
    """One monitoring pass over a pair of datasets."""

    monitor: str
    scores: Mapping[str, Score]
    alerts: tuple[AlertRecord, ...] = ()
    time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineRecord(Record):
    """A compiled pipeline: `spec` is KFP's intermediate representation as plain values."""

    name: str
    spec: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TaskRequest(Record):
    """One execution of a component.

    Args:
        name: the task's name in its pipeline.
        executor: the executor of the compiled component (`container` with `command`, `args`).
        executor_input: KFP's `ExecutorInput` as plain values.
        folder: where the task's log and output metadata go.
        environment: variables to add for the task.
        resources: `cpus`, `memory_bytes`, `gpus`.
    """

    name: str
    executor: Mapping[str, Any] = field(repr=False)
    executor_input: Mapping[str, Any] = field(repr=False)
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskRecord(Record):
    """A task, or a group of tasks: a condition, a loop, one of its iterations, a nested pipeline.

    Args:
        name: unique in its job; an iteration of a loop adds its number, as in `train[2]`.
        state: how far it is.
        within: the group that it stands in; empty for the pipeline itself.
        parameters: its output parameters.
        artifacts: its output artifacts, as KFP writes them.
        inputs: its input parameters.
        received: its input artifacts.
        log: what its component wrote.
        error: what went wrong.
        folder: where the files of its last try are; empty where no component ran.
        tries: how often its component was started.
        started: when it began, in seconds.
        ended: when it ended, in seconds.
        cache: why it was or was not taken from the cache; empty where nobody looked.
    """

    name: str
    state: TaskState
    within: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    received: Artifacts = field(default_factory=dict)
    log: str = ""
    error: str = ""
    folder: str = ""
    tries: int = 0
    started: float | None = None
    ended: float | None = None
    cache: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """A run of a whole pipeline that a server is asked for. Not every server can do all of it.

    Args:
        name: the job's id, by which it is found again.
        display_name: what people call it.
        parameters: the pipeline's parameters.
        artifacts: its input artifacts.
        root: where its artifacts go; empty leaves that to the server.
        experiment: the server's experiment; empty for its default.
        caching: whether tasks are taken from the cache; None leaves it to each task.
        cache_max_age: the age in seconds up to which they are; None for any.
        failure_policy: `fast` starts no task after one has failed.
        labels: labels of the job.
    """

    name: str
    display_name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    artifacts: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    experiment: str = ""
    caching: bool | None = None
    cache_max_age: float | None = None
    failure_policy: Literal["slow", "fast"] = "slow"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineJobRecord(Record):
    """A run of a whole pipeline on a server; `ref.id` is the server's name of it.

    Args:
        name: the job's id, or the server's name of a run that was started otherwise.
        display_name: what people call it.
        pipeline: the name of its pipeline; empty where the server does not tell.
        state: how far it is.
        parameters: what the pipeline was given.
        tasks: its tasks by name, those too that have not begun; empty where many jobs are listed.
        experiment: the server's experiment.
        root: where its artifacts go; empty where the server decided.
        error: what went wrong.
        created: when it was submitted, in seconds.
        ended: when it ended, in seconds.
    """

    name: str
    display_name: str
    pipeline: str
    state: JobState
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tasks: Mapping[str, TaskRecord] = field(default_factory=dict, repr=False)
    experiment: str = ""
    root: str = ""
    error: str = ""
    created: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a tuning job; `history` holds the metrics of each report."""

    number: int
    params: Mapping[str, Scalar]
    metrics: Mapping[str, float]
    state: State
    history: tuple[Mapping[str, float], ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class TuningRecord(Record):
    """A tuning job and its trials in the order they were started."""

    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class ClusterRecord(Record):
    """A Ray cluster; `address` is what the jobs are given."""

    address: str
    dashboard: str | None = None


@dataclass(frozen=True, slots=True)
class UI:
    """How to open a tool's own page on this workspace; `{port}` stands in `command`."""

    plugin: str
    title: str
    command: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """What `umlops doctor` shows of a plugin: versions, where its store is, what is wrong."""

    plugin: str
    tool: str
    version: str
    location: str
    problem: str = ""
