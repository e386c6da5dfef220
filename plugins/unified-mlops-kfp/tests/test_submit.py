"""Whole pipelines on a KFP server: what it is sent, and what is made of what it tells."""

import json
import ssl
from datetime import datetime, timedelta, timezone
from functools import partial
from ipaddress import ip_address

import kfp
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kfp import dsl
from kfp.client import Client
from kfp.compiler import Compiler
from kfp.dsl import Dataset, Input, Output
from kfp_server import NEVER, TOKEN

from unified_mlops.config import Config
from unified_mlops.errors import (
    ArgumentError,
    BackendError,
    ConfigError,
    NotFoundError,
    UnsupportedError,
)
from unified_mlops.records import JobRequest
from unified_mlops.resources.remote_pipeline import RemoteRun
from unified_mlops.session import Session
from unified_mlops_kfp import submit as module
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")


@component
def make(n: int, options: dict, data: Output[Dataset]):
    pass


@component
def train(data: Input[Dataset]):
    pass


@dsl.pipeline(name="inner")
def inner(n: int):
    make(n=n, options={"depth": 3})


@dsl.pipeline(name="chain")
def chain(n: int, options: dict = {"depth": 2}):  # noqa: B006 - a pipeline's default
    train(data=make(n=n, options=options).outputs["data"])


@dsl.pipeline(name="branches")
def branches(n: int = 1):
    with dsl.If(n > 1, name="many"), dsl.ParallelFor([1, 2]) as item:
        make(n=item, options={})
    inner(n=n)


@pytest.fixture(autouse=True)
def authorized(store):
    store.token = f"Bearer {TOKEN}"


@pytest.fixture
def pipeline(remote):
    return remote.mlops_load_pipeline(chain)


def request(name="job-1", **more):
    given = {"display_name": "My job", "parameters": {"n": 3}, **more}
    return JobRequest(name=name, **given)


@pytest.fixture
def submit(remote, pipeline):
    def submit(name="job-1", pipeline=pipeline, **more):
        return remote.mlops_submit_pipeline(pipeline, request(name, **more))

    return submit


def sent(store, path):
    """The bodies that were posted to a path."""
    return [body for command, to, body in store.bodies if (command, to) == ("POST", path)]


def followed(remote, job):
    for _ in range(20):
        job = remote.mlops_get_pipeline_job(job.ref)
        if job.state.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
            return job
    raise AssertionError(job.state)


# --- what is sent -------------------------------------------------------------------------------


def test_the_server_gets_the_compiled_file_as_it_is(store, submit, tmp_path):
    path = tmp_path / "chain.yaml"
    Compiler().compile(chain, str(path))
    submit(experiment="flights", root="s3://bucket/root")
    (run,) = sent(store, "/runs")
    assert json.dumps(run["pipeline_spec"]) == json.dumps(yaml.safe_load(path.read_text()))
    assert run["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    assert (run["display_name"], run["description"]) == ("My job", "unified_mlops job job-1")


def test_integers_stay_integers(store, submit):
    given = {"n": 2**53, "options": {"depth": 7, "rates": [1, 0.5, 2.0], "on": True}}
    job = submit(parameters=given)
    (run,) = sent(store, "/runs")
    assert json.dumps(run["runtime_config"]["parameters"]) == json.dumps(given)
    assert json.dumps(job.parameters) == json.dumps(given)


def test_what_the_file_says_for_platforms_is_sent_beside_it(store, remote, submit):
    config = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))
    with_workspace = dsl.pipeline(name="chain", pipeline_config=config)(chain.pipeline_func)
    submit(pipeline=remote.mlops_load_pipeline(with_workspace))
    (run,) = sent(store, "/runs")
    assert run["pipeline_spec"]["pipeline_spec"]["pipelineInfo"] == {"name": "chain"}
    assert "platforms" not in run["pipeline_spec"]["pipeline_spec"]
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]


@pytest.mark.parametrize("caching", [True, False])
def test_caching_is_set_for_every_task_nested_ones_too(store, remote, submit, caching):
    pipeline = remote.mlops_load_pipeline(branches)
    submit(pipeline=pipeline, caching=caching)
    (run,) = sent(store, "/runs")
    spec = run["pipeline_spec"]
    graphs = [spec["root"], *spec["components"].values()]
    tasks = [t for graph in graphs for t in graph.get("dag", {}).get("tasks", {}).values()]
    assert len(tasks) == 5
    assert {task["cachingOptions"]["enableCache"] for task in tasks} == {caching}
    assert pipeline.spec == remote.mlops_load_pipeline(branches).spec  # ours is what it was


