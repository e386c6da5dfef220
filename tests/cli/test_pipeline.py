import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kfp import dsl

from unified_mlops import Config, PipelineJob, Session
from unified_mlops.cli import cli
from unified_mlops.errors import ArgumentError, NotFoundError, TaskFailedError
from unified_mlops.pipelines.cache import Explanation


@dsl.component
def one(x: int) -> int:
    return x + 1


@dsl.component
def bad(x: int) -> int:
    raise ValueError("no [red] way\nat all")


@dsl.pipeline(name="night")
def night(x: int = 1, fail: bool = False):
    first = one(x=x)
    with dsl.If(fail == True):  # noqa: E712
        bad(x=first.output)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a job that succeeded, one that failed, one from the cache, one without."""
    place = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIFIED_MLOPS_PLUGINS", "kfp")
        session = Session(Config(workspace=place))
        start(session, "good")
        with pytest.raises(TaskFailedError):
            start(session, "failed", {"fail": True, "x": 5}, labels={"team": "ads"})
        start(session, "again")
        start(session, "plain", enable_caching=False)
        session.close()
    return place


def start(session: Session, name: str, given: dict[str, Any] | None = None, **more: Any) -> None:
    job = PipelineJob(
        f"the {name} one", night, parameter_values=given, job_id=name, session=session, **more
    )
    job.run()


@pytest.fixture(autouse=True)
def _here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFIED_MLOPS_WORKSPACE", str(workspace))
    monkeypatch.setenv("UNIFIED_MLOPS_PLUGINS", "kfp")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["pipeline", *arguments], catch_exceptions=False)


def rows(output: str) -> dict[str, list[str]]:
    """The cells of each row of a table, by the first one that is not empty."""
    split = (
        re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in output.splitlines() if "│" in line
    )
    return {next(cell for cell in cells if cell not in ("", "≠")): cells for cells in split}


def test_list_shows_the_newest_job_first_with_its_state_and_error() -> None:
    found = rows(run("list", "--order-by", "create_time, job_id").output)
    assert set(found) == {"good", "failed", "again", "plain"}
    assert found["good"][1:4] == ["the good one", "night", "SUCCEEDED"]
    assert "FAILED" in found["failed"]
    assert "no [red] way" in found["failed"][-1]


def test_list_takes_a_filter_an_order_and_a_limit() -> None:
    assert list(rows(run("list", "--filter", "state=*FAILED labels.team:ads").output)) == ["failed"]
    found = rows(
        run("list", "--order-by", "job_id desc", "--filter", "job_id=(good OR again)").output
    )
    assert list(found) == ["good", "again"]
    few = run("list", "--limit", "1", "--order-by", "job_id").output
    assert list(rows(few)) == ["again"]
    assert "3 more: --limit 4" in few
    assert run("list", "--filter", "state=NONE").output == "there is no such job\n"
    with pytest.raises(ArgumentError, match=r"column 1: there is no field 'stat'"):
        run("list", "--filter", "stat = 1")


def test_list_prints_json() -> None:
    told = json.loads(run("list", "--json", "--filter", "job_id=good").output)
    assert [job["state"] for job in told] == ["PIPELINE_STATE_SUCCEEDED"]
    assert told[0]["create_time"].startswith("20")


def test_list_looks_below_the_root_that_is_given(tmp_path: Path) -> None:
    assert run("list", "--root", str(tmp_path)).output == "there is no such job\n"


def test_show_gives_each_task_below_its_group_with_its_error_and_files(workspace: Path) -> None:
    output = run("show", "failed").output
    assert "FAILED" in output
    assert '"team": "ads"' in output
    table = rows(output)
    assert list(table) == ["one", "condition-1", "bad"]
    assert table["one"][1:3] == ["SUCCEEDED", "1"]
    assert table["bad"][1] == "FAILED"
    assert "ValueError: no [red] way" in table["bad"]
    assert "  bad" in output
    folder = workspace / "pipelines" / "night" / "failed" / "bad"
    assert json.loads(run("show", "failed", "--json").output)["tasks"]["bad"]["folder"] == str(
        folder
    )


def test_show_of_a_job_that_is_not_there_says_where_to_look() -> None:
    with pytest.raises(NotFoundError, match="there is no job 'none'\nHint: umlops pipeline list"):
        run("show", "none")


def test_explain_cache_puts_each_part_beside_the_run_it_was_compared_with() -> None:
    output = run("explain-cache", "failed", "one").output
    assert output.startswith("one: miss, parameter 'x' changed: 1 -> 5\n")
    assert "job good" in output
    table = rows(output)
    assert table["parameter 'x'"] == ["≠", "parameter 'x'", "5", "1"]
    assert '"python:3.1' in table["image"][-1]
    assert [name for name, cells in table.items() if cells[0] == "≠"] == ["parameter 'x'"]


def test_explain_cache_of_a_first_run_has_nothing_beside_it() -> None:
    output = run("explain-cache", "good", "one").output
    assert output.startswith("one: miss, first run of this task")
    assert "no earlier run" in output
    assert "≠" not in output


def test_explain_cache_of_a_hit_and_of_a_task_without_caching() -> None:
    hit = run("explain-cache", "again", "one").output
    assert hit.startswith("one: hit, same as in job 'good'")
    assert "≠" not in hit
    assert rows(run("show", "again").output)["one"][1] == "SKIPPED"
    off = run("explain-cache", "plain", "one").output
    assert off == "one: miss, caching is off for this task\n"


def test_explain_cache_shows_artifacts_and_texts_as_they_are(
    workspace: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(workspace / "pipelines", root)
    kind = {"schemaTitle": "system.Dataset"}
    one = {"type": kind, "metadata": {"rows": 3}, "content": "sha256:" + "a" * 64}
    parts = {
        "artifact 'data'": one,
        "artifact 'none'": {**one, "content": ""},
        "parameter 'y'": "[red]",
    }
    told = Explanation("k", False, "[red]", parts, "j", {"artifact 'data'": one})
    (root / "night" / "good" / "one" / "cache.json").write_text(told.to_json())
    output = run("explain-cache", "good", "one", "--root", str(root)).output
    assert output.startswith("one: miss, [red]\n")
    table = rows(output)
    assert table["artifact 'data'"][1] == 'system.Dataset sha256:aaaaaaaaaaaa… {"rows": 3}'
    assert table["artifact 'none'"][2] == 'system.Dataset nothing there {"rows": 3}'
    assert table["parameter 'y'"][:3] == ["≠", "parameter 'y'", '"[red]"']


def test_explain_cache_prints_json() -> None:
    told = json.loads(run("explain-cache", "failed", "one", "--json").output)
    assert told["hit"] is False
    assert told["job"] == "good"
    assert told["parts"]["parameter 'x'"] == 5
    assert told["before"]["parameter 'x'"] == 1


@pytest.mark.parametrize("task", ["none", "../good/one", "*"])
def test_explain_cache_of_a_task_that_is_not_there_names_those_that_are(task: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        run("explain-cache", "failed", task)
    assert "one" in str(caught.value.hint)


def test_help_of_the_commands_imports_no_tool() -> None:
    import subprocess

    code = (
        "import sys; from click.testing import CliRunner; from unified_mlops.cli import cli;"
        "CliRunner().invoke(cli, ['pipeline', 'list', '--help']); print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"kfp", "mlflow", "pandas"} & set(shown.stdout.split())
