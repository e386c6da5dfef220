"""Lineage of what people do on a cluster with Ray's own commands, and of what Ray Data logs."""

import json
import re
import time
from copy import deepcopy
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from unified_mlops.errors import BackendError
from unified_mlops.records import Alias, Claim, Edge
from unified_mlops_ray import dashboard, serve
from unified_mlops_ray.plugin import RayPlugin
from unified_mlops_ray.secrets import is_secret, masked


@pytest.fixture
def watching(native, tmp_path):
    return RayPlugin(tmp_path / "workspace", dashboard=native.url)


@pytest.fixture
def found(watching):
    return {item.key: item for item in watching.mlops_collect_lineage(None).observations}


@pytest.fixture
def session(native):
    return native.ask("/api/version")["session_name"]


def claim(text, part, since):
    return Claim(text, "DERIVES", part, "model-text", at=since, since=since)


def described(item):
    return {node.uri: node for node in item.nodes}[item.key]


# --- jobs ---


def test_a_submitted_job_is_known_with_its_times_and_names(native, found, session):
    listed = {job["submission_id"]: job for job in native.ask("/api/jobs/")}["train-1"]
    uri = f"ray://{session}/jobs/train-1"
    job = described(found[uri])
    assert (job.kind, job.name, job.time) == ("job", "train-1", listed["start_time"] / 1000)
    assert job.attributes["state"] == "SUCCEEDED"
    assert job.attributes["ended"] == found[uri].time == listed["end_time"] / 1000
    assert job.attributes["metadata.owner"] == "me"
    assert "--lr=0.1" in job.attributes["entrypoint"]
    assert found[uri].edges == (Edge(f"ray://{session}", "PARENT_OF", uri, "recorded", "ray.jobs"),)
    assert found[uri].aliases == (
        Alias("ray:job/train-1", uri, f"ray://{session}"),
        Alias(f"ray:driver/{session}/{listed['job_id']}", uri, f"ray://{session}"),
    )


def test_trap_12_a_job_id_that_two_clusters_give_is_two_jobs(native, started, found, session):
    from ray import get_runtime_context

    ours = get_runtime_context()  # of the first driver on a cluster of its own
    assert ours.gcs_address.rpartition(":")[2] != native.address.rpartition(":")[2]
    assert ours.get_job_id() == native.driver == "01000000"  # the defect: both clusters began anew
    assert f"ray://{session}/jobs/{native.driver}" in found
    assert not any(key.startswith(f"ray://jobs/{native.driver}") for key in found)


def test_trap_12_files_that_a_dataset_read_are_not_told_by_it(started, tmp_path):
    import pandas as pd
    from ray import data

    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "a b.parquet")
    read = data.read_parquet(str(tmp_path / "a b.parquet"))
    assert read.input_files() == []  # the defect; so the driver itself logs what it reads


# --- Serve ---


def test_trap_12_what_was_bound_is_invisible_and_user_config_is_not(native, found, session):
    app = native.ask("/api/serve/applications/")["applications"]["delays"]
    assert "models:/bound@prod" not in json.dumps(app)  # the defect
    uri = f"ray://{session}/serve/delays"
    time = app["deployments"]["Model"]["replicas"][0]["start_time_s"]  # it loads the model
    seen = found[f"{uri}/Model"]
    assert seen.claims == (claim("models:/delay@prod", f"{uri}/Model", time),)
    assert {(edge.source, edge.kind, edge.target) for edge in seen.edges} == {
        (f"ray://{session}", "PARENT_OF", uri),
        (uri, "OUTPUT", f"{uri}/Model"),
        ("s3://bucket/models/m.pkl", "DERIVES", f"{uri}/Model"),
    }
    assert [edge.since for edge in seen.edges] == [None, None, time]
    assert (described(seen).kind, described(seen).time) == ("endpoint", time)


class Recorded(dashboard.Cluster):
    """A cluster that answers what a real one did, changed."""

    def ask(self, path):
        return {"applications": self.apps}


@pytest.fixture
def look(native, session):
    """What is new in the answer of the real cluster once it was changed, and what is to be kept."""
    answer = native.ask("/api/serve/applications/")["applications"]

    def look(change=lambda apps: None, seen=None):
        cluster = Recorded(native.url, session)
        apps = deepcopy(answer)
        change(apps)
        object.__setattr__(cluster, "apps", apps)
        return serve.observations(cluster, seen or {})

    return look


