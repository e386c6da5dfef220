"""Events of foreign OpenLineage producers, such as Spark, beside what other tools record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench
from tests.stories.lineage.scenario import Truth
from tests.stories.lineage.test_features import BOTH, DATA, SALES

from unified_mlops.lineage.openlineage import load
from unified_mlops.lineage.urn import column
from unified_mlops.session import Session

pytestmark = pytest.mark.story

SPARK = "https://github.com/OpenLineage/OpenLineage/tree/1.30.0/integration/spark"
APP, STEP, OTHER = (f"0190a5d0-ac96-774b-bcce-b302099a80{n}" for n in (10, 11, 12))
ORDERS, CUSTOMERS = "s3://lake/raw/orders", "s3://lake/raw//customers"
RAW = {"order": "long", "price": "double", "day": "date", "buyer": "long"}
Event = dict[str, Any]


def event(kind: str, minute: int, run: str, job: str, **rest: Any) -> Event:
    """An event as Spark's listener sends it."""
    parent = {"run": {"runId": APP}, "job": {"namespace": "etl", "name": "sales_app"}}
    return {
        "eventType": kind,
        "eventTime": f"2024-01-02T03:{minute:02}:00.123Z",
        "producer": SPARK,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run, "facets": {"parent": parent} if run != APP else {}},
        "job": {"namespace": "etl", "name": job},
        **{"inputs": [], "outputs": [], **rest},
    }


def dataset(namespace: str, name: str, columns: Sequence[str] = (), **facets: Any) -> Event:
    fields = [{"name": each, "type": RAW.get(each, "double")} for each in columns]
    schema = {"schema": {"fields": fields}} if columns else {}
    return {"namespace": namespace, "name": name, "facets": {**schema, **facets}}


def orders(*columns: str) -> Event:
    """A table that Spark knows by its location, and Hive's metastore by its name."""
    link = {"namespace": "hive://metastore:9083", "name": "raw.orders", "type": "TABLE"}
    return dataset("s3a://lake", "raw/orders", columns, symlinks={"identifiers": [link]})


def customers(*columns: str) -> Event:
    """A table that is sent by its name, and whose location is the link; the key holds `//`."""
    link = {"namespace": "s3://lake", "name": "raw//customers", "type": "LOCATION"}
    return dataset("glue", "table/raw/customers", columns, symlinks={"identifiers": [link]})


def made_of(*sources: tuple[Event, str], kind: str = "DIRECT") -> list[Event]:
    """Fields, as a column lineage names them."""
    how = [{"type": kind, "subtype": "FILTER" if kind == "INDIRECT" else "TRANSFORMATION"}]
    return [
        {
            "namespace": data["namespace"],
            "name": data["name"],
            "field": name,
            "transformations": how,
        }
        for data, name in sources
    ]


def spark(path: str, filters_apart: bool) -> list[Event]:
    """A job of two tables and a filter that writes a file.

    Args:
        path: the file.
        filters_apart: whether Spark tells the columns that it filters by once for the whole
            dataset, as with `columnLineage.datasetLineageEnabled`, or again for each column.
    """
    by = made_of((orders(), "day"), kind="INDIRECT")
    fields = {
        "id": made_of((customers(), "id")),
        "amount": made_of((orders(), "price"), (customers(), "discount")),
        "ts": made_of((orders(), "day")),
    }
    facet: Event = {"fields": {name: {"inputFields": own} for name, own in fields.items()}}
    if filters_apart:
        facet["dataset"] = by
    else:
        for own in facet["fields"].values():
            own["inputFields"] = own["inputFields"] + by
    written = dataset("file", path, ["id", "ts", "amount"], columnLineage=facet)
    job, both = "sales_app.execute_insert_into", [orders(*RAW), customers("id", "discount")]
    return [
        event("START", 0, APP, "sales_app"),
        event("START", 1, STEP, job, inputs=[orders()]),
        event("RUNNING", 2, STEP, job, inputs=both),
        event("COMPLETE", 3, STEP, job, inputs=both, outputs=[written]),
        event("COMPLETE", 4, APP, "sales_app"),
    ]