def test_an_experiment_is_made_once_and_default_is_the_default(store, submit):
    jobs = [submit(f"job-{n}", experiment=name) for n, name in enumerate(["a", "a", ""])]
    assert [made["display_name"] for made in sent(store, "/experiments")] == ["a", "Default"]
    assert [job.experiment for job in jobs] == ["a", "a", "Default"]


def test_a_namespace_is_told_with_the_experiment_and_the_list(store, host, pipeline, tmp_path):
    plugin = KfpPlugin(
        tmp_path, endpoint=host, token_file=str(tmp_path / "token"), namespace="team-a"
    )
    plugin.mlops_submit_pipeline(pipeline, request())
    assert sent(store, "/experiments") == [{"display_name": "Default", "namespace": "team-a"}]
    lists = [path for path in store.asked if "?" in path]
    assert lists
    assert all("namespace=team-a" in path for path in lists)


# --- what is refused before anything is sent ----------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"failure_policy": "fast"}, "failure_policy='fast'"),
        ({"cache_max_age": 60.0}, "cache_max_age"),
        ({"artifacts": {"data": "s3://b/k"}}, "input_artifacts"),
        ({"labels": {"team": "blue"}}, "labels"),
    ],
)
def test_what_a_server_cannot_do_is_refused_with_what_can(store, submit, asked, named):
    with pytest.raises(UnsupportedError, match=named) as caught:
        submit(**asked)
    assert "runner='embedded'" in caught.value.hint
    assert store.asked == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"parameters": {"n": 1, "m": 2}}, "no parameter 'm'"),
        ({"parameters": {}}, "needs the parameter 'n'"),
        ({"parameters": {"n": float("nan")}}, "no JSON"),
        ({"parameters": {"n": object()}}, "no JSON"),
        ({"parameters": {"n": 2**53 + 1}}, "beyond 2"),
        ({"parameters": {"n": 1, "options": {"a": [2**60]}}}, "beyond 2"),
        ({"root": "/data/pipelines"}, "folder of this machine"),
    ],
)
def test_what_cannot_be_sent_is_refused_before(store, submit, asked, said):
    with pytest.raises(ArgumentError, match=said):
        submit(**asked)
    assert store.asked == []


def test_without_an_endpoint_it_is_said_where_it_is_set(tmp_path, pipeline):
    with pytest.raises(ConfigError, match="no KFP server") as caught:
        KfpPlugin(tmp_path).mlops_submit_pipeline(pipeline, request())
    assert "[plugins.kfp]" in caught.value.hint


# --- how a job goes on --------------------------------------------------------------------------


def test_a_job_that_fails_names_its_task(store, remote, submit):
    store.failing = {"make"}
    job = followed(remote, submit())
    assert (job.state, job.error) == ("PIPELINE_STATE_FAILED", "failed: 'make'")
    assert {name: task.state for name, task in job.tasks.items()} == {
        "make": "FAILED",
        "train": "NOT_TRIGGERED",
    }


def test_the_times_of_a_task_are_the_servers(remote, submit):
    task = followed(remote, submit()).tasks["make"]
    assert (task.started, task.ended) == (1767225660.0, 1767225720.0)


def test_tasks_that_have_not_begun_are_pending(remote, submit):
    job = submit()
    assert {task.state for task in job.tasks.values()} == {"PENDING"}
    assert {task.started for task in job.tasks.values()} == {None}


def test_a_job_is_cancelled_and_its_running_task_with_it(store, remote, submit):
    job = remote.mlops_cancel_pipeline_job(submit().ref)
    assert (job.state, job.tasks["make"].state) == ("PIPELINE_STATE_CANCELLING", "RUNNING")
    job = followed(remote, job)
    assert job.state == "PIPELINE_STATE_CANCELLED"
    assert {name: task.state for name, task in job.tasks.items()} == {
        "make": "CANCELLED",
        "train": "NOT_TRIGGERED",
    }


def told(name, state="SUCCEEDED", key="", **more):
    return {"display_name": name, "state": state, "task_id": key, "start_time": NEVER, **more}


