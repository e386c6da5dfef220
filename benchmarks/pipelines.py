"""Trivial tasks one after another and side by side, beside `kfp.local` with a process per task.

Components are as users write them: `kfp.local` asks pip for KFP before each task. With
`install_kfp_package=False` it takes about a tenth of the time, 80 ms a task.
"""

# KFP reads the annotations of components as they are: no `from __future__ import annotations`.

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from kfp import dsl

from benchmarks.measure import Result

CHAIN = 100
LOOP = 1000
MEMORY = 150.0
"""Megabytes by which the runner may grow in the loop."""
BEND = 1.5
"""How much dearer an iteration of the loop may be than one of a loop a quarter as long."""
_NATIVE = "kfp.local, SubprocessRunner(use_venv=False)"


def task_overhead() -> Result:
    """A task that does nothing, its process, its files and its lineage included."""
    with _ours() as run:
        ours = min(run(_chain(CHAIN)) for _ in range(5)) / CHAIN
    return Result("task_overhead", ours, _native(_chain(2)) / 2, f"{_NATIVE}, a task")


def chain_10() -> Result:
    """Ten tasks, each waiting for the one before it."""
    with _ours() as run:
        ours = min(run(_chain(10)) for _ in range(5))
    return Result("chain_10", ours, _native(_chain(10)), _NATIVE)


def loop_50() -> Result:
    """Fifty tasks that wait for nothing."""
    with _ours() as run:
        ours = min(run(_loop(50)) for _ in range(3))
    return Result("loop_50", ours, _native_loop(50), _NATIVE)


def loop_1000() -> Result:
    """A thousand of them, in time that grows as their number does, and in little memory."""
    with _ours() as run:
        few = min(run(_loop(LOOP // 4)) for _ in range(2))
        before = _peak(anew=True)
        ours = run(_loop(LOOP))
        grown = _peak() - before
    bend = ours / few / 4
    assert grown < MEMORY, f"the runner grew by {grown:.0f} MB"
    assert bend < BEND, f"an iteration of {LOOP} takes {bend:.2f} times one of {LOOP // 4}"
    told = (
        f"{_NATIVE}, 50 iterations times {LOOP // 50}; ours grew {grown:.0f} MB, bends {bend:.2f}"
    )
    return Result("loop_1000", ours, _native_loop(50) * LOOP / 50, told)


@cache
def _native_loop(times: int) -> float:
    """Measured once: it takes most of a minute, as `kfp.local` asks pip before each task."""
    return _native(_loop(times))


@contextmanager
def _ours() -> Iterator[Callable[[Any], float]]:
    """Runs a pipeline in a session whose fork server is warm; the seconds until all is recorded."""
    import unified_mlops as umlops

    with tempfile.TemporaryDirectory() as folder:
        session = umlops.Session(umlops.Config(workspace=Path(folder)))

        def run(pipeline: Any) -> float:
            job = umlops.PipelineJob("bench", pipeline, enable_caching=False, session=session)
            start = time.perf_counter()
            job.run()
            session.close()
            return time.perf_counter() - start

        run(_chain(1))
        yield run


def _native(pipeline: Any) -> float:
    """Seconds of a pipeline in `kfp.local`, which says a lot, the import of KFP not counted."""
    from kfp import local

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=folder)
        start = time.perf_counter()
        pipeline()
        return time.perf_counter() - start


@dsl.component(base_image="python:3.11")  # type: ignore[untyped-decorator]  # kfp has no types
def following(number: int) -> int:
    """As little as a task can do."""
    return number + 1


def _chain(length: int) -> Any:
    @dsl.pipeline(name=f"chain-{length}")  # type: ignore[untyped-decorator]
    def chain() -> None:
        task = following(number=0)
        for _ in range(length - 1):
            task = following(number=task.output)

    return chain


def _loop(times: int) -> Any:
    @dsl.pipeline(name=f"loop-{times}")  # type: ignore[untyped-decorator]
    def loop() -> None:
        with dsl.ParallelFor(list(range(times))) as number:
            following(number=number)

    return loop


def _peak(*, anew: bool = False) -> float:
    """The most megabytes that this process held, ever or from now on; Linux tells."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    told = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
    return int(told.split()[0]) / 1000
