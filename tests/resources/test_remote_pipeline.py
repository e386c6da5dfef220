"""A job on a server, followed to its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unified_mlops.config import Config
from unified_mlops.errors import ArgumentError, BackendError, NotFoundError
from unified_mlops.records import PipelineJobRecord, PipelineRecord, Ref
from unified_mlops.resources import remote_pipeline
from unified_mlops.resources.remote_pipeline import RemoteRun
from unified_mlops.session import Session
from unified_mlops.testing import MemoryPlugin

PIPELINE = PipelineRecord(
    ref=Ref("kfp", "pipeline", "p@1", "kfp:pipeline/p@1"),
    name="p",
    spec={"root": {"dag": {"tasks": {"a": {}, "b": {}}}}},
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_pipeline, "_SHORTEST", 0.005)
    monkeypatch.setattr(remote_pipeline, "_LONGEST", 0.02)


class Server(MemoryPlugin):
    """A server that can be away, and on which jobs can stand still."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.still, self.looks = False, 0
        self.away: Iterator[bool] = iter(())
        self.looked = threading.Event()

    def mlops_get_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        self.looks += 1
        self.looked.set()
        if next(self.away, False):
            raise BackendError("the server is away")
        held = self.held[job.uri]
        assert isinstance(held, PipelineJobRecord)
        if self.still and held.state != "PIPELINE_STATE_CANCELLING":
            return held
        return super().mlops_get_pipeline_job(job)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def session(tmp_path: Path, server: Server) -> Iterator[Session]:
    config = Config(workspace=tmp_path / "w")
    session = Session(config, plugins={"memory": lambda workspace: server})
    yield session
    session.close()


@pytest.fixture
def run(session: Session) -> RemoteRun:
    return RemoteRun(session, PIPELINE, "j", "My job", provider="memory")


def test_a_job_is_followed_and_every_change_is_told(run: RemoteRun) -> None:
    states: list[str] = []
    assert run.start().state == "PIPELINE_STATE_PENDING"
    ended = run.wait(on_change=lambda job: states.append(job.state))
    assert states == ["PIPELINE_STATE_RUNNING", "PIPELINE_STATE_SUCCEEDED"]
    assert {name: task.state for name, task in ended.tasks.items()} == {
        "a": "SUCCEEDED",
        "b": "SUCCEEDED",
    }
    assert run.done and run.wait() is ended


def test_waiting_ends_with_the_timeout_and_the_job_goes_on(run: RemoteRun, server: Server) -> None:
    server.still = True
    run.start()
    assert run.wait(timeout=0.05).state == "PIPELINE_STATE_PENDING"
    assert server.looks > 1 and not run.done


def test_a_job_is_cancelled_from_another_thread(
    run: RemoteRun, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.still = True
    run.start()
    waiter = threading.Thread(target=run.wait)
    waiter.start()
    assert server.looked.wait(5)
    monkeypatch.setattr(remote_pipeline, "_SHORTEST", 3600.0)  # cancelling ends the pause
    monkeypatch.setattr(remote_pipeline, "_LONGEST", 3600.0)
    run.cancel()
    waiter.join(5)
    assert not waiter.is_alive()
    assert run.record is not None and run.record.state == "PIPELINE_STATE_CANCELLED"


def test_a_server_that_is_away_for_a_while_does_not_end_the_waiting(
    run: RemoteRun, server: Server
) -> None:
    server.away = iter([True] * 4 + [False] + [True] * 4)
    run.start()
    assert run.wait().state == "PIPELINE_STATE_SUCCEEDED"


def test_a_server_that_stays_away_ends_it(run: RemoteRun, server: Server) -> None:
    server.away = iter([True] * 9)
    run.start()
    with pytest.raises(BackendError, match="away"):
        run.wait()
    assert server.looks == 5


def test_a_job_is_found_again_by_its_id(session: Session, run: RemoteRun) -> None:
    run.start()
    found = RemoteRun.find(session, "j")
    assert found.uri == run.uri
    assert found.wait().state == "PIPELINE_STATE_SUCCEEDED"
    assert [one.uri for one in RemoteRun.list(session)] == [run.uri]
    with pytest.raises(NotFoundError, match="'k'"):
        RemoteRun.find(session, "k")


def test_a_job_is_deleted_when_it_has_ended(session: Session, run: RemoteRun) -> None:
    run.start()
    with pytest.raises(ArgumentError, match="not ended"):
        run.delete()
    run.wait()
    run.delete()
    assert RemoteRun.list(session) == []


def test_what_is_not_submitted_says_so_and_is_not_submitted_twice(run: RemoteRun) -> None:
    for use in (run.refresh, run.cancel, run.wait, run.delete, lambda: run.uri):
        with pytest.raises(ArgumentError, match="has not been submitted"):
            use()
    run.start()
    with pytest.raises(ArgumentError, match="has been submitted"):
        run.start()


def test_its_pipeline_stands_above_it_in_the_graph(session: Session, run: RemoteRun) -> None:
    run.start()
    edges = {(e.source, e.kind, e.target) for e in run.lineage().edges}
    assert (PIPELINE.ref.uri, "PARENT_OF", run.uri) in edges
