import json
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import compiler, dsl

from unified_mlops.errors import BackendError
from unified_mlops.pipelines.cache import Cache, Explanation, Identity, key_of, parts
from unified_mlops.pipelines.inputs import Values
from unified_mlops.pipelines.reader import read
from unified_mlops.records import Ref, TaskRecord


@dsl.component(packages_to_install=["tabulate==0.9"], base_image="python:3.11")
def train(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], x: int, depth: int = 3):
    pass


@dsl.container_component
def shell(x: int, said: dsl.OutputPath(str)):
    return dsl.ContainerSpec("alpine", ["sh", "-c", "echo"], [x, said])


@dsl.pipeline(name="learn")
def learn(data: dsl.Input[dsl.Dataset], x: int = 1):
    task = train(data=data, x=x)
    task.set_env_variable("TOKEN", "s3cret")
    shell(x=x)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    import yaml

    file = tmp_path_factory.mktemp("compiled") / "learn.yaml"
    compiler.Compiler().compile(learn, str(file))
    return read(yaml.safe_load(file.read_text()))


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("a,b\n1,2\n")
    return artifact(file)


@pytest.fixture
def made(pipeline, data):
    """The parts of the `train` task, with some of what goes into it changed."""

    def make(item=data, component=None, container=None, given="", **parameters):
        component = component or pipeline.root.tasks["train"].component
        executor = {"container": component.executor["container"] | (container or {})}
        inputs = Values({"x": 1} | parameters, {"data": [item]})
        return parts("learn", component, inputs, executor, Identity(), given)

    return make


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "root", "learn")


