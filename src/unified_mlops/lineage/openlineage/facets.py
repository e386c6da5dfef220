"""Events and their facets, made with the classes of `openlineage-python`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from openlineage.client.event_v2 import (
    Dataset,
    DatasetEvent,
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    StaticDataset,
)
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    column_lineage_dataset,
    dataset_type_dataset,
    documentation_dataset,
    documentation_job,
    job_type_job,
    lineage,
    parent_run,
    schema_dataset,
    symlinks_dataset,
)

from unified_mlops.lineage.openlineage.naming import (
    DERIVATION,
    OURS,
    PRODUCER,
    field_of,
    named,
    run_id,
    thing_of,
)
from unified_mlops.lineage.urn import is_column, without_secrets

if TYPE_CHECKING:
    from unified_mlops.lineage.openlineage.told import Told

_STATES = {
    **dict.fromkeys(("FAILED", "FAIL"), RunState.FAIL),
    **dict.fromkeys(("CANCELLED", "KILLED", "STOPPED", "ABORT"), RunState.ABORT),
    **dict.fromkeys(("NEW", "PENDING", "SCHEDULED", "START"), RunState.START),
    "RUNNING": RunState.RUNNING,
}
"""By the attribute `state`; whatever else it says has come to its end."""
_Kind = TypeVar("_Kind", bound=Dataset)


def run_event(told: Told, uri: str) -> RunEvent:
    """The event of an execution, in the last state that is known of it."""
    node = told.node(uri)
    inputs = sorted({thing_of(read) for read in told.inputs.get(uri, ())})
    outputs = sorted(told.outputs.get(uri, ()))
    return RunEvent(
        eventTime=_time(node.time),
        producer=PRODUCER,
        eventType=_STATES.get(str(node.attributes.get("state", "")).upper(), RunState.COMPLETE),
        run=Run(run_id(uri), facets=_parent(told, uri)),
        job=Job(OURS, uri, facets={**_job_facets(told, uri), **_explicit(_entries(told, uri))}),
        inputs=[_dataset(InputDataset, told, one) for one in inputs],
        outputs=[_dataset(OutputDataset, told, one, told.derives(uri, one)) for one in outputs],
    )


def derivation_event(told: Told, uri: str) -> RunEvent:
    """The event of a job that is nothing but the derivation of an artifact."""
    name = f"{DERIVATION}{uri}"
    return RunEvent(
        eventTime=_time(told.node(uri).time),
        producer=PRODUCER,
        eventType=RunState.COMPLETE,
        run=Run(run_id(name)),
        job=Job(OURS, name, facets={**_job_type("DERIVATION"), **_explicit([_entry(told, uri)])}),
        inputs=[_dataset(InputDataset, told, one) for one in sorted(told.made_of(uri) - {uri})],
        outputs=[_dataset(OutputDataset, told, uri, derived=True)],
    )


def dataset_event(told: Told, uri: str) -> DatasetEvent:
    """The event of an artifact that was neither read nor written by anything that is known."""
    time = _time(told.node(uri).time)
    return DatasetEvent(
        eventTime=time, producer=PRODUCER, dataset=_dataset(StaticDataset, told, uri)
    )


def _time(seconds: float | None) -> str:
    """A time that is the same at every export, also where none is known."""
    return datetime.fromtimestamp(seconds or 0.0, timezone.utc).isoformat()


# --- jobs and runs -----------------------------------------------------------------------------


def _job_facets(told: Told, uri: str) -> dict[str, JobFacet]:
    node = told.node(uri)
    name = documentation_job.DocumentationJobFacet(without_secrets(node.name), producer=PRODUCER)
    return {"documentation": name, **_job_type(node.kind)}


def _job_type(kind: str) -> dict[str, JobFacet]:
    facet = job_type_job.JobTypeJobFacet(
        "BATCH", OURS.upper(), jobType=kind.upper(), producer=PRODUCER
    )
    return {"jobType": facet}


def _parent(told: Told, uri: str) -> dict[str, RunFacet]:
    parent = told.parent(uri)
    if parent is None:
        return {}
    root = told.root(uri)
    facet = parent_run.ParentRunFacet(
        parent_run.Run(run_id(parent)),
        parent_run.Job(OURS, parent, facets=_job_facets(told, parent)),
        root=parent_run.Root(parent_run.RootRun(run_id(root)), parent_run.RootJob(OURS, root)),
        producer=PRODUCER,
    )
    return {"parent": facet}


# --- datasets ----------------------------------------------------------------------------------


def _dataset(kind: type[_Kind], told: Told, uri: str, derived: bool = False) -> _Kind:
    namespace, name = named(uri)
    node = told.node(uri)
    facets: dict[str, DatasetFacet] = {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            node.kind.upper() if node.kind != "unknown" else "DATASET", producer=PRODUCER
        ),
        "documentation": documentation_dataset.DocumentationDatasetFacet(
            without_secrets(node.name), producer=PRODUCER
        ),
    }
    if namespace != OURS:
        also = symlinks_dataset.Identifier(OURS, uri, "URN")
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet([also], producer=PRODUCER)
    columns = told.columns.get(uri, set()) | set(told.fields.get(uri, ()))
    if columns:
        fields = [schema_dataset.SchemaDatasetFacetFields(field_of(one)) for one in sorted(columns)]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields, producer=PRODUCER)
    if derived:
        facets |= _column_lineage(told, uri)
    return kind(namespace, name, facets=facets)


def _column_lineage(told: Told, uri: str) -> dict[str, DatasetFacet]:
    def inputs(sources: Iterable[str]) -> list[column_lineage_dataset.InputField]:
        columns = [source for source in sorted(sources) if is_column(source)]
        return [
            column_lineage_dataset.InputField(*named(thing_of(one)), field_of(one))
            for one in columns
        ]

    fields = {
        field_of(target): column_lineage_dataset.Fields(inputs(sources))
        for target, sources in sorted(told.fields.get(uri, {}).items())
    }
    whole = inputs(told.sources.get(uri, ()))
    if not fields and not whole:
        return {}
    facet = column_lineage_dataset.ColumnLineageDatasetFacet(fields, whole, producer=PRODUCER)
    return {"columnLineage": facet}


# --- explicit lineage --------------------------------------------------------------------------


def _explicit(entries: list[lineage.LineageEntry]) -> dict[str, JobFacet]:
    return {"lineage": lineage.LineageJobFacet(entries, producer=PRODUCER)}


def _entries(told: Told, run: str) -> list[lineage.LineageEntry]:
    """What a run read, and what it wrote."""
    read = [_input(source) for source in sorted(told.inputs.get(run, ()))]
    entries: list[lineage.LineageEntry] = [lineage.LineageJobEntry("JOB", inputs=read)]
    for made in sorted(told.outputs.get(run, ())):
        entry = _entry(told, made) if told.derives(run, made) else _bare(made)
        entry.inputs = [lineage.LineageJobInput("JOB"), *(entry.inputs or [])]
        entries.append(entry)
    return entries


def _bare(uri: str) -> lineage.LineageDatasetEntry:
    return lineage.LineageDatasetEntry(*named(uri), "DATASET")


def _entry(told: Told, uri: str) -> lineage.LineageDatasetEntry:
    """What a dataset as a whole, and each of its fields, was derived from."""
    entry = _bare(uri)
    entry.inputs = [_input(source) for source in sorted(told.sources.get(uri, ()))]
    entry.fields = {
        field_of(target): lineage.LineageFieldEntry([_input(source) for source in sorted(sources)])
        for target, sources in sorted(told.fields.get(uri, {}).items())
    }
    return entry


def _input(uri: str) -> lineage.LineageInput:
    field = field_of(uri) if is_column(uri) else None
    return lineage.LineageDatasetInput(*named(thing_of(uri)), "DATASET", field)
