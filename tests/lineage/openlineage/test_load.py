import json
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_mlops.errors import ArgumentError, BackendError
from unified_mlops.lineage.openlineage.load import COLLECTOR, observation, observations, read
from unified_mlops.lineage.store import Store
from unified_mlops.records import Alias, Edge, Node

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
RUN = f"openlineage:run/{ID}"
JOB = "openlineage:job/airflow/load"


def event(
    kind: str = "COMPLETE", time: str = "2024-01-01T12:00:00Z", **rest: Any
) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventTime": time,
        "producer": "https://airflow",
        "run": {"runId": ID},
        "job": {"namespace": "airflow", "name": "load"},
        "inputs": [{"namespace": "s3://b", "name": "k"}],
        "outputs": [{"namespace": "warehouse", "name": "db.t"}],
        **rest,
    }


def ends(event: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.kind, edge.target) for edge in observation(event).edges}


def test_a_run_reads_its_inputs_and_writes_its_outputs() -> None:
    seen = observation(event())
    assert ends(event()) == {
        ("s3://b/k", "INPUT", RUN),
        (RUN, "OUTPUT", "openlineage://warehouse/db.t"),
        (JOB, "PARENT_OF", RUN),
    }
    run = seen.nodes[0]
    assert run == Node(RUN, "run", "load", {"state": "COMPLETE", "job": "airflow/load"}, 1704110400)
    assert {edge.level for edge in seen.edges} == {"recorded"}
    assert seen.key == RUN


@pytest.mark.parametrize(
    ("namespace", "name", "urn"),
    [
        ("file", "/data/x y.csv", "file:///data/x y.csv"),
        ("file://localhost", "/data/x.csv", "file:///data/x.csv"),
        ("file://far", "/data/x.csv", "openlineage://file%3A%2F%2Ffar/%2Fdata%2Fx.csv"),
        ("s3a://B", "K//x", "s3://B/K//x"),
        ("postgres://u:pw@Host", "d.s.T", "postgresql://host:5432/d/s.T"),
        ("wasbs://c@a.blob.core.windows.net", "/k", "abfs://c@a/k"),
        ("hive://h:1", "d.t", "openlineage://hive%3A%2F%2Fh%3A1/d.t"),
    ],
)
def test_a_physical_dataset_is_the_one_that_other_tools_see(
    namespace: str, name: str, urn: str
) -> None:
    seen = observation(event(outputs=[{"namespace": namespace, "name": name}]))
    assert (RUN, "OUTPUT", urn) in {(e.source, e.kind, e.target) for e in seen.edges}
    assert "pw" not in repr(seen)


def test_a_dataset_is_the_physical_thing_that_a_symlink_names() -> None:
    link = {"identifiers": [{"namespace": "s3://lake", "name": "t/", "type": "LOCATION"}]}
    table = {"namespace": "hive", "name": "db.t", "facets": {"symlinks": link}}
    seen = observation(event(inputs=[table]))
    assert Edge("s3://lake/t/", "INPUT", RUN, "recorded", "openlineage") in seen.edges
    assert Alias("openlineage:hive/db.t", "s3://lake/t/") in seen.aliases


def test_a_file_whose_place_is_not_known_is_unresolved_and_no_node() -> None:
    seen = observation(event(inputs=[{"namespace": "file", "name": "data/x.csv"}]))
    [text] = seen.unresolved
    assert "relative" in text
    assert "INPUT" not in {edge.kind for edge in seen.edges}
    assert not any("x.csv" in node.uri for node in seen.nodes)


def test_column_lineage_joins_columns_and_a_filter_joins_the_whole() -> None:
    facet = {
        "fields": {"c": {"inputFields": [{"namespace": "s3://b", "name": "k", "field": "a"}]}},
        "dataset": [{"namespace": "s3://b", "name": "k", "field": "day"}],
    }
    output = {"namespace": "s3://b", "name": "o", "facets": {"columnLineage": facet}}
    assert ends(event(outputs=[output])) >= {
        ("s3://b/k#a", "DERIVES", "s3://b/o#c"),
        ("s3://b/k#day", "DERIVES", "s3://b/o"),
        ("s3://b/k", "FIELD", "s3://b/k#a"),
        ("s3://b/o", "FIELD", "s3://b/o#c"),
    }


def made_of(field: str, *kinds: str) -> dict[str, Any]:
    how = [{"type": kind, "subtype": "X"} for kind in kinds]
    return {"namespace": "s3://b", "name": "k", "field": field, "transformations": how}