@pytest.fixture
def kept(cache, made, tmp_path):
    """The key of a run that is in the cache, and its output folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("1")
    told = cache.look("train", made())
    cache.keep(told.key, made(), record(model=folder), "job-1")
    return SimpleNamespace(key=told.key, folder=folder, file=cache.folder / f"{told.key}.json")


def artifact(path, kind="system.Dataset", **metadata):
    return {
        "name": path.name if isinstance(path, Path) else "a",
        "type": {"schemaTitle": kind, "schemaVersion": "0.0.1"},
        "uri": str(path),
        "metadata": metadata,
    }


def record(name="train", state="SUCCEEDED", ended=None, **outputs):
    made = {key: [artifact(path, "system.Model")] for key, path in outputs.items()}
    return TaskRecord(
        ref=Ref("kfp", "task", name, f"kfp://{name}"),
        name=name,
        state=state,
        parameters={"score": 1, "list": [1, 2.5, {"a": None}]},
        artifacts=made,
        ended=ended or time.time(),
    )


# --- what is in a key -------------------------------------------------------------------------


def test_parts_are_named_one_by_one(made):
    found = made(depth=4)
    assert found["parameter 'x'"] == 1
    assert found["parameter 'depth'"] == 4
    assert found["requirements"] == ["tabulate==0.9"]
    assert found["image"] == "python:3.11"
    assert "train" in found["arguments"]
    assert found["outputs"]["artifacts"]["model"]["schemaTitle"] == "system.Model"
    digest = sha256(b"a,b\n1,2\n").hexdigest()
    assert found["artifact 'data'"]["content"] == f"sha256:{digest}"


def test_no_secret_is_in_parts(made):
    assert "variable 'TOKEN'" in made()
    assert "s3cret" not in json.dumps(made())
    command = ["sh", "pip install --index-url https://user:pass@host/simple"]
    assert "user:pass" not in json.dumps(made(container={"command": command}))


def test_an_artifact_of_the_same_content_elsewhere_is_the_same(made, data, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(Path(data["uri"]).read_bytes())
    assert made(artifact(copy)) == made()
    assert made(artifact(f"file://{copy}")) == made()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": 2}, "parameter 'x' changed: 1 -> 2"),
        ({"x": True}, "parameter 'x' changed: 1 -> true"),
        ({"x": "1"}, "parameter 'x' changed: 1 -> \"1\""),
        ({"depth": 4}, "parameter 'depth' is new"),
        ({"container": {"image": "python:3.12"}}, "component changed: image"),
        ({"container": {"command": ["python3"]}}, "requirements changed: "),
        (
            {"container": {"args": ["--x", "--function_to_execute", "train"]}},
            "component changed: arguments",
        ),
        (
            {"container": {"env": [{"name": "TOKEN", "value": "new"}]}},
            "variable 'TOKEN' changed",
        ),
        ({"container": {"env": []}}, "variable 'TOKEN' is gone"),
    ],
)
def test_a_change_is_a_miss_that_names_it(cache, kept, made, change, reason):
    told = cache.look("train", made(**change))
    assert not told.hit
    assert told.entry is None
    assert told.reason.startswith(reason)
    assert told.job == "job-1"
    assert cache.find(told.key) is None


def test_a_change_of_defaults_or_outputs_is_a_change_of_the_component(cache, kept, made, pipeline):
    component = pipeline.root.tasks["train"].component
    depth = replace(component.parameters["depth"], default=5)
    other = replace(component, parameters={**component.parameters, "depth": depth})
    assert cache.explain("train", made(component=other)) == "component changed: inputs"
    other = replace(component, results={"more": "STRING"})
    assert cache.explain("train", made(component=other)) == "component changed: outputs"


def test_changed_artifacts_are_misses_that_say_what_of_them_changed(cache, kept, made, data):
    assert cache.explain("train", made({**data, "metadata": {"rows": 1}})) == (
        "artifact 'data' changed: its metadata"
    )
    assert cache.explain("train", made({**data, "type": {"schemaTitle": "own.Table"}})) == (
        "artifact 'data' changed: its type"
    )
    Path(data["uri"]).write_text("a,b\n1,3\n")
    assert cache.explain("train", made(data)) == "artifact 'data' changed: its content"


def test_the_artifacts_of_a_list_are_named_by_number(pipeline, data, tmp_path):
    component = pipeline.root.tasks["train"].component
    inputs = Values({"x": 1}, {"data": [data, artifact(tmp_path / "none")]})
    found = parts("learn", component, inputs, component.executor, Identity())
    assert found["artifact 'data[0]'"]["content"].startswith("sha256:")
    assert found["artifact 'data[1]'"]["content"] == ""


def test_a_container_is_known_by_what_it_runs_unresolved(pipeline):
    component = pipeline.root.tasks["shell"].component
    found = parts("learn", component, Values({"x": 1}), component.executor, Identity())
    assert found["arguments"][0] == "{{$.inputs.parameters['x']}}"
    assert found["requirements"] == []


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=4), plain), st.dictionaries(st.text(max_size=4), plain))
def test_keys_are_equal_exactly_where_parts_are(one, other):
    one, other = {**one, "pipeline": "p"}, {**other, "pipeline": "p"}
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (key_of(one, "t") == key_of(other, "t")) == same
    assert key_of(one, "t") == key_of(dict(reversed(one.items())), "t")


# --- hits and misses --------------------------------------------------------------------------


def test_a_task_is_found_again_with_its_outputs(cache, kept, made):
    told = cache.look("train", made())
    assert told.hit
    assert told.reason == "same as in job 'job-1'"
    assert told.entry.parameters == {"score": 1, "list": [1, 2.5, {"a": None}]}
    assert type(told.entry.parameters["score"]) is int
    assert told.entry.artifacts["model"][0]["uri"] == str(kept.folder)
    assert kept.file.parent == cache.folder
    assert kept.file.parts[-3:-1] == (".cache", "learn")


def test_another_task_with_the_same_parts_is_a_hit_and_another_pipeline_is_not(cache, kept, made):
    assert cache.look("again", made()).hit
    assert key_of({**made(), "pipeline": "other"}, "train") != kept.key


def test_the_first_run_of_a_task_says_so(cache, made):
    assert cache.look("train", made()).reason == "first run of this task"


def test_what_did_not_succeed_is_not_kept(cache, made):
    told = cache.look("train", made())
    for state in ("FAILED", "CANCELLED", "SKIPPED", "NOT_TRIGGERED"):
        cache.keep(told.key, made(), record(state=state), "job-1")
    assert cache.find(told.key) is None


def test_a_hit_counts_as_the_last_run(cache, kept, made):
    cache.keep(key_of(made(x=2), "train"), made(x=2), record(), "job-2")
    assert cache.look("train", made()).hit
    cache.keep(kept.key, made(), record(state="SKIPPED"), "job-3")
    assert cache.explain("train", made(x=5)) == "parameter 'x' changed: 1 -> 5"


def test_what_is_older_than_the_limit_is_a_miss(cache, made, tmp_path):
    cache.keep(key_of(made(), "train"), made(), record(ended=time.time() - 100), "job-1")
    young = Cache(tmp_path / "root", "learn", max_age=3600)
    assert young.look("train", made()).hit
    old = Cache(tmp_path / "root", "learn", max_age=99.5)
    assert old.look("train", made()).reason == "older than 99.5 s"
    assert old.find(key_of(made(), "train")) is None


def test_an_output_that_is_gone_is_a_miss(cache, kept, made):
    (kept.folder / "weights").unlink()
    kept.folder.rmdir()
    reason = "output 'model' of job 'job-1' is no longer there"
    assert Cache(cache.folder.parents[1], "learn").explain("train", made()) == reason
    assert cache.explain("train", made()) == reason


@pytest.mark.parametrize("how", ["content", "new file", "size and time kept"])
def test_an_output_that_changed_is_a_miss(cache, kept, made, how):
    file = kept.folder / "weights"
    time.sleep(0.05)  # so that it is known by its size and times from now on
    cache.keep(kept.key, made(), record(model=kept.folder), "job-1")
    before = file.stat()
    if how == "new file":
        (kept.folder / "more").write_text("1")
    else:
        file.write_text("2" if how != "content" else "22")
    if how == "size and time kept":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = Cache(cache.folder.parents[1], "learn")
    assert again.explain("train", made()) == "output 'model' of job 'job-1' has changed since"
    cache.keep(kept.key, made(), record(model=kept.folder), "job-2")
    assert cache.find(kept.key).job == "job-2"


def test_an_output_without_a_file_is_no_reason_for_a_miss(cache, made, tmp_path):
    cache.keep(key_of(made(), "train"), made(), record(metrics=tmp_path / "never"), "job-1")
    assert cache.look("train", made()).hit


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', "\xff"])
def test_a_damaged_entry_is_a_miss_and_is_replaced(cache, kept, made, content):
    kept.file.write_bytes(content.encode("latin-1"))
    (cache.folder / "last" / "train.json").write_bytes(content.encode("latin-1"))
    assert cache.explain("train", made()) == "what was kept cannot be read"
    cache.keep(kept.key, made(), record(), "job-2")
    assert cache.look("train", made()).hit


def test_a_removed_entry_is_a_miss_that_says_so(cache, kept, made):
    kept.file.unlink()
    assert cache.explain("train", made()) == "what the last run made is not kept"


def test_the_users_key_stands_for_all_else_in_its_task(cache, made):
    cache.keep(key_of(made(given="v1"), "train"), made(given="v1"), record(), "job-1")
    assert cache.look("train", made(given="v1", x=2)).hit
    assert not cache.look("other", made(given="v1")).hit
    told = cache.look("train", made(given="v2", x=2))
    assert told.reason == 'cache key changed: "v1" -> "v2"'
    assert cache.explain("train", made()) == "cache key is gone"


def test_an_explanation_survives_its_file(cache, kept, made):
    told = cache.look("train", made(x=2))
    assert Explanation.from_json(told.to_json()) == told
    assert told.before["parameter 'x'"] == 1
    off = Explanation.from_json(Explanation.off().to_json())
    assert (off.hit, off.reason) == (False, "caching is off for this task")
    with pytest.raises(ValueError, match="unexpected"):
        Explanation.from_json('{"other": 1}')


def test_a_cache_that_cannot_be_written_is_an_error_with_a_hint(made, tmp_path):
    (tmp_path / "root").write_text("a file")
    with pytest.raises(BackendError, match="the cache"):
        Cache(tmp_path / "root", "learn").keep("k", made(), record(), "job-1")


# --- several at once --------------------------------------------------------------------------

KEY = "k" * 64


def keep_often(root, job):
    cache = Cache(Path(root), "learn")
    for number in range(20):
        some = {"pipeline": "learn", "parameter 'x'": "y" * 10_000, "n": number}
        cache.keep(KEY, some, record(), job)
        found = cache.find(KEY)
        assert found is not None
        assert found.parts["parameter 'x'"] == "y" * 10_000
        assert not cache.explain("train", some).startswith("first run")


def test_runners_in_two_processes_and_threads_of_one_never_see_half_an_entry(tmp_path):
    with ProcessPoolExecutor(2) as processes, ThreadPoolExecutor(4) as threads:
        work = [processes.submit(keep_often, str(tmp_path), f"p{n}") for n in range(2)]
        work += [threads.submit(keep_often, str(tmp_path), f"t{n}") for n in range(4)]
        for each in work:
            each.result()
    left = [path.name for path in (tmp_path / ".cache" / "learn").iterdir()]
    assert sorted(left) == [f"{KEY}.json", "last"]


# --- what an artifact is ----------------------------------------------------------------------


def test_a_folder_is_its_files_by_name_and_content_wherever_it_lies(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "b").write_text("2")
        (folder / "a").write_text("1")
    content = Identity().content
    assert content(str(one)) == content(f"file://{other}")
    (other / "sub" / "b").rename(other / "sub" / "c")
    assert content(str(one)) != content(str(other))


def test_a_file_that_did_not_change_is_read_once_also_by_the_next_process(tmp_path, monkeypatch):
    file = tmp_path / "big"
    file.write_bytes(b"x" * 1000)
    time.sleep(0.05)
    reads = []
    plain = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", *a, **k: reads.append(mode) or plain(self, mode, *a, **k),
    )
    first = Identity()
    content = first.content(str(file))
    assert first.content(str(file)) == content
    later = Identity()
    later.learn(json.loads(json.dumps(first.seen(str(file)))))
    assert later.content(str(file)) == content
    assert reads == ["rb"]
    file.write_bytes(b"y" * 1000)
    assert later.content(str(file)) != content


def test_a_file_that_has_just_changed_is_read_again_since_it_may_change_in_that_moment(tmp_path):
    file, identity = tmp_path / "file", Identity()
    file.write_text("1")
    when = file.stat().st_ctime_ns
    identity.content(str(file))
    known = identity.seen(str(file))
    assert not known or time.time_ns() - when > 20_000_000
    time.sleep(0.05)
    identity.content(str(file))
    assert list(identity.seen(str(file))) == [str(file)]


def test_what_cannot_be_read_is_never_the_same_twice(tmp_path):
    loop = tmp_path / "folder" / "loop"
    loop.parent.mkdir()
    loop.symlink_to(loop.parent)
    first, second = Identity().content(str(loop.parent)), Identity().content(str(loop.parent))
    assert first.startswith("cannot be read")
    assert first != second


class Store(BaseHTTPRequestHandler):
    """A store that knows an ETag for what it holds."""

    etag = "v1"

    def do_HEAD(self):
        self.send_response(404 if "none" in self.path else 200)
        self.send_header("ETag", self.etag)
        self.send_header("Content-Length", "3")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *arguments):
        pass


@pytest.fixture
def store():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_remote_file_is_known_by_its_stores_checksum(store, monkeypatch):
    pytest.importorskip("aiohttp")
    content = Identity().content
    assert content(f"{store}/a") == content(f"{store}/b") == "ETag:v1"
    monkeypatch.setattr(Store, "etag", "v2")
    assert content(f"{store}/a") == "ETag:v2"
    assert content(f"{store}/none") == ""


def test_a_store_without_checksums_tells_by_size_and_time():
    files = fsspec.filesystem("memory")
    files.pipe("/cache-test/folder/a", b"1")
    content = Identity().content
    file, folder = "memory://cache-test/folder/a", "memory://cache-test/folder"
    before = content(file), content(folder)
    assert (content(file), content(folder)) == before
    assert before[0].startswith(f"{file} size=1")
    files.pipe("/cache-test/folder/a", b"2")
    assert content(file) != before[0]
    assert content(folder) != before[1]
    files.rm("/cache-test", recursive=True)
    assert content(file) == ""


def test_a_store_that_nothing_here_can_look_into_is_known_by_the_uri():
    assert Identity().content("nosuchstore://a/b") == "nosuchstore://a/b"