def test_groups_are_tasks_and_tasks_say_where_they_stand(store, remote):
    details = [told("condition-1", "SKIPPED"), told("inner"), told("make-2")]
    store.add("r", remote.mlops_load_pipeline(branches).spec, tasks=[*details, told("executor")])
    tasks = {t.name: (t.within, t.state) for t in _tasks_of(remote, "r") if "loop" not in t.name}
    assert tasks["condition-1"] == ("", "NOT_TRIGGERED")
    assert tasks["inner"] == ("", "SUCCEEDED")
    assert "executor" not in tasks


def test_iterations_that_are_not_told_apart_have_the_servers_own_names(store, remote):
    tasks = [told("make", key=key) for key in ("a", "b")]
    store.add("r", remote.mlops_load_pipeline(branches).spec, tasks=tasks)
    names = {task.name for task in _tasks_of(remote, "r")}
    assert {"make~a", "make~b"} <= names
    assert "make" not in names


def _tasks_of(remote, name):
    (job,) = remote.mlops_list_pipeline_jobs(name)
    return remote.mlops_get_pipeline_job(job.ref).tasks.values()


def test_what_the_server_says_of_errors_and_artifacts_is_kept(store, remote, pipeline):
    message = {"message": "no such bucket, password=hunter2"}
    tasks = [
        told("make", "FAILED", error=message, outputs={"data": {"artifact_ids": ["7"]}}),
        told("train", "SKIPPED", inputs={"data": {"artifact_ids": ["7"]}}),
    ]
    history = [{"state": "FAILED", "error": {"message": "out of time"}}]
    more = {"state_history": history, "state": "FAILED"}
    store.add("r", pipeline.spec, tasks=tasks, **more)
    (job,) = remote.mlops_list_pipeline_jobs("r")
    job = remote.mlops_get_pipeline_job(job.ref)
    assert job.error == "out of time"
    assert job.tasks["make"].error == "no such bucket, password=***"
    assert job.tasks["make"].artifacts == {"data": [{"name": "7"}]}
    assert job.tasks["train"].received == {"data": [{"name": "7"}]}


def test_runs_that_others_started_are_jobs_too(store, remote, pipeline, submit):
    store.add("theirs", pipeline.spec, description="nightly")
    store.add("old", {"kind": "Workflow"})
    submit()
    jobs = {job.name: job for job in remote.mlops_list_pipeline_jobs("")}
    assert set(jobs) == {"theirs", "old", "job-1"}
    assert (jobs["theirs"].pipeline, jobs["old"].pipeline) == ("chain", "")
    assert remote.mlops_get_pipeline_job(jobs["old"].ref).tasks == {}


def test_a_run_that_makes_no_sense_is_an_error_of_the_server(store, remote):
    store.add("r", {}, runtime_config=3)
    with pytest.raises(BackendError, match="not what KFP writes"):
        remote.mlops_list_pipeline_jobs("r")


# --- lineage ------------------------------------------------------------------------------------


def test_a_job_is_the_node_that_the_collector_gives_its_run(remote, pipeline, submit):
    job = followed(remote, submit())
    (seen,) = remote.mlops_collect_lineage(None).observations
    kinds = {node.uri: node.kind for node in seen.nodes}
    assert kinds[job.ref.uri] == "pipeline_run"
    assert kinds[pipeline.ref.uri] == "pipeline"
    tasks = {uri for uri, kind in kinds.items() if kind == "task"}
    assert tasks == {task.ref.uri for task in job.tasks.values()}


# --- how the server is reached ------------------------------------------------------------------