def test_a_column_that_only_chooses_rows_joins_the_whole_wherever_it_is_told() -> None:
    """Spark tells its filters and joins again for each column, unless it is set not to."""
    sources = [
        made_of("a", "DIRECT"),
        made_of("day", "INDIRECT", "INDIRECT"),
        made_of("both", "INDIRECT", "DIRECT"),
        made_of("untold"),
    ]
    facet = {"fields": {"c": {"inputFields": sources}}}
    output = {"namespace": "s3://b", "name": "o", "facets": {"columnLineage": facet}}
    entry = {**output, "facets": {}, "type": "DATASET", "fields": {"c": {"inputs": sources}}}
    job = {"namespace": "x", "name": "y", "facets": {"lineage": {"entries": [entry]}}}
    for told in (event(outputs=[output]), event(outputs=[], job=job)):
        derived = {(source, target) for source, kind, target in ends(told) if kind == "DERIVES"}
        assert derived == {
            ("s3://b/k#a", "s3://b/o#c"),
            ("s3://b/k#both", "s3://b/o#c"),
            ("s3://b/k#untold", "s3://b/o#c"),
            ("s3://b/k#day", "s3://b/o"),
        }


def test_explicit_lineage_is_taken_as_it_is() -> None:
    one, two = ({"namespace": "s3://b", "name": name, "type": "DATASET"} for name in "xy")
    entries = [{**two, "inputs": [one, {"type": "JOB"}]}, {"type": "JOB", "inputs": [one]}]
    job = {"namespace": "airflow", "name": "load", "facets": {"lineage": {"entries": entries}}}
    assert ends(event(job=job, inputs=[], outputs=[])) == {
        ("s3://b/x", "DERIVES", "s3://b/y"),
        ("s3://b/x", "INPUT", RUN),
        (RUN, "OUTPUT", "s3://b/y"),
        (JOB, "PARENT_OF", RUN),
    }


def test_a_run_belongs_to_its_parent_run() -> None:
    parent = {"run": {"runId": "p"}, "job": {"namespace": "airflow", "name": "dag"}}
    seen = ends(event(run={"runId": ID, "facets": {"parent": parent}}))
    assert ("openlineage:run/p", "PARENT_OF", RUN) in seen


def test_a_job_event_and_a_dataset_event_are_taken() -> None:
    static = event()
    del static["run"], static["eventType"]
    assert ("s3://b/k", "INPUT", JOB) in ends(static)
    schema = {"schema": {"fields": [{"name": "a"}]}}
    alone = {"namespace": "s3://b", "name": "k", "facets": schema}
    assert ends({"eventTime": "2024-01-01T00:00:00Z", "dataset": alone}) == {
        ("s3://b/k", "FIELD", "s3://b/k#a")
    }


# --- states ------------------------------------------------------------------------------------


def graph(folder: Path, told: list[dict[str, Any]]) -> tuple[Any, ...]:
    store = Store(folder / "lineage.db")
    for one in told:
        store.add(COLLECTOR, [observation(one)])
    return store.nodes(), set(store.edges())


@pytest.mark.parametrize(
    ("ending", "state"), [("COMPLETE", "COMPLETE"), ("FAIL", "FAILED"), ("ABORT", "CANCELLED")]
)
def test_a_state_goes_by_rank_and_not_by_arrival_nor_by_clock(
    tmp_path: Path, ending: str, state: str
) -> None:
    other = event("OTHER", "2024-01-01T20:00:00Z", inputs=[], outputs=[])
    told = [
        event("START", "2024-01-01T18:00:00Z", outputs=[]),  # of a machine whose clock is fast
        event("RUNNING", "2024-01-01T19:00:00Z", inputs=[]),
        event(ending, "2024-01-01T12:00:00Z", inputs=[]),
    ]
    found = []
    for number, order in enumerate(permutations(told)):
        (tmp_path / str(number)).mkdir()
        found.append(graph(tmp_path / str(number), [*order, order[0], other]))
    assert all(one == found[0] for one in found)
    nodes, edges = found[0]
    assert nodes[RUN].attributes["state"] == state
    assert {edge.kind for edge in edges} == {"INPUT", "OUTPUT", "PARENT_OF"}