def restarted(model, since, name="Model"):
    """A change: the application was deployed anew."""

    def change(apps):
        (deployed,) = apps["delays"]["deployments"].values()
        deployed["deployment_config"]["user_config"]["model"] = model
        deployed["replicas"][0]["start_time_s"] = since
        apps["delays"]["deployments"] = {name: deployed}

    return change


def claims_of(observations):
    return {claim for item in observations for claim in item.claims}


def test_a_model_is_on_a_deployment_until_replicas_with_another_begin(look, session):
    (first,), seen = look()
    assert look(seen=seen) == ([], seen)
    ((old,), part) = first.claims, first.key
    found, seen = look(restarted("models:/delay/7", old.since + 60), seen)
    new = claim("models:/delay/7", part, old.since + 60)
    assert claims_of(found) == {new, replace(old, until=old.since + 60)}
    places = [e for item in found for e in item.edges if e.source == "s3://bucket/models/m.pkl"]
    assert {(e.since, e.until) for e in places} == {
        (old.since, old.since + 60),
        (old.since + 60, None),
    }
    assert look(restarted("models:/delay/7", old.since + 60), seen) == ([], seen)


def test_trap_12_an_application_that_is_deployed_anew_keeps_the_time_of_the_first(look):
    (first,), seen = look()
    (old,) = first.claims

    def change(apps):
        deployed = apps["delays"]["last_deployed_time_s"]
        restarted("models:/delay@prod", old.since + 60)(apps)
        assert apps["delays"]["last_deployed_time_s"] == deployed  # as Ray 2.60 answers

    found, _ = look(change, seen)  # the same name again: it may mean another version by now
    again = replace(old, at=old.since + 60, since=old.since + 60)
    assert claims_of(found) == {again, replace(old, until=old.since + 60)}


def test_a_deployment_that_was_replaced_ends_with_its_application_deployed_anew(look):
    (first,), seen = look()
    (old,) = first.claims
    found, seen = look(restarted("models:/delay/7", old.since + 60, "Other"), seen)
    assert replace(old, until=old.since + 60) in claims_of(found)
    assert [part.rpartition("/")[2] for part in seen] == ["Other"]


@pytest.mark.parametrize("left", ["nothing", "deleting"])
def test_an_application_that_was_taken_off_ends_when_that_is_seen(look, left):
    def change(apps):
        apps["delays"]["status"] = "DELETING"
        if left == "nothing":
            del apps["delays"]

    (first,), seen = look()
    before = time.time()
    (gone,), seen = look(change, seen)
    ((old,), (ended,)) = first.claims, gone.claims
    assert replace(ended, until=None) == old
    assert before <= ended.until <= time.time()
    assert seen == {}
    assert look(change, seen) == ([], {})


def test_while_an_application_is_being_deployed_the_old_models_stay(look):
    (_,), seen = look()
    assert look(lambda apps: apps["delays"].update(status="DEPLOYING"), seen) == ([], seen)


def test_another_config_of_the_same_replicas_is_so_from_when_it_is_seen(look):
    (first,), seen = look()
    (old,) = first.claims
    before = time.time()
    found, _ = look(restarted("models:/delay/7", old.since), seen)
    (new,) = claims_of(found) - {old} - {c for c in claims_of(found) if c.until}
    assert before <= new.since <= time.time()
    assert replace(old, until=new.since) in claims_of(found)


def test_what_a_cluster_had_that_was_started_anew_has_ended(native, watching, session):
    first = watching.mlops_collect_lineage(None)
    cursor = json.loads(first.cursor.replace(session, "session_before"))
    old = {item.key: item for item in first.observations}[f"ray://{session}/serve/delays/Model"]
    found = watching.mlops_collect_lineage(json.dumps(cursor)).observations
    ended = [item for item in found if item.key.startswith("ray://session_before/")]
    assert [c.until is not None for item in ended for c in item.claims] == [True]
    assert old in found
    elsewhere = json.dumps(cursor | {"dashboard": "http://other:8265"})  # that one may go on
    found = watching.mlops_collect_lineage(elsewhere).observations
    assert not any(item.key.startswith("ray://session_before/") for item in found)


# --- the cluster as a store ---


def test_no_secret_of_a_job_or_an_application_comes_through(native, watching):
    told = native.ask("/api/jobs/"), native.ask("/api/serve/applications/")
    collection = watching.mlops_collect_lineage(None)
    kept = json.dumps([asdict(item) for item in collection.observations]) + collection.cursor
    for secret in native.secrets:
        assert secret in json.dumps(told)
        assert secret not in kept