def test_reading_and_writing_take_the_same_proxy(store, http, tmp_path, pipeline, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{http.server_port}")
    token = str(tmp_path / "token")
    plugin = KfpPlugin(tmp_path, endpoint="http://kfp.example/base", token_file=token)
    job = plugin.mlops_submit_pipeline(pipeline, request())
    assert job.ref.uri == "kfp://kfp.example/base/runs/run-0"


def test_reading_and_writing_trust_the_same_authorities(
    store, http, host, tmp_path, pipeline, monkeypatch
):
    certificate = certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    token = str(tmp_path / "token")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    plugin = KfpPlugin(tmp_path, endpoint=f"https://{host}", token_file=token)
    with pytest.raises(BackendError, match="certificate"):
        plugin.mlops_submit_pipeline(pipeline, request())
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert plugin.mlops_submit_pipeline(pipeline, request()).name == "job-1"


def certify(folder):
    """A file with a key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now, here = datetime.now(timezone.utc), x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return str(file)


# --- errors, and what is not to be seen ---------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"), [(401, "wants a token"), (403, "does not let"), (302, "leads to another")]
)
def test_a_refusal_is_an_error_without_the_token(
    store, submit, status, said, capfd, caplog, recwarn
):
    store.status = status
    with pytest.raises(BackendError, match=said) as caught:
        submit()
    assert "[plugins.kfp]" in caught.value.hint
    everything = str(caught.value) + repr(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in everything


def test_a_server_of_version_1_is_named_as_that(store, submit):
    store.only_v1 = True
    with pytest.raises(BackendError, match="version 1") as caught:
        submit()
    assert "2.0" in caught.value.hint


def test_another_server_at_the_address_is_an_error(store, submit, remote, host, tmp_path, pipeline):
    plugin = KfpPlugin(tmp_path, endpoint=f"{host}/x", token_file=str(tmp_path / "token"))
    with pytest.raises(BackendError, match="no API of KFP"):
        plugin.mlops_submit_pipeline(pipeline, request())


def test_a_server_that_is_away_is_told_at_once(http, submit, capfd):
    http.shutdown()
    http.server_close()
    with pytest.raises(BackendError, match="cannot be reached"):
        submit()
    assert "".join(capfd.readouterr()) == ""


def test_a_server_that_hangs_is_an_error_after_a_while(store, submit, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 1)
    store.awake.clear()
    with pytest.raises(BackendError, match="may have been done"):
        submit()
    store.awake.set()


def test_the_servers_own_words_stand_in_the_error_without_the_token(store, submit, pipeline):
    spec = {**pipeline.spec, "root": {"inputDefinitions": {}}}
    broken = type(pipeline)(ref=pipeline.ref, name="x", spec={**spec, "root": {}})
    with pytest.raises(BackendError, match="unknown template format"):
        submit(pipeline=broken, parameters={})


def test_a_job_that_was_deleted_is_not_found(store, remote, submit):
    job = submit()
    store.runs.clear()
    for hook in ("get", "cancel", "delete"):
        with pytest.raises(NotFoundError, match=job.ref.id):
            getattr(remote, f"mlops_{hook}_pipeline_job")(job.ref)


def test_no_token_is_in_a_record_and_nothing_is_printed(remote, submit, capfd):
    job = followed(remote, submit())
    assert TOKEN not in repr(job) + repr(job.tasks) + repr(job.parameters)
    assert "".join(capfd.readouterr()) == ""


def test_kfps_own_context_is_neither_read_nor_written(store, submit, tmp_path, monkeypatch):
    """It has a namespace and a cookie of another server. As of kfp 2.17."""
    context = tmp_path / "context.json"
    context.write_text('{"namespace": "other", "client_authentication_cookie": "c"}')
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(context))
    assert hasattr(Client, "_load_context_setting_or_default"), kfp.__version__
    submit()
    assert "namespace" not in json.dumps(store.bodies)
    client = module.client_of("http://127.0.0.1:1", TOKEN, "mine")
    client.set_user_namespace("yours")
    assert client.get_user_namespace() == "yours"
    assert "other" in context.read_text()


def test_a_run_that_the_server_calls_failed_when_it_was_stopped_is_cancelled(
    store, host, tmp_path, remote, pipeline
):
    store.stopped = "FAILED"
    settings = {"endpoint": host, "token_file": str(tmp_path / "token")}
    config = Config(workspace=tmp_path, plugins={"kfp": settings})
    session = Session(config, plugins={"kfp": KfpPlugin})
    run = RemoteRun(session, pipeline, "job-1", "My job", {"n": 1})
    run.start()
    run.cancel()
    run.refresh()
    assert run.wait(timeout=10).state == "PIPELINE_STATE_CANCELLED"
    assert session.lineage.collect() == {}
    nodes = session.lineage.contents(run.uri).nodes
    assert {run.uri, f"{run.uri}/make"} <= nodes.keys()
    assert [edge.source for edge in run.lineage("up").edges] == [pipeline.ref.uri]
    assert RemoteRun.find(session, "job-1").uri == run.uri
    session.close()