def doer(truth: Truth, job: str, run: str, parent: str = "") -> str:
    """Say that a run of a job was, perhaps as part of another one; its URN."""
    whole = truth.node("job", f"openlineage:job/etl/{job}")
    uri = truth.node("run", f"openlineage:run/{run}")
    truth.edge(whole, "PARENT_OF", uri)
    if parent:
        truth.edge(parent, "PARENT_OF", uri)
    return uri


def did(truth: Truth, file: str) -> None:
    """Say what the job of `spark` did."""
    app = doer(truth, "sales_app", APP)
    step = doer(truth, "sales_app.execute_insert_into", STEP, app)
    truth.edge(truth.node("dataset", ORDERS, *RAW), "INPUT", step)
    truth.edge(truth.node("dataset", CUSTOMERS, "id", "discount"), "INPUT", step)
    truth.edge(step, "OUTPUT", truth.node("dataset", file, "id", "ts", "amount"))
    truth.columns(CUSTOMERS, file, "id", discount="amount")
    truth.columns(ORDERS, file, price="amount", day="ts")
    truth.edge(column(ORDERS, "day"), "DERIVES", file)  # which rows there are, and no value


def take(session: Session, path: Path, events: Sequence[Event]) -> None:
    """Import a file of events."""
    path.write_text("".join(f"{json.dumps(each)}\n" for each in events))
    session.lineage.store.add(load.COLLECTOR, load.read(path))


@pytest.mark.parametrize("filters_apart", [True, False])
def test_a_spark_job_that_writes_the_source_of_a_feature_view(
    bench: Bench, check: Check, filters_apart: bool
) -> None:
    repo = bench.feast()
    file = bench.file("repo/data/sales.parquet", DATA)
    repo.apply(SALES)
    truth = bench.truth()
    view = repo.told(truth, "sales", file, BOTH)
    did(truth, file)
    session = bench.collect()
    take(session, bench.folder / "events", spark(file.removeprefix("file://"), filters_apart))
    check(session, truth)
    found = session.lineage.upstream(f"{view}#amount").source_columns
    assert {node.uri for node in found} == {f"{ORDERS}#price", f"{CUSTOMERS}#discount"}
    reached = session.lineage.impact(f"{CUSTOMERS}#discount").nodes
    assert f"{view}#amount" in reached
    assert f"{view}#items" not in reached


ARRIVALS: dict[str, Callable[[list[Event]], list[Event]]] = {
    "in order": list,
    "in reverse": lambda events: events[::-1],
    "twice": lambda events: [*events, *events],
    "the end first and the start again": lambda events: [events[3], *events, events[0], events[1]],
}


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_events_in_any_order_and_again(bench: Bench, check: Check, arrival: str) -> None:
    file = f"file://{bench.folder}/sales.parquet"
    truth = bench.truth()
    did(truth, file)
    events = spark(file.removeprefix("file://"), True)
    session = bench.collect()
    for number, one in enumerate(ARRIVALS[arrival](events)):
        take(session, bench.folder / f"{number}", [one])
    check(session, truth)
    nodes = session.lineage.store.nodes()
    states = [nodes[f"openlineage:run/{run}"].attributes["state"] for run in (APP, STEP)]
    assert states == ["COMPLETE", "COMPLETE"]


def test_a_job_that_failed_and_was_run_again(bench: Bench, check: Check) -> None:
    """Both runs told at their start what they were to write; the second one did."""
    target = dataset("postgres://warehouse:5432", "shop.public.sales", ["amount"])
    told = [
        event("START", 1, STEP, "load", inputs=[orders("price")], outputs=[target]),
        event("FAIL", 2, STEP, "load", inputs=[orders("price")]),
        event("START", 3, OTHER, "load", inputs=[orders("price")], outputs=[target]),
        event("COMPLETE", 4, OTHER, "load"),
    ]
    session = bench.collect()
    take(session, bench.folder / "events", told)
    truth = bench.truth()
    app = truth.node("run", f"openlineage:run/{APP}")
    table = truth.node("dataset", "postgresql://warehouse:5432/shop/public.sales", "amount")
    truth.node("dataset", ORDERS, "price")
    failed, done = (doer(truth, "load", run, app) for run in (STEP, OTHER))
    for run in (failed, done):
        truth.edge(ORDERS, "INPUT", run)
    truth.edge(done, "OUTPUT", table)
    check(session, truth)