def test_nothing_new_is_nothing_found_and_quick(watching):
    first = watching.mlops_collect_lineage(None)
    begin = time.perf_counter()
    again = watching.mlops_collect_lineage(first.cursor)
    assert (again.observations, again.cursor) == ([], first.cursor)
    assert time.perf_counter() - begin < 1


def test_the_address_of_a_cluster_tells_its_dashboard_in_ray_2_60(native, tmp_path, watching):
    import ray

    assert ray.__version__.startswith("2.60."), "see dashboard._dashboard_of"
    plugin = RayPlugin(tmp_path / "workspace", address=native.address)
    first = plugin.mlops_collect_lineage(None)
    assert first.observations == watching.mlops_collect_lineage(None).observations
    assert plugin.mlops_collect_lineage(first.cursor).observations == []


def test_a_cluster_without_a_dashboard_has_no_jobs_to_tell_of(started, tmp_path):
    begin = time.perf_counter()
    assert RayPlugin(tmp_path, address=started.address).mlops_collect_lineage(None).cursor is None
    assert time.perf_counter() - begin < 10  # Ray's own client waits 40 s


def test_nothing_is_asked_where_nothing_is_configured(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(dashboard, "_get", lambda *_: pytest.fail("asked"))
    found = RayPlugin(tmp_path / "workspace").mlops_collect_lineage(None)
    assert (found.observations, found.cursor) == ([], None)
    assert not (tmp_path / "workspace").exists()


@pytest.fixture
def stranger():
    """A server that is no dashboard: it answers what it is told to, and keeps what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.sent = self.headers.get("Authorization")
            self.send_response(self.server.code)
            self.end_headers()
            self.wfile.write(self.server.body)

        def log_message(self, *_):
            """Be quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.code, server.body, server.sent = 200, b"{}", None
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "body", "fact", "hint"),
    [
        (200, b"<html>", "does not answer", "dashboard ="),
        (200, b"{}", "is no dashboard of Ray", "dashboard ="),
        (200, b"[]", "is no dashboard of Ray", "dashboard ="),
        (401, b"", "answers 401", "RAY_AUTH_TOKEN"),
        (500, b"", "answers 500", "dashboard ="),
        (200, b'{"session_name": "s"}', "not known here", "--upgrade"),  # to every question
    ],
)
def test_what_is_no_dashboard_is_named(stranger, tmp_path, code, body, fact, hint):
    stranger.code, stranger.body = code, body
    url = f"http://127.0.0.1:{stranger.server_port}"
    (problem,) = RayPlugin(tmp_path, dashboard=url).mlops_collect_lineage(None).problems
    assert fact in problem.fact
    assert url in problem.fact or "'s'" in problem.fact
    assert hint in problem.hint


def test_the_token_that_ray_takes_from_the_environment_is_sent(stranger, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "tok-1")
    plugin = RayPlugin(tmp_path, dashboard=f"http://127.0.0.1:{stranger.server_port}")
    (problem,) = plugin.mlops_collect_lineage(None).problems
    assert stranger.sent == "Bearer tok-1"
    assert "tok-1" not in str(problem)


@pytest.mark.parametrize("key", ["dashboard", "address"])
def test_an_unreachable_cluster_is_named_and_hides_nothing_else(tmp_path, key):
    place = "http://me:sesame@127.0.0.1:1" if key == "dashboard" else "127.0.0.1:1"
    plugin = RayPlugin(tmp_path, **{key: place})
    endpoint = plugin.mlops_create_endpoint(name="delay")
    first = plugin.mlops_collect_lineage(None)
    assert [item.key for item in first.observations] == [endpoint.ref.uri]
    (problem,) = first.problems
    assert isinstance(problem, BackendError)
    assert "127.0.0.1:1" in str(problem)
    assert "sesame" not in str(problem)
    assert len(plugin.mlops_collect_lineage(first.cursor).problems) == 1


# --- Ray Data ---


