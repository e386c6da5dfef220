"""Replaying any collector, in any order, interrupted anywhere, leaves the same graph."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import event
from tests.lineage.graphs import graph, world

from unified_mlops.lineage.store import Store
from unified_mlops.records import Observation

COLLECTORS = sorted({collector for collector, _ in world()})


class Crash(BaseException):
    """As sudden as a kill."""


def of(collector: str) -> list[Observation]:
    return [observation for who, observation in world() if who == collector]


def whole(folder: Path) -> tuple[object, ...]:
    store = Store(folder / "whole.db")
    for collector, observation in world():
        store.add(collector, [observation])
    return graph(store)


class Replay(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "g.db")
        self.kept = 0

    @rule(collector=st.sampled_from(COLLECTORS), size=st.integers(1, 7))
    def collect(self, collector: str, size: int) -> None:
        """Go on from the cursor."""
        start = int(self.store.cursors().get(collector, 0))
        end = min(start + size, len(of(collector)))
        self.store.add(collector, of(collector)[start:end], str(end))

    @rule(collector=st.sampled_from(COLLECTORS), data=st.data())
    def replay(self, collector: str, data: st.DataObject) -> None:
        """Tell some of it again, in another order, the cursor being lost."""
        mixed = data.draw(st.permutations(of(collector)))
        self.store.add(collector, mixed[: data.draw(st.integers(0, len(mixed)))], "0")

    @rule(collector=st.sampled_from(COLLECTORS), after=st.integers(0, 25))
    def crash(self, collector: str, after: int) -> None:
        """Stop dead after some statements of a pass, and open the database anew."""
        before, cursors = graph(self.store), self.store.cursors()
        engine = self.store.database._engine
        count = iter(range(after))

        def stop(*_: object) -> None:
            if next(count, None) is None:
                raise Crash

        event.listen(engine, "before_cursor_execute", stop)
        try:
            self.store.add(collector, of(collector), "0")
            crashed = False
        except Crash:
            crashed = True
        event.remove(engine, "before_cursor_execute", stop)
        engine.dispose()
        self.store = Store(Path(self.folder.name) / "g.db")
        if crashed:
            assert (graph(self.store), self.store.cursors()) == (before, cursors)

    @rule()
    def rebuild(self) -> None:
        """Project it anew: nothing changes."""
        before = graph(self.store)
        self.store.rebuild()
        assert graph(self.store) == before

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "store"):
            count = self.store.count("observation")
            assert count >= self.kept
            self.kept = count

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for collector in COLLECTORS:
                self.store.add(collector, of(collector))
            assert graph(self.store) == whole(Path(self.folder.name))
            self.folder.cleanup()


TestReplay = Replay.TestCase
TestReplay.settings = settings(max_examples=15, stateful_step_count=8)

WRITER = """
import random, sys
sys.path.insert(0, sys.argv[2])
from tests.lineage.graphs import world
from unified_mlops.lineage.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
while True:
    said = world()
    random.shuffle(said)
    for collector, observation in said:
        store.add(collector, [observation], "x")
    store.rebuild()
"""


def killed_while_writing(place: str) -> None:
    root = str(Path(__file__).parents[2])
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, place, root]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(random.uniform(0, 0.3))
            os.kill(writer.pid, signal.SIGKILL)


def test_kill_9_between_two_writes_leaves_the_same_graph(tmp_path: Path) -> None:
    place = str(tmp_path / "g.db")
    killed_while_writing(place)
    store = Store(place)
    for collector, observation in world():
        store.add(collector, [observation])
    assert graph(store) == whole(tmp_path)


@pytest.mark.parametrize("parts", [1, 3])
def test_postgresql_holds_the_same_graph(
    parts: int, tmp_path: Path, postgres_database: str
) -> None:
    store = Store(postgres_database)
    said = world()[::-1]
    for part in range(parts):
        for collector, observation in said[part::parts]:
            store.add(collector, [observation], "x")
    assert graph(store) == whole(tmp_path)
    store.rebuild()
    assert graph(store) == whole(tmp_path)
    store.database.close()


def test_kill_9_leaves_the_same_graph_on_postgresql(tmp_path: Path, postgres_database: str) -> None:
    place = postgres_database
    killed_while_writing(place)
    store = Store(place)
    for collector, observation in world():
        store.add(collector, [observation])
    assert graph(store) == whole(tmp_path)
    store.database.close()
