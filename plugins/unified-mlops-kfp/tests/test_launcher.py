# The bodies of components are what users write.
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from kfp import dsl

from unified_mlops.errors import BackendError, ConfigError
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")


@component
def double(n: int) -> int:
    return n * 2


@component
def say_and_sleep():
    import os
    import time

    print(os.getpid())
    time.sleep(60)


@component
def deaf():
    import os
    import signal
    import subprocess
    import time

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "60"])
    print(os.getpid(), child.pid)
    time.sleep(60)


@component
def polite():
    import signal
    import time

    def leave(number, frame):
        print("tidied up")
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    print("ready")
    time.sleep(60)


@component
def scatter(stay: bool):
    import os
    import subprocess
    import time

    code = "import os, time\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\n"
    started = {"stdout": subprocess.PIPE, "start_new_session": True}
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    daemon = subprocess.Popen(["python3", "-c", code + "time.sleep(60)"], **started)
    orphan = int(daemon.stdout.readline())
    print(os.getpid(), child.pid, orphan)
    if stay:
        time.sleep(60)


@component
def numpy_draw() -> float:
    import numpy

    return float(numpy.random.random())


@pytest.fixture
def start(plugin, request_of, said):
    """Start a component; the request, what comes of it, and the processes that it names."""
    with ThreadPoolExecutor(4) as pool:

        def start(component, **arguments):
            request = request_of(component, **arguments)
            future = pool.submit(plugin.mlops_run_task, request)
            words = said(request).split()
            return request, future, [int(word) for word in words if word.isdigit()]

        yield start


def server_of(plugin):
    return plugin._tasks._launcher._server


def children_of(server):
    return Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()


def alone(server):
    """Whether it comes to have no children: one that was forked ahead waits for a moment."""
    end = time.monotonic() + 2
    while children_of(server) and time.monotonic() < end:
        time.sleep(0.01)
    return not children_of(server)


# --- the server ---


def test_preloaded_modules_are_there_and_draw_different_numbers(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path, preload="numpy, colorsys")
    draws = {
        plugin.mlops_run_task(request_of(numpy_draw, name=str(n))).parameters["Output"]
        for n in range(3)
    }
    assert len(draws) == 3


def test_a_module_that_cannot_be_preloaded_is_an_error_of_the_config(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path, preload="no_such_module")
    with pytest.raises(ConfigError, match="no_such_module.*cannot be imported"):
        plugin.mlops_run_task(request_of(double, n=1))


def test_the_server_and_its_tasks_end_with_their_owner(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path)
    plugin.mlops_run_task(request_of(double, name="first", n=1))
    server = server_of(plugin)
    del plugin
    assert server.poll() == 0


