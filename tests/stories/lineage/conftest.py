"""The fixtures of a scenario, and the table of all scenarios."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Collection, Iterator
from functools import reduce
from operator import add
from pathlib import Path

import pytest
from tests.stories.lineage.feast_repo import FeastRepo
from tests.stories.lineage.native import Bench, blank_database, without_us
from tests.stories.lineage.scenario import Score, Truth, measure

from unified_mlops.session import Session

SCORES = pytest.StashKey[list[Score]]()

Check = Callable[..., Score]


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: MLflow takes 3 s to make one."""
    return blank_database(tmp_path_factory.mktemp("blank") / "mlflow.db")


@pytest.fixture
def ambient() -> None:
    """Ask for it where our package is installed beside the tool."""


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, blank: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A place to work natively, and a session that reads it."""
    made = Bench(tmp_path)
    shutil.copy(blank, made.folder / "mlflow.db")
    if "ambient" not in request.fixturenames:
        without_us(monkeypatch)
    with made.mlflow():
        yield made


@pytest.fixture
def repo(bench: Bench) -> FeastRepo:
    """A Feast repo that writes on MLflow's runs, and the data of two views."""
    from tests.stories.lineage.test_features import DATA

    made = bench.feast(mlflow={"enabled": True, "tracking_uri": bench.uri})
    for name in ("sales", "moved"):
        bench.file(f"repo/data/{name}.parquet", DATA)
    return made


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Check:
    """Compare a session's graph with the truth, all of it, and keep the score."""

    def check(
        session: Session, truth: Truth, about: Collection[str] | None = None, why: str = ""
    ) -> Score:
        name = request.node.name.removeprefix("test_").replace("_", " ")
        score = measure(name, session.lineage.store, truth, about, why)
        request.config.stash.setdefault(SCORES, []).append(score)
        assert not score.wrong, "\n" + "\n".join(score.wrong)
        for kind, uri in truth.nodes if about is None else ():
            if kind in {"model", "model_version"}:
                found = session.lineage.upstream(uri).of_kind("dataset")
                assert {node.uri for node in found} == truth.origins(uri), f"origins of {uri}"
        assert session.lineage.collect() == {}
        session.lineage.rebuild()
        again = measure(name, session.lineage.store, truth, about, why)
        assert again == score, "another graph when collected again and rebuilt"
        return score

    return check


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """All here are stories, and import the tools: a run without stories does not load them."""
    return True if config.option.markexpr == "not story" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print precision and recall of each scenario and of all."""
    scores = terminalreporter.config.stash.get(SCORES, [])
    if scores:
        terminalreporter.section("lineage: edges found against edges that are true")
        terminalreporter.write(_table(scores))


def _table(scores: list[Score]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("scenario", ratio=1)
    for title in ("nodes", "edges", "precision", "recall", "precision*", "recall*"):
        table.add_column(title, justify="right")
    for score in scores:
        name = score.name + (" (FAILED)" if score.wrong else "")
        counts = (str(score.nodes), str(score.recall.all))
        table.add_row(name, *counts, *map(str, score.shares))
        for limit in score.limits:
            table.add_row(f"  {limit}", style="dim")
    whole = reduce(add, scores)
    counts = (str(whole.nodes), str(whole.recall.all))
    table.add_row("all edges of all scenarios", *counts, *map(str, whole.shares), style="bold")
    means = (
        sum(map(float, column)) / len(scores)
        for column in zip(*(score.shares for score in scores), strict=True)
    )
    title = f"mean of {len(scores)} scenarios"
    table.add_row(title, "", "", *(f"{mean:.3f}" for mean in means), style="bold")
    out = io.StringIO()
    console = Console(file=out, width=110)
    console.print(table)
    console.print("precision and recall of what is declared to derived; * with what is inferred")
    return out.getvalue()
