"""Artifacts in an object store: what a component sees of them, and what becomes of what it made."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output, get_uri

import unified_mlops as umlops
from unified_mlops.pipelines.staging import around, executor, path


@pytest.fixture(scope="module")
def s3():
    """The address of a bucket on a real S3 server, on loopback."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.fixture(params=["s3", "memory", "file"])
def root(request, tmp_path):
    """A folder of its own; task names with brackets are part of every place."""
    roots = {"memory": "memory://runs", "file": f"file://{tmp_path}/outside"}
    base = roots.get(request.param) or request.getfixturevalue("s3")
    return f"{base}/{uuid4().hex}/train[2]"


@pytest.fixture
def task(tmp_path):
    """Runs a component with artifacts; answers what went wrong and its `executor_output.json`."""

    def task(function, *, given=(), made=()):
        folder = tmp_path / uuid4().hex
        folder.mkdir()
        kind = {"schemaTitle": "system.Dataset"}
        sides = [
            {
                name: {"artifacts": [{"name": name, "type": kind, "uri": uri, "metadata": {}}]}
                for name, uri in dict(side).items()
            }
            for side in (given, made)
        ]
        file = folder / "executor_output.json"
        whole = {
            "inputs": {"artifacts": sides[0]},
            "outputs": {"artifacts": sides[1], "outputFile": str(file)},
        }

        def run():
            executor(whole, function).execute()
            return ""

        error = around(whole, run)
        assert not (folder / ".copies").exists()
        written = json.loads(file.read_text()) if file.exists() else {}
        artifacts = written.get("artifacts", {})
        return error, {name: item["artifacts"][0] for name, item in artifacts.items()}

    return task


seen = {}


def write(made: Output[Dataset]):
    Path(made.path).write_text("told")
    made.metadata["known"] = made.uri


def write_folder(made: Output[Dataset]):
    Path(made.path, "part").mkdir(parents=True)
    Path(made.path, "part", "0.csv").write_text("0")
    Path(made.path, "1.csv").write_text("1")


def write_beside(made: Output[Dataset]):
    Path(made.path + ".joblib").write_text("model")


def read(data: Input[Dataset]):
    there = Path(data.path).parent
    files = [each for each in there.rglob("*") if each.is_file()] if there.exists() else []
    seen[data.uri] = {str(each.relative_to(there)): each.read_text() for each in files}


@pytest.mark.parametrize(
    ("component", "files"),
    [
        (write, {"made": "told"}),
        (write_folder, {"made/part/0.csv": "0", "made/1.csv": "1"}),
        (write_beside, {"made.joblib": "model"}),
    ],
    ids=["a file", "a folder", "beside its path"],
)
def test_what_one_task_writes_to_a_store_the_next_one_reads(task, root, component, files):
    place = f"{root}/made"
    assert task(component, made={"made": place})[0] == ""
    assert task(read, given={"data": place})[0] == ""
    assert seen[place] == files


def test_a_component_sees_the_true_uri_and_its_record_has_it(task, root):
    _, made = task(write, made={"made": f"{root}/made"})
    place = f"{root}/made"
    assert made["made"] == {"name": "made", "uri": place, "metadata": {"known": place}}


def test_what_a_component_writes_elsewhere_on_its_machine_is_brought_to_its_place(
    task, root, tmp_path
):
    def elsewhere(made: Output[Dataset]):
        made.custom_path = str(tmp_path / "own.txt")
        Path(made.path).write_text("mine")

    place = f"{root}/made"
    error, made = task(elsewhere, made={"made": place})
    assert (error, made["made"]) == ("", {"name": "made", "uri": place, "metadata": {}})
    task(read, given={"data": place})
    assert seen[place] == {"made": "mine"}


def test_an_artifact_that_a_component_returns_is_brought_to_its_place(task, root):
    def returned() -> Dataset:
        Path(get_uri("x")).write_text("here")
        return Dataset(uri=get_uri("x"), metadata={"rows": 1})

    place = f"{root}/Output"
    error, made = task(returned, made={"Output": place})
    assert (error, made["Output"]["uri"], made["Output"]["metadata"]) == ("", place, {"rows": 1})
    task(read, given={"data": place})
    assert seen[place] == {"Output": "here"}