def test_no_process_is_left_when_the_owner_is_killed(tmp_path, ends):
    script = textwrap.dedent(
        """
        import os, sys
        from unified_mlops_kfp.launcher import Launcher, Stop
        source = '''
        def f():
            import os, subprocess, time
            child = subprocess.Popen(["sleep", "60"], start_new_session=True)
            print(os.getpid(), child.pid, flush=True)
            time.sleep(60)
        '''
        given = {"inputs": {}, "outputs": {"outputFile": sys.argv[1] + "/o.json"}}
        request = {"source": source, "function": "f", "executor_input": given}
        place = {"environment": {**os.environ}, "folder": sys.argv[1], "log": sys.argv[1] + "/log"}
        Launcher().run({**request, **place}, Stop())
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    log = tmp_path / "log"
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    pids = [int(pid) for pid in log.read_text().split()]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert len(pids) == 2 and all(ends(pid) for pid in pids)


def test_a_dead_server_is_said_so_and_replaced_and_takes_its_tasks_along(
    plugin, start, request_of, ends
):
    _, future, pids = start(deaf)
    server_of(plugin).kill()
    with pytest.raises(BackendError, match="fork server ended"):
        future.result(10)
    assert len(pids) == 2 and all(ends(pid) for pid in pids)
    assert plugin.mlops_run_task(request_of(double, name="next", n=2)).state == "SUCCEEDED"


def test_a_killed_task_has_failed_and_says_by_what(start):
    _, future, (pid,) = start(say_and_sleep)
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    record = future.result(10)
    assert (record.state, record.error) == ("FAILED", "killed by SIGKILL")


def test_what_a_task_leaves_behind_is_dead_when_it_has_ended_and_nothing_is_a_zombie(
    plugin, run, ends
):
    record = run(scatter, stay=False)
    assert record.state == "SUCCEEDED"
    _, child, orphan = map(int, record.log.split())
    assert ends(child) and ends(orphan)
    assert alone(server_of(plugin))


def test_a_process_that_was_forked_ahead_and_killed_is_replaced(plugin, run):
    for n in range(3):
        assert run(double, name=str(n), n=n).parameters == {"Output": 2 * n}
        (ahead,) = children_of(server_of(plugin))
        os.kill(int(ahead), signal.SIGKILL)
    assert alone(server_of(plugin))


# --- stopping ---


def test_a_cancelled_task_ends_at_once_and_says_so(plugin, start, ends):
    request, future, (pid,) = start(say_and_sleep)
    began = time.monotonic()
    assert plugin.mlops_cancel_task(request)
    record = future.result(10)
    assert (record.state, record.error, record.parameters) == ("CANCELLED", "", {})
    assert time.monotonic() - began < 1.5
    assert ends(pid)


def test_a_cancelled_task_can_tidy_up_first(plugin, start):
    request, future, _ = start(polite)
    plugin.mlops_cancel_task(request)
    record = future.result(10)
    assert record.state == "CANCELLED"
    assert "tidied up" in record.log


def test_a_task_that_ignores_the_signal_is_killed_with_its_children(plugin, start, ends):
    request, future, pids = start(deaf)
    began = time.monotonic()
    plugin.mlops_cancel_task(request)
    assert future.result(10).state == "CANCELLED"
    assert 1.5 < time.monotonic() - began < 4
    assert len(pids) == 2 and all(ends(pid) for pid in pids)


def test_processes_with_sessions_of_their_own_end_with_a_cancelled_task(plugin, start, ends):
    request, future, pids = start(scatter, stay=True)
    plugin.mlops_cancel_task(request)
    assert future.result(10).state == "CANCELLED"
    assert len(pids) == 3 and all(ends(pid) for pid in pids)
    assert alone(server_of(plugin))


def test_cancelling_one_task_leaves_the_others_alone(plugin, start):
    first, one, _ = start(say_and_sleep, name="one")
    second, two, _ = start(scatter, name="two", stay=True)
    plugin.mlops_cancel_task(first)
    assert one.result(10).state == "CANCELLED"
    assert not two.done()
    plugin.mlops_cancel_task(second)
    assert two.result(10).state == "CANCELLED"


def test_tasks_that_end_while_they_are_cancelled_harm_no_other(plugin, request_of):
    requests = [request_of(double, name=str(n), n=n) for n in range(60)]
    server = server_of(plugin)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(plugin.mlops_run_task, request) for request in requests]
        while not all(future.done() for future in futures):
            for request in requests[::2]:
                plugin.mlops_cancel_task(request)
            time.sleep(0.001)
    states = [future.result().state for future in futures]
    assert set(states[1::2]) == {"SUCCEEDED"}
    assert set(states[::2]) <= {"SUCCEEDED", "CANCELLED"}
    assert server_of(plugin) is server
    assert alone(server)


def test_what_does_not_run_is_not_cancelled(plugin, request_of):
    request = request_of(double, n=1)
    assert not plugin.mlops_cancel_task(request)
    assert plugin.mlops_run_task(request).state == "SUCCEEDED"
    assert not plugin.mlops_cancel_task(request)


def test_an_interrupted_caller_takes_the_task_along(plugin, request_of, said, ends):
    request = request_of(say_and_sleep)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        with pytest.raises(KeyboardInterrupt):
            plugin.mlops_run_task(request)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ends(int(said(request)))
