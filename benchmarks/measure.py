"""What a measurement is, and how processes and calls are timed."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """One thing measured both ways; `ratio` is how many times faster ours is."""

    name: str
    ours: float
    native: float
    against: str
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Native time over ours."""
        return self.native / self.ours

    def as_json(self) -> dict[str, Any]:
        """The fields of `results.json`."""
        fields = ("name", "ours", "native", "unit", "ratio")
        return {field: getattr(self, field) for field in fields}


def cpu_of(command: Sequence[str], times: int) -> float:
    """The median CPU-seconds of a process, its children included."""
    subprocess.run(command, check=True, capture_output=True)  # warms the disk
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(spent)


def wall_of(call: Callable[[], object], times: int) -> float:
    """The median wall seconds of a call, after one that is not counted."""
    return statistics.median(_walls(call, times))


def p95_of(call: Callable[[], object], times: int) -> float:
    """The 95th percentile of the wall seconds of a call, after one that is not counted."""
    return statistics.quantiles(_walls(call, times), n=20)[-1]


def _walls(call: Callable[[], object], times: int) -> list[float]:
    call()
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return spent