PROMISED = {
    "namespace": "s3://b",
    "name": "o",
    "facets": {
        "schema": {"fields": [{"name": "c"}]},
        "columnLineage": {"fields": {"c": {"inputFields": [made_of("a")]}}},
    },
}


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"START": True, "FAIL": False}, None),
        ({"START": True, "ABORT": False}, None),
        ({"START": True}, None),
        ({"START": True, "COMPLETE": False}, "derived"),
        ({"START": True, "COMPLETE": True}, "recorded"),
        ({"START": True, "RUNNING": True, "FAIL": False}, "recorded"),
        ({"START": False, "FAIL": True}, "recorded"),
    ],
)
def test_what_a_start_promised_is_written_by_a_run_that_completes_and_no_other(
    tmp_path: Path, told: dict[str, bool], level: str | None
) -> None:
    """`told`: the events of a run, and whether each tells of the output."""
    entry = {"namespace": "s3://b", "name": "p", "type": "DATASET", "inputs": [{"type": "JOB"}]}
    read = {"type": "JOB", "inputs": [{"namespace": "s3://b", "name": "r", "type": "DATASET"}]}
    job = {**event()["job"], "facets": {"lineage": {"entries": [entry, read]}}}
    whole, bare = {"outputs": [PROMISED], "job": job}, {"outputs": []}
    events = [event(kind, **(whole if tells else bare)) for kind, tells in told.items()]
    for number, order in enumerate(permutations(events)):
        (tmp_path / str(number)).mkdir()
        store = Store(tmp_path / str(number) / "lineage.db")
        for one in order:
            store.add(COLLECTOR, [observation(one)])
        found = {(edge.source, edge.kind, edge.target): edge.level for edge in store.edges()}
        assert {("s3://b/k", "INPUT", RUN), ("s3://b/r", "INPUT", RUN)} <= found.keys()
        assert found.get((RUN, "OUTPUT", "s3://b/o")) == level
        assert found.get((RUN, "OUTPUT", "s3://b/p")) == level
        derived = found.get(("s3://b/k#a", "DERIVES", "s3://b/o#c"))
        assert derived == (level if level == "recorded" else None)
        assert store.unresolved() == []


def test_an_event_of_ours_on_a_run_that_has_not_begun_is_no_promise() -> None:
    assert (RUN, "OUTPUT", "openlineage://warehouse/db.t") in ends(
        event("START", producer="urn:unified-mlops")
    )


def test_a_run_that_has_not_ended_is_running(tmp_path: Path) -> None:
    nodes, _ = graph(tmp_path, [event("RUNNING"), event("START"), event("OTHER")])
    assert nodes[RUN].attributes["state"] == "RUNNING"


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[1]", "null", '"x"', "{}", "[" * 100_000, '{"run": {"runId": "x"}}'),
        json.dumps(event(time="yesterday")),
        json.dumps(event(eventTime=None)),
        json.dumps(event(job={"name": "x"})),
        json.dumps(event(job="x")),
        json.dumps(event(run={})),
        json.dumps(event(inputs="s3://b/k")),
        json.dumps(event(inputs=[{"name": "k"}])),
        json.dumps(event(outputs=[3])),
    ],
)
def test_what_is_no_event_is_refused(body: str) -> None:
    with pytest.raises(ArgumentError):
        observations(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["facets", "name", "namespace", "fields", "inputs", "entries", "x"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*event(), "dataset"]), JSON), JSON)
def test_an_event_of_any_shape_is_taken_or_refused(odd: dict[str, Any], facets: Any) -> None:
    thing = {"namespace": "s3://b", "name": "k", "facets": facets}
    for whole in ({**event(), **odd}, event(inputs=[thing], outputs=[thing], job=thing)):
        with suppress(ArgumentError):
            json.dumps(observation(whole).key)


def test_half_a_character_and_a_zero_do_no_harm(tmp_path: Path) -> None:
    odd = json.loads(json.dumps(event(inputs=[{"namespace": "x\0", "name": "\ud800"}])))
    graph(tmp_path, [odd])


@pytest.mark.parametrize(
    "place",
    [
        {"namespace": "postgres://u:hunter2@h", "name": "d.t"},
        {"namespace": "odd://u:hunter2@h", "name": "x?token=hunter2"},
        {"namespace": "https://h", "name": "x?sig=hunter2"},
        {"namespace": "file", "name": "x password=hunter2"},
        {"namespace": "x", "name": "postgres://u:hunter2@h/d"},
    ],
)
def test_no_credential_comes_in(place: dict[str, Any]) -> None:
    link = {"identifiers": [{**place, "type": "TABLE"}]}
    told = event(
        inputs=[place, {"namespace": "n", "name": "m", "facets": {"symlinks": link}}],
        job={"namespace": "u:hunter2@h", "name": "run --password=hunter2"},
    )
    assert "hunter2" not in repr(observation(told))


# --- files -------------------------------------------------------------------------------------


def test_a_file_of_events_is_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{json.dumps(event('START'))}\n\n{json.dumps(event())}\n")
    assert read(path) == [observation(event("START")), observation(event())]
    path.write_text(f"{json.dumps(event())}\n{{")
    with pytest.raises(ArgumentError, match="line 2 of"):
        read(path)
    with pytest.raises(BackendError):
        read(tmp_path / "nowhere")