@pytest.fixture
def logged(tmp_path):
    """Writes a line as Ray Data's driver does."""
    folder = tmp_path / "workspace" / "ray" / "data"
    folder.mkdir(parents=True)

    def write(**line):
        with (folder / "driver.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    return write


def test_what_a_job_read_and_wrote_are_its_inputs_and_outputs(plugin, logged):
    reads, writes = ["s3a://b/in.parquet", "/data/a b.csv"], ["file:///data/out"]
    logged(job="session_1/03000000", submission="train", reads=reads, writes=writes, time=5.0)
    (item,) = plugin.mlops_collect_lineage(None).observations
    job = "ray://session_1/jobs/train"
    assert item.edges == (
        Edge("s3://b/in.parquet", "INPUT", job, "recorded", "ray.data"),
        Edge("file:///data/a b.csv", "INPUT", job, "recorded", "ray.data"),
        Edge(job, "OUTPUT", "file:///data/out", "recorded", "ray.data"),
    )
    assert item.time == 5.0
    assert [(alias.name, alias.uri) for alias in item.aliases] == [
        ("ray:job/train", job),
        ("ray:driver/session_1/03000000", job),
    ]


def test_a_driver_that_was_not_submitted_is_a_job_of_its_session(plugin, logged):
    for session in ("session_1", "session_2"):
        logged(job=f"{session}/01000000", submission="", reads=["s3://b/k"], writes=[], time=5.0)
    jobs = [item.edges[0].target for item in plugin.mlops_collect_lineage(None).observations]
    assert jobs == ["ray://session_1/jobs/01000000", "ray://session_2/jobs/01000000"]


def test_what_is_relative_or_cut_short_is_unresolved_and_the_log_is_read_on(plugin, logged):
    logged(job="s/1", submission="", reads=["here.csv", "s3://u:sesame@b/k"], writes=[], time=5)
    logged(nothing=1)
    first = plugin.mlops_collect_lineage(None)
    whole, cut = first.observations
    assert [edge.source for edge in whole.edges] == ["s3://b/k"]
    assert whole.unresolved == ("ray://s/jobs/1: here.csv",)
    assert cut.unresolved == (cut.key,)
    assert plugin.mlops_collect_lineage(first.cursor).observations == []
    logged(job="s/1", submission="", reads=[], writes=["s3://b/new"], time=6)
    (item,) = plugin.mlops_collect_lineage(first.cursor).observations
    assert item.edges[0].target == "s3://b/new"


def test_a_log_that_cannot_be_read_loses_nothing_of_another(plugin, logged, tmp_path, monkeypatch):
    logged(job="s/1", submission="", reads=["s3://b/k"], writes=[], time=5)
    (tmp_path / "workspace" / "ray" / "data" / "z.jsonl").write_text("{}\n")
    endpoint = plugin.mlops_create_endpoint(name="delay")
    original = Path.open

    def refuse(self, *args, **options):  # tests run as root, whom no permission stops
        if self.name == "z.jsonl":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    first = plugin.mlops_collect_lineage(None)
    assert [item.key for item in first.observations] == [endpoint.ref.uri]
    (problem,) = plugin.mlops_collect_lineage(first.cursor).problems
    assert re.search(r"z\.jsonl.*Permission denied", str(problem))
    monkeypatch.undo()
    assert len(plugin.mlops_collect_lineage(first.cursor).observations) == 2


# --- secrets ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("train.py --password hunter2 --lr 0.1", "train.py --password *** --lr 0.1"),
        ("train.py --api-key='a b' x", "train.py --api-key=*** x"),
        ("AWS_SECRET_ACCESS_KEY=abc python x.py", "AWS_SECRET_ACCESS_KEY=*** python x.py"),
        ('curl -H "Authorization: Bearer abcdef"', 'curl -H "Authorization: ***"'),
        ("x.py postgresql://u:p@w@h/db?sslmode=on", "x.py postgresql://***@h/db?sslmode=on"),
        ("x.py https://h/x?sig=abc&b=1", "x.py https://h/x?sig=***&b=1"),
        ('x.py {"token": "abc", "a": 1}', 'x.py {"token": ***, "a": 1}'),
        ("x.py ghp_abcdefghijkl AKIAABCDEFGHIJKLMNOP", "x.py *** ***"),
        ("python monkey.py --keep 3 tokens.csv", "python monkey.py --keep 3 tokens.csv"),
    ],
)
def test_a_command_is_shown_without_its_secrets(text, shown):
    assert masked(text) == shown


def test_names_under_which_secrets_are_kept_are_known():
    assert all(map(is_secret, ["password", "API_TOKEN", "db.passwd", "aws-secret", "key"]))
    assert not any(map(is_secret, ["owner", "model", "path", "author", "tokenizer"]))