def test_an_input_that_a_component_returns_stays_as_it_is_in_its_store(task):
    def hand_on(data: Input[Dataset]) -> Dataset:
        Path(data.path).write_text("changed")
        return data

    place = f"memory://runs/{uuid4().hex}/made"
    task(write, made={"made": place})
    _, made = task(hand_on, given={"data": place}, made={"Output": f"{place}-again"})
    task(read, given={"data": place})
    assert (made["Output"]["uri"], seen[place]) == (place, {"made": "told"})


def test_a_component_that_fails_leaves_nothing_in_the_store(task, tmp_path):
    def fail(made: Output[Dataset]):
        Path(made.path).write_text("half")
        raise ValueError("no")

    place = f"memory://runs/{uuid4().hex}/made"
    with pytest.raises(ValueError, match="no"):
        task(fail, made={"made": place})
    assert task(read, given={"data": place})[0] == ""
    assert seen[place] == {}


def test_a_bucket_that_is_not_there_is_told_and_not_made(task, s3):
    error, _ = task(write, made={"made": "s3://other/made"})
    assert error.startswith("'s3://other/made' cannot be written: FileNotFoundError: ")
    error, _ = task(write, made={"made": "s3://other/made"})
    assert "bucket does not exist" in error


def test_a_store_that_nothing_here_opens_is_told_before_the_component_runs(task):
    def never(made: Output[Dataset]):
        raise AssertionError

    error, _ = task(never, made={"made": "nothing://x/made"})
    assert error.startswith("'nothing://x/made' cannot be opened: Protocol not known: nothing")


def test_an_input_that_nothing_here_opens_keeps_the_path_that_kfp_gives_it(task):
    def look(data: Input[Dataset]):
        seen["paths"] = (data.uri, data.path)

    assert task(look, given={"data": "minio://bucket/x"})[0] == ""
    assert seen["paths"] == ("minio://bucket/x", "/minio/bucket/x")


def test_no_name_leads_out_of_the_folder_of_the_copies(task, tmp_path):
    import fsspec

    error, _ = task(write, made={"made": "memory://a/../../../made"})
    assert "leads out of its folder" in error
    fsspec.filesystem("memory").pipe_file("/bad/made/../../../../x", b"")
    assert "a name with '..'" in task(read, given={"data": "memory://bad/made"})[0]


def test_files_of_this_machine_are_used_where_they_are(task, tmp_path):
    place = f"{tmp_path}/made"
    assert task(write, made={"made": place})[1]["made"]["metadata"] == {"known": place}
    assert Path(place).read_text() == "told"
    assert path(place, tmp_path) == path(f"file://{place}", tmp_path / "x") == Path(place)
    assert path("s3://bucket/x", Path("/task")) == Path("/task/.copies/s3/bucket/x")


@dsl.component(base_image="python:3.11")
def make(note: dsl.Output[dsl.Dataset]):
    with open(note.path, "w") as file:  # noqa: PTH123  a component stands alone
        file.write("told")


@dsl.component(base_image="python:3.11")
def show(note: dsl.Input[dsl.Dataset]) -> str:
    with open(note.path) as file:  # noqa: PTH123
        return f"{note.uri}: {file.read()}"


@dsl.pipeline(name="stored")
def stored() -> str:
    return show(note=make().outputs["note"]).output


@pytest.mark.parametrize("scheme", ["s3", "memory"])
def test_a_pipeline_whose_root_is_a_store_runs_on_this_machine(request, scheme, tmp_path):
    root = f"{request.getfixturevalue('s3')}/x" if scheme == "s3" else "memory://x"
    session = umlops.init(workspace=tmp_path / "w", plugins={"kfp": {}})
    job = umlops.PipelineJob("stored", stored, pipeline_root=root, session=session)
    job.run()
    place = f"{root}/stored/{job.job_id}/make/note"
    assert job.outputs == {"Output": f"{place}: told"}
    assert job.task_details["make"].artifacts["note"][0]["uri"] == place
    assert not list(tmp_path.rglob(".copies"))
    assert place in session.lineage.upstream(f"{job.uri}/show").nodes
