from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

from unified_mlops.records import ClusterRecord
from unified_mlops_ray import cluster as clusters
from unified_mlops_ray.connect import attached
from unified_mlops_ray.plugin import RayPlugin

Members = Callable[[int], list[psutil.Process]]


@pytest.fixture(scope="session")
def members() -> Members:
    """The living processes of a session, by its leader."""

    def members(session: int) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["status"]):
            with contextlib.suppress(OSError):
                same = os.getsid(process.pid) == session
                if same and process.info["status"] != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    return members


@pytest.fixture(scope="session")
def started(members: Members, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRecord]:
    """One cluster for all tests, as Ray takes ten seconds to start; it leaves nothing behind."""
    plugin = RayPlugin(tmp_path_factory.mktemp("cluster"))
    cluster = plugin.mlops_create_cluster(cpus=2)
    head = clusters._heads[cluster.ref.id]
    with attached(cluster.address):  # all tests are one job, whose workers are warm
        yield cluster
    family = members(head.process.pid)
    assert len(family) > 4
    plugin.mlops_delete_cluster(cluster=cluster)
    assert not members(head.process.pid)
    assert not psutil.wait_procs(family, timeout=5)[1]
    assert not head.folder.exists()


@pytest.fixture
def plugin(tmp_path: Path) -> RayPlugin:
    return RayPlugin(tmp_path / "workspace")


# --- what people run natively ---

DRIVER = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get_runtime_context().get_job_id())
"""

APPLICATION = """
from ray import serve
CONFIG = {
    "model": "models:/delay@prod",
    "fallback_model": "s3://AKIAABCDEFGHIJKLMNOP:s3cr3tkey@bucket/models/m.pkl",
    "password": "hunter2",
    "database": "postgresql://me:sesame@db.example/flights",
    "nested": {"api_token": "models:/tok-123456789"},
}
@serve.deployment(user_config=CONFIG, ray_actor_options={"num_cpus": 0})
class Model:
    def __init__(self, name): self.name = name
    def reconfigure(self, config): self.config = config
serve.start(proxy_location="Disabled")
serve.run(Model.bind("models:/bound@prod"), name="delays", route_prefix=None)
"""

opener = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Native:
    """The cluster, the id of a driver that ran on it; a job has started an application there."""

    url: str
    address: str
    driver: str
    secrets = ("hunter2", "tok-123456789", "s3cr3tkey", "sesame", "AKIAABCDEFGHIJKLMNOP")

    def ask(self, path):
        with opener.open(self.url + path, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def native() -> Iterator[Native]:
    """One cluster with a dashboard, started and filled by Ray's own commands."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    ports = dict(zip(("port", "dashboard-port", "ray-client-server-port"), _free(3), strict=True))
    url = f"http://127.0.0.1:{ports['dashboard-port']}"
    fixed = {"temp-dir": folder, "num-cpus": 2, "object-store-memory": 200_000_000}
    fixed |= {"dashboard-agent-listen-port": 0, "min-worker-port": 0, "max-worker-port": 0}
    options = [f"--{key}={value}" for key, value in {**ports, **fixed}.items()]
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            [_ray(), "start", "--head", "--block", "--disable-usage-stats", *options],
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,
        )
    try:
        yield _filled(url, f"127.0.0.1:{ports['port']}", folder)
    finally:
        clusters._stop(clusters._Head(head, folder, os.getpid()))


def _filled(url: str, address: str, folder: Path) -> Native:
    _until(lambda: bool(Native(url, address, "").ask("/api/version")), folder)
    driver = _run(sys.executable, "-c", DRIVER, address).split()[-1]
    script = folder / "application.py"
    script.write_text(APPLICATION)
    metadata = {"owner": "me", "api_token": "tok-123456789", "note": "password=hunter2"}
    job = ("--no-wait", "--submission-id", "train-1", "--metadata-json", json.dumps(metadata))
    secret = ("--password", "hunter2", "--db=postgresql://me:sesame@db.example/flights", "--lr=0.1")
    command = (sys.executable, str(script), *secret)
    _run(_ray(), "job", "submit", "--address", url, *job, "--", *command)
    native = Native(url, address, driver)
    _until(lambda: {job["status"] for job in native.ask("/api/jobs/")} == {"SUCCEEDED"}, folder)
    return native


def _until(done: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            if done():
                return
        assert time.monotonic() < deadline, (folder / "head.log").read_text()
        time.sleep(0.2)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {**kept, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


def _ray() -> str:
    return str(Path(sys.executable).parent / "ray")


def _free(count: int) -> list[int]:
    taken = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in taken]
    for server in taken:
        server.close()
    return ports
