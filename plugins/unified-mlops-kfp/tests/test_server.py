"""A KFP server's runs. The server here speaks the REST calls of 2.17, and no more."""

import json
from functools import partial

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output
from kfp_server import TOKEN

from unified_mlops.errors import BackendError, ConfigError
from unified_mlops.records import Alias, Node
from unified_mlops_kfp import server as module
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")


@component
def make(n: int, data: Output[Dataset]):
    pass


@component
def train(data: Input[Dataset], more: Input[Dataset], model: Output[Model]):
    pass


@dsl.pipeline(name="chain")
def chain(n: int = 1):
    imported = dsl.importer(artifact_uri="s3a://b/k.parquet", artifact_class=Dataset)
    train(data=make(n=n).outputs["data"], more=imported.output)


@dsl.pipeline(name="loop")
def loop():
    with dsl.ParallelFor([1, 2]) as n:
        data = make(n=n).outputs["data"]
        train(data=data, more=data)


@pytest.fixture
def spec(store, remote):
    store.token = f"Bearer {TOKEN}"
    return remote.mlops_load_pipeline(chain).spec


def task(name, state="SUCCEEDED", key=""):
    start = "2026-01-01T00:01:00Z"
    return {"display_name": name, "state": state, "task_id": key or name, "start_time": start}


DONE = [task(n) for n in ("root", "root-driver", "make-driver", "make", "train", "executor")]
DONE.append(task("importer"))


def test_a_run_gives_its_tasks_and_what_its_definition_says_of_them(store, spec, remote, host):
    given = {"runtime_config": {"parameters": {"n": 1, "password": "hunter2"}}}
    store.add("r1", spec, finished="2026-01-01T01:00:00Z", tasks=DONE, **given)
    (seen,) = remote.mlops_collect_lineage(None).observations
    run, definition = f"kfp://{host}/runs/r1", remote.mlops_load_pipeline(chain).ref.uri
    edges = {(e.source, e.kind, e.target, e.level) for e in seen.edges}
    made, imported = f"{run}/make/data", "s3://b/k.parquet"
    assert edges == {
        (definition, "PARENT_OF", run, "recorded"),
        *((run, "PARENT_OF", f"{run}/{t}", "recorded") for t in ("make", "train", "importer")),
        (run, "PARENT_OF", f"{run}/importer", "derived"),
        (f"{run}/make", "OUTPUT", made, "derived"),
        (made, "INPUT", f"{run}/train", "derived"),
        (imported, "INPUT", f"{run}/importer", "derived"),
        (imported, "INPUT", f"{run}/train", "derived"),
    }
    attributes = {"state": "SUCCEEDED", "n": 1, "password": "***"}
    assert seen.nodes[0] == Node(run, "pipeline_run", "run r1", attributes, 1767225600.0)
    assert Node(f"{run}/make", "task", "make", {"state": "SUCCEEDED"}, 1767225660.0) in seen.nodes
    assert (seen.key, seen.time) == (run, 1767229200.0)
    assert Alias("kfp:run/r1", run, f"kfp://{host}") in seen.aliases
    assert Alias("kfp:task/r1/train", f"{run}/train", f"kfp://{host}") in seen.aliases
    assert seen.unresolved == (
        f"{run}: where these artifacts are stands in ML Metadata only: make/data",
    )


