import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from unified_mlops.errors import ArgumentError, BackendError, NotFoundError, UnsupportedError
from unified_mlops.records import ClusterRecord, Ref
from unified_mlops_ray import cluster as clusters
from unified_mlops_ray import connect
from unified_mlops_ray.plugin import RayPlugin


def python(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_listens_on_loopback_and_nowhere_else(started, members):
    processes = members(clusters._heads[started.ref.id].process.pid)
    bound = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(processes) >= 4
    assert bound <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_its_address_works_in_plain_ray(started):
    script = f"""
import ray
ray.init(address={started.address!r}, log_to_driver=False)
print(ray.get(ray.remote(lambda: 6 * 7).remote()))
"""
    answer = python("-c", script)
    assert answer.stdout.strip() == "42", answer.stderr


def test_it_ends_with_the_process_that_started_it(members):
    script = """
from unified_mlops_ray import cluster
record = cluster.start(1)
print(cluster._heads[record.ref.id].process.pid, flush=True)
input()
"""
    command, pipe = [sys.executable, "-c", script], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        session = int(parent.stdout.readline())
        assert members(session)
        parent.kill()
    deadline = time.monotonic() + 20
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not members(session)


@pytest.mark.parametrize("cpus", [0, -1, 1.5, "2", True])
def test_a_cluster_without_cpus_is_refused(plugin, cpus):
    with pytest.raises(ArgumentError):
        plugin.mlops_create_cluster(cpus=cpus)


def test_one_that_was_not_started_here_is_refused(plugin):
    ref = Ref("ray", "cluster", "127.0.0.1:6379", "ray://127.0.0.1:6379")
    with pytest.raises(NotFoundError):
        plugin.mlops_delete_cluster(cluster=ClusterRecord(ref=ref, address="127.0.0.1:6379"))


@pytest.fixture
def detached(monkeypatch):
    """A process that is not attached to a cluster."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(connect, "_is_attached", lambda: False)


def test_without_an_address_it_says_how_to_get_one(plugin, detached):
    with pytest.raises(UnsupportedError, match=r"RayCluster\.create\(\)"):
        plugin.mlops_run_tuning(
            address=None,
            objective=dict,
            trials=[{"x": 1}],
            parallel=1,
            report=print,
            environment={},
        )


def test_an_address_where_nothing_answers_is_known_at_once(plugin, detached):
    begin = time.monotonic()
    with pytest.raises(BackendError, match="no Ray cluster answers"):
        plugin.mlops_run_tuning(
            address="127.0.0.1:1",
            objective=dict,
            trials=[{"x": 1}],
            parallel=1,
            report=print,
            environment={},
        )
    assert time.monotonic() - begin < 3


def test_a_second_cluster_is_refused_while_attached_to_one(plugin, started):
    with pytest.raises(UnsupportedError, match="no second cluster"):
        plugin.mlops_run_tuning(
            address="127.0.0.1:1",
            objective=dict,
            trials=[{"x": 1}],
            parallel=1,
            report=print,
            environment={},
        )


def test_being_attached_leaves_the_process_as_it_was(started):
    script = f"""
import faulthandler, os, signal, sys, warnings
from unified_mlops_ray.connect import attached
def state():
    return (sys.excepthook, signal.getsignal(signal.SIGTERM), list(warnings.filters),
            faulthandler.is_enabled(), os.environ.get("PYTHONBREAKPOINT"))
before, path = state(), list(sys.path)
with attached({started.address!r}):
    import ray
    assert ray.is_initialized()
    assert state() == before, (state(), before)
    assert sys.path[:len(path)] == path
assert not ray.is_initialized()
assert state() == before, (state(), before)
"""
    answer = python("-c", script)
    assert answer.returncode == 0, answer.stderr


def test_a_user_who_was_attached_stays_attached(started):
    script = f"""
import ray
from unified_mlops_ray.connect import attached
ray.init(address={started.address!r}, log_to_driver=False)
with attached(None) as place:
    assert place == {started.ref.id!r}, place
assert ray.is_initialized()
"""
    answer = python("-c", script)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("given", ["127.0.0.1:6379", "localhost:6379", "[::ffff:127.0.0.1]:6379"])
def test_every_spelling_of_loopback_is_one_cluster(given):
    assert connect.location(given) == "127.0.0.1:6379"
    assert connect.native(given) == "[::ffff:127.0.0.1]:6379"


def test_an_address_elsewhere_stays_as_it_is():
    for address in ("head.example:6379", "ray://head.example:10001", "auto"):
        assert connect.location(address) == connect.native(address) == address


def test_check_names_the_cluster_that_does_not_answer(tmp_path: Path):
    check = RayPlugin(tmp_path, address="127.0.0.1:1").mlops_check_plugin()
    assert "no Ray cluster answers" in check.problem
