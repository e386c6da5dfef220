"""Runs cases by us and by `kfp.local`, and prints the table of both."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.stories.pipelines.case import CASES, JOURNAL, Case, Outcome, journal, made
from tests.stories.pipelines.upstream import run_all

from unified_mlops.config import Config
from unified_mlops.errors import TaskFailedError, UnifiedMLOpsError
from unified_mlops.session import Session

if TYPE_CHECKING:
    from unified_mlops import PipelineJob

VERDICTS = pytest.StashKey[dict[str, dict[str, str]]]()

Ours = Callable[[Case], Outcome]
Theirs = Callable[[Case], Outcome]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One session for all cases, and so one fork server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JOURNAL, str(tmp_path_factory.mktemp("journal") / "journal"))
        folder = tmp_path_factory.mktemp("workspace")
        yield Session(Config(workspace=folder, providers={"task": "kfp"}))


@pytest.fixture
def ours(workshop: Session, tmp_path: Path, request: pytest.FixtureRequest) -> Ours:
    """Run a case through `PipelineJob`."""

    def run(case: Case) -> Outcome:
        outcome = run_case(workshop, case, tmp_path)
        _keep(request.config, case, "ours", outcome)
        return outcome

    return run


@pytest.fixture(scope="session")
def upstream(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Outcome]:
    """What `kfp.local` makes of every case that is asked for."""
    wanted = [
        item.callspec.id
        for item in request.session.items
        if isinstance(item, pytest.Function) and "theirs" in item.fixturenames
    ]
    return run_all(wanted, tmp_path_factory.mktemp("kfp_local"))


@pytest.fixture
def theirs(upstream: Mapping[str, Outcome], request: pytest.FixtureRequest) -> Theirs:
    """The outcome of a case under `kfp.local`."""

    def look(case: Case) -> Outcome:
        _keep(request.config, case, "kfp.local", upstream[case.name])
        return upstream[case.name]

    return look


def run_case(session: Session, case: Case, folder: Path) -> Outcome:
    """Run a case in an empty folder."""
    from unified_mlops import PipelineJob

    written = Path(os.environ[JOURNAL])
    written.unlink(missing_ok=True)
    for name, text in case.artifacts.items():
        (folder / name).write_text(text)
    try:
        job = PipelineJob(
            case.name,
            case.pipeline,
            parameter_values=case.given(folder),
            input_artifacts={name: str(folder / name) for name in case.artifacts},
            pipeline_root=folder / "root",
            enable_caching=False,
            session=session,
        )
    except UnifiedMLOpsError as error:
        return Outcome("REFUSED", journal(written), {}, f"{type(error).__name__}: {error}")
    with suppress(TaskFailedError):
        job.run()
    tasks = {name: record.state for name, record in job.task_details.items()}
    state = job.state.removeprefix("PIPELINE_STATE_")
    return Outcome(state, journal(written), _outputs(job), job.error, tasks)


def _outputs(job: PipelineJob) -> dict[str, Any]:
    """What the pipeline gives out; its artifacts are those of the tasks that its file names."""
    outputs = dict(job.outputs)
    graph = job.pipeline.spec["root"]["dag"].get("outputs", {})
    for name, raw in graph.get("artifacts", {}).items():
        for each in raw["artifactSelectors"]:
            task = job.task_details.get(each["producerSubtask"])
            found = task.artifacts.get(each["outputArtifactKey"], ()) if task else ()
            shown = [_plain(one) for one in found]
            several = job.pipeline.spec["root"]["outputDefinitions"]["artifacts"][name]
            outputs[name] = shown if several.get("isArtifactList") else shown[0]
    return outputs


def _plain(artifact: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(artifact["uri"])
    kind = artifact["type"]["schemaTitle"].removeprefix("system.")
    return made(kind, path.read_text() if path.is_file() else None, **artifact["metadata"])


def _keep(config: pytest.Config, case: Case, who: str, outcome: Outcome) -> None:
    verdicts = config.stash.setdefault(VERDICTS, {})
    verdicts.setdefault(case.name, {})[who] = outcome.verdict(case)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """All here are stories, and import kfp: a run without stories does not load it."""
    return True if config.option.markexpr == "not story" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how each case went, by us and by `kfp.local`."""
    verdicts = terminalreporter.config.stash.get(VERDICTS, {})
    if verdicts:
        terminalreporter.section("pipelines: what components saw, by us and by kfp.local 2.17")
        terminalreporter.write(_table(verdicts))


def _table(verdicts: Mapping[str, Mapping[str, str]]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("case", ratio=1)
    for title in ("contract", "ours", "kfp.local"):
        table.add_column(title)
    for name, each in sorted(verdicts.items(), key=lambda item: (CASES[item[0]].row, item[0])):
        found = [each.get(who, "") for who in ("ours", "kfp.local")]
        table.add_row(name, CASES[name].row, *found)
    out = io.StringIO()
    console = Console(file=out, width=110)
    console.print(table)
    for who in ("ours", "kfp.local"):
        words = [each[who] for each in verdicts.values() if who in each]
        counts = {word: words.count(word) for word in ("right", "wrong", "fails")}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        console.print(f"{who}: {told} of {len(words)} cases")
    return out.getvalue()
