"""Those who look on while a job runs: each is told of every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from unified_mlops.pipelines.job import Observer
from unified_mlops.records import State, TaskRecord


class JobObserver(Observer, Protocol):
    """An observer who is also told when the job begins and ends."""

    def start(self) -> None:
        """The job begins, or is taken up again."""

    def end(self, state: State) -> None:
        """The job is over; everything has been written when this returns."""


class Observers:
    """Several observers as one.

    Args:
        observers: told in this order, and of the end in the opposite one.
    """

    def __init__(self, observers: Sequence[JobObserver]) -> None:
        self._observers = tuple(observers)

    def start(self) -> None:
        """Tell all; where one refuses, those that were told before are told that it is over."""
        for at, observer in enumerate(self._observers):
            try:
                observer.start()
            except BaseException:
                Observers(self._observers[:at]).end("CANCELLED")
                raise

    def environment(self, task: TaskRecord) -> Mapping[str, str]:
        """The variables of all; of two values for one name the later observer's."""
        merged: dict[str, str] = {}
        for observer in self._observers:
            merged |= observer.environment(task)
        return merged

    def changed(self, task: TaskRecord) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.changed(task)

    def end(self, state: State) -> None:
        """Tell all, also where one of them fails."""
        if self._observers:
            try:
                self._observers[-1].end(state)
            finally:
                Observers(self._observers[:-1]).end(state)
