"""Several observers of a job as one."""

from __future__ import annotations

import pytest

from unified_mlops.records import Ref, TaskRecord, TaskState
from unified_mlops.resources.observers import Observers


def record(name: str, state: TaskState) -> TaskRecord:
    return TaskRecord(ref=Ref("kfp", "task", name, f"kfp://j/{name}"), name=name, state=state)


class Told:
    def __init__(self, log: list[str], name: str, *, refuses: bool = False) -> None:
        self.log, self.name, self.refuses = log, name, refuses

    def start(self) -> None:
        if self.refuses:
            raise RuntimeError(self.name)
        self.log.append(f"start {self.name}")

    def environment(self, task: TaskRecord) -> dict[str, str]:
        return {"WHO": self.name, self.name: task.name}

    def changed(self, task: TaskRecord) -> None:
        self.log.append(f"{task.name} {self.name}")

    def end(self, state: str) -> None:
        self.log.append(f"{state} {self.name}")
        if self.refuses:
            raise RuntimeError(self.name)


def test_several_observers_are_told_as_one_and_their_variables_merged() -> None:
    log: list[str] = []
    both = Observers([Told(log, "A"), Told(log, "B")])
    both.start()
    assert both.environment(record("t", "RUNNING")) == {"WHO": "B", "A": "t", "B": "t"}
    both.changed(record("t", "SUCCEEDED"))
    both.end("COMPLETE")
    assert log == ["start A", "start B", "t A", "t B", "COMPLETE B", "COMPLETE A"]


def test_an_observer_that_fails_leaves_no_other_one_open() -> None:
    log: list[str] = []
    both = Observers([Told(log, "A"), Told(log, "B", refuses=True)])
    with pytest.raises(RuntimeError, match="B"):
        both.start()
    assert log == ["start A", "CANCELLED A"]
    with pytest.raises(RuntimeError, match="B"):
        both.end("COMPLETE")
    assert log[-1] == "COMPLETE A"
