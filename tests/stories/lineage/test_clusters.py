"""Jobs and applications on a Ray cluster, started by Ray's own commands and clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import mlflow
import psutil
import pytest
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import QUIET, Bench
from tests.stories.lineage.scenario import Truth
from tests.stories.lineage.test_tracking import FRAME, two_versions

pytestmark = pytest.mark.story

FIT = """
def fit(place):
    import mlflow, pandas
    with mlflow.start_run() as run:
        frame = pandas.read_parquet(place)
        mlflow.log_input(mlflow.data.from_pandas(frame, source=place, name=run.info.run_id))
    return run.info.run_id
"""
PLAIN = f"""
import json, sys
{FIT}
print(json.dumps([fit(sys.argv[1] + "/raw.parquet")]))
"""
PREPARE_AND_TRAIN = f"""
import json, sys, ray
{FIT}
folder = sys.argv[1]
ray.init(log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
raw = ray.data.read_parquet(folder + "/raw.parquet", columns=["a", "y"], override_num_blocks=1)
raw.write_parquet(folder + "/clean")
worker = ray.remote(fit).options(num_cpus=0).remote(folder + "/clean")
own = fit(folder + "/raw.parquet")
print(json.dumps([ray.get(worker), own]))
"""
SERVE = """
from ray import serve

@serve.deployment(user_config={"model": "models:/delay@prod"}, ray_actor_options={"num_cpus": 0})
class Model:
    def reconfigure(self, config): self.config = config

serve.start(proxy_location="Disabled")
serve.run(Model.bind(), name="delays", route_prefix=None)
print("[]")
"""


@dataclass
class Cluster:
    """One cluster for all tests of this file: each of them sees what those before it did there."""

    url: str
    session: str = ""
    jobs: list[str] = field(default_factory=list)

    def ask(self, path: str) -> Any:
        with build_opener(ProxyHandler({})).open(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def submit(self, bench: Bench, program: str, variables: Mapping[str, str]) -> tuple[str, Any]:
        """Run a program as a job, as `ray job submit` does; its URN, and what it printed last."""
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(self.url)
        script = bench.folder / "program.py"
        script.write_text(program)
        self.jobs.append(f"job-{len(self.jobs)}")
        client.submit_job(
            entrypoint=f"{sys.executable} {script} {bench.folder}",
            submission_id=self.jobs[-1],
            runtime_env={"env_vars": {**QUIET, "MLFLOW_TRACKING_URI": bench.uri, **variables}},
        )
        until(lambda: client.get_job_status(self.jobs[-1]).is_terminal())
        logs = client.get_job_logs(self.jobs[-1])
        assert client.get_job_status(self.jobs[-1]) == "SUCCEEDED", logs
        found = [line for line in logs.splitlines() if line.startswith("[")]
        return self.job(self.jobs[-1]), json.loads(found[-1])

    @property
    def uri(self) -> str:
        return f"ray://{self.session}"

    def job(self, submission: str) -> str:
        return f"{self.uri}/jobs/{submission}"

    def told(self, truth: Truth) -> None:
        """Say which jobs there were."""
        truth.node("cluster", self.uri)
        for submission in self.jobs:
            truth.edge(self.uri, "PARENT_OF", truth.node("job", self.job(submission)))


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            if done():
                return
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A small one, with a dashboard; it leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets have short paths
    taken = [socket.create_server(("", 0)) for _ in range(3)]
    ports = [server.getsockname()[1] for server in taken]
    for server in taken:
        server.close()
    names = ("port", "dashboard-port", "ray-client-server-port")
    fixed = {"temp-dir": folder, "num-cpus": 2, "object-store-memory": 200_000_000}
    fixed |= {"dashboard-agent-listen-port": 0, "min-worker-port": 0, "max-worker-port": 0}
    settings = {**dict(zip(names, ports, strict=True)), **fixed}
    options = [f"--{key}={value}" for key, value in settings.items()]
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            [*command, "--disable-usage-stats", *options],
            stdout=log,
            stderr=log,
            env={**kept, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
            start_new_session=True,
        )
    found = Cluster(f"http://127.0.0.1:{ports[1]}")
    try:
        until(lambda: bool(found.ask("/api/version")))
        found.session = found.ask("/api/version")["session_name"]
        yield found
    finally:
        stop(head)
        shutil.rmtree(folder, ignore_errors=True)


def stop(head: subprocess.Popen[bytes]) -> None:
    """End the head and what it started, by their ids."""
    family = psutil.Process(head.pid).children(recursive=True)
    for process in (head, *family):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    head.wait(10)
    psutil.wait_procs(family, timeout=5)


@pytest.fixture
def watched(bench: Bench, cluster: Cluster) -> Cluster:
    """The cluster, which the bench's session reads."""
    bench.plugins["ray"] = {"dashboard": cluster.url}
    return cluster


def test_a_job_that_prepares_data_and_trains(
    bench: Bench, watched: Cluster, ambient: None, check: Check
) -> None:
    """Our package is installed there; Ray Data's callback is named by Ray's own variable."""
    raw = bench.file("raw.parquet", FRAME)
    callback = {"RAY_DATA_EXECUTION_CALLBACKS": "unified_mlops_ray.capture.Capture"}
    callback["UNIFIED_MLOPS_WORKSPACE"] = str(bench.folder / "workspace")
    job, (worker, driver) = watched.submit(bench, PREPARE_AND_TRAIN, callback)
    truth = bench.truth()
    watched.told(truth)
    truth.node("dataset", raw, *FRAME)
    clean = truth.node("dataset", f"file://{bench.folder}/clean", "a", "y")
    truth.edge(raw, "INPUT", job)
    truth.edge(job, "OUTPUT", clean)
    for file, run_id in ((raw, driver), (clean, worker)):
        run = bench.run(truth, run_id)
        truth.edge(job, "PARENT_OF", run)
        truth.edge(file, "INPUT", run)
    session = bench.collect()
    check(session, truth)
    assert raw in session.lineage.upstream(f"mlflow:run/{worker}").nodes


def test_a_job_of_which_nothing_tells_what_ran_in_it(
    bench: Bench, watched: Cluster, check: Check
) -> None:
    raw = bench.file("raw.parquet", FRAME)
    hidden = {"PYTHONPATH": bench.environment()["PYTHONPATH"]}
    job, (run_id,) = watched.submit(bench, PLAIN, hidden)
    truth = bench.truth()
    watched.told(truth)
    run = bench.run(truth, run_id)
    truth.edge(truth.node("dataset", raw, *FRAME), "INPUT", run)
    truth.lost(job, "PARENT_OF", run, why="natively MLflow does not know of Ray")
    check(bench.collect(), truth)


def test_an_application_keeps_the_version_that_it_was_deployed_with(
    bench: Bench, watched: Cluster, check: Check
) -> None:
    truth, first, _ = two_versions(bench, "prod")
    bench.collect()
    watched.submit(bench, SERVE, {})
    bench.collect()
    mlflow.MlflowClient().set_registered_model_alias("delay", "prod", "2")
    watched.told(truth)
    application = truth.node("deployment", f"{watched.uri}/serve/delays")
    endpoint = truth.node("endpoint", f"{watched.uri}/serve/delays/Model")
    truth.edge(watched.uri, "PARENT_OF", application)
    truth.edge(application, "OUTPUT", endpoint)
    truth.edge(first, "DERIVES", endpoint)
    check(bench.collect(), truth)