def test_a_definition_has_one_uri_on_the_server_in_a_version_and_in_a_file(store, spec, remote):
    floats = json.loads(json.dumps(spec), parse_int=float)
    store.add("inline", {"pipeline_spec": floats, "platform_spec": {}}, tasks=DONE)
    store.versions["v1"] = floats
    version = {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    store.add("version", None, tasks=DONE, pipeline_version_reference=version)
    found = remote.mlops_collect_lineage(None).observations
    uris = {n.uri for seen in found for n in seen.nodes if n.kind == "pipeline"}
    assert uris == {remote.mlops_load_pipeline(chain).ref.uri}
    assert len(found) == 2


def test_without_a_definition_there_are_tasks_and_it_is_said_what_is_not_known(
    store, spec, remote, host
):
    store.add("r1", {"kind": "Workflow"}, tasks=DONE)
    (seen,) = remote.mlops_collect_lineage(None).observations
    names = {node.name for node in seen.nodes if node.kind == "task"}
    assert names == {"make", "train", "importer"}
    assert {edge.kind for edge in seen.edges} == {"PARENT_OF"}
    assert "does not tell its definition" in seen.unresolved[0]


def test_iterations_that_the_server_does_not_tell_apart_are_not_mixed(store, spec, remote, host):
    tasks = [task(name, key=f"{name}{n}") for n in (1, 2) for name in ("make", "train")]
    store.add("r1", remote.mlops_load_pipeline(loop).spec, tasks=tasks)
    (seen,) = remote.mlops_collect_lineage(None).observations
    assert {edge.kind for edge in seen.edges} == {"PARENT_OF"}
    assert len([node for node in seen.nodes if node.kind == "task"]) == 4
    assert any("nothing tells the iterations of 'for-loop-2' apart" in t for t in seen.unresolved)
    assert [alias.name for alias in seen.aliases] == ["kfp:run/r1"]


def test_tasks_that_did_not_run_read_and_made_nothing(store, spec, remote):
    store.add("r1", spec, tasks=[task("make", "FAILED"), task("train", "SKIPPED")])
    (seen,) = remote.mlops_collect_lineage(None).observations
    assert {edge.kind for edge in seen.edges} == {"PARENT_OF"}


def test_paging_reads_every_run_once_and_then_nothing_is_new(store, spec, remote, monkeypatch):
    monkeypatch.setattr(module, "_PAGE", 2)
    for number in range(5):
        store.add(f"r{number}", spec, created=f"2026-01-0{number + 1}T00:00:00Z")
    first = remote.mlops_collect_lineage(None)
    assert len({seen.key for seen in first.observations}) == len(first.observations) == 5
    store.asked.clear()
    second = remote.mlops_collect_lineage(first.cursor)
    assert (second.observations, second.cursor) == ((), first.cursor)
    assert len(store.asked) == 2  # what began and what ended since


def test_runs_that_begin_or_end_after_the_last_look_are_read(store, spec, remote):
    store.add("old", spec)
    store.add("other", spec, created="2026-01-02T00:00:00Z")
    first = remote.mlops_collect_lineage(None)
    store.add("old", spec, finished="2026-01-03T00:00:00Z", tasks=DONE)
    store.add("new", spec, created="2026-01-03T00:00:00Z")
    second = remote.mlops_collect_lineage(first.cursor)
    assert {seen.key.rpartition("/")[2] for seen in second.observations} == {"old", "new"}
    assert remote.mlops_collect_lineage(second.cursor).observations == ()


def problem_of(found):
    """The one problem of a collection, which is none of a tool's own errors."""
    (problem,) = found.problems
    assert isinstance(problem, BackendError)
    return problem


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "wants a token"),
        (403, "does not let this token"),
        (404, "no API of KFP"),
        (500, "error of its own"),
        (302, "leads to another page"),
    ],
)
def test_a_refusal_is_an_error_without_the_token(store, spec, remote, host, status, said):
    store.status = status
    problem = problem_of(remote.mlops_collect_lineage(None))
    assert said in str(problem)
    assert host.partition("/")[0] in str(problem)
    assert TOKEN not in repr(problem) + str(problem)
    assert "[plugins.kfp]" in problem.hint
    assert len(store.asked) == 1  # no redirect is followed: it would carry the token


def test_an_answer_that_is_no_json_is_an_error(store, spec, remote):
    for body in (b"<html>", b"[1]", b'{"runs": [', b"\xff"):
        store.body = body
        problem = problem_of(remote.mlops_collect_lineage(None))
        assert "does not answer as a KFP server does" in str(problem)


def test_a_run_that_makes_no_sense_is_named_and_the_others_go_on(store, spec, remote):
    store.add("bad", {**spec, "root": {"dag": {"tasks": {"t": 1}}}}, tasks=DONE)
    store.add("odd", spec, tasks=[1])
    store.add("good", spec, tasks=DONE)
    found = {o.key.rpartition("/")[2]: o for o in remote.mlops_collect_lineage(None).observations}
    assert "not what KFP writes" in found["bad"].unresolved[0]
    assert "not what KFP writes" in found["odd"].unresolved[0]
    assert found["good"].edges


def test_a_server_that_is_away_is_a_problem_and_its_cursor_stays(store, spec, remote, http):
    store.add("r1", spec, tasks=DONE)
    cursor = remote.mlops_collect_lineage(None).cursor
    http.shutdown()
    http.server_close()
    found = remote.mlops_collect_lineage(cursor)
    assert "cannot be reached" in str(problem_of(found))
    assert "endpoint in [plugins.kfp]" in problem_of(found).hint
    assert found.cursor == cursor


def test_no_token_is_in_a_record_or_a_cursor(store, spec, remote):
    store.add("r1", spec, tasks=DONE)
    assert TOKEN not in repr(remote.mlops_collect_lineage(None))


@pytest.mark.parametrize("endpoint", ["http://me:hunter2@host", "ftp://host", "http://"])
def test_an_endpoint_that_cannot_be_is_refused_without_its_password(tmp_path, endpoint):
    with pytest.raises(ConfigError, match="endpoint") as caught:
        KfpPlugin(tmp_path, endpoint=endpoint)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "two\nlines", b"\xff\xfe"])
def test_a_token_file_that_holds_no_token_is_an_error_of_the_config(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    plugin = KfpPlugin(tmp_path, endpoint="127.0.0.1:1", token_file=str(file))
    (problem,) = plugin.mlops_collect_lineage(None).problems
    assert isinstance(problem, ConfigError)
    assert "token file" in str(problem)
    assert "two" not in str(problem)
