"""Runs cases through `kfp.local`, away from the tests: it keeps its settings in globals.

python -m tests.stories.pipelines.upstream <folder> <case>...    leaves <folder>/<case>/outcome

Each case has a process of its own, forked once kfp is imported: a case that ran threads leaves
`print` patched, and every line that later cases print is indented further.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.stories.pipelines.case import JOURNAL, Case, Outcome, Saw, journal, made

LIMIT = 60  # seconds for a case
_BEGAN = "Inner task failed"


def run_all(names: Sequence[str], folder: Path, width: int = 2) -> dict[str, Outcome]:
    """The outcome of each case under `kfp.local`."""
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(partial(_apart, folder), (names[n::width] for n in range(width))))
    return {name: _read(folder / name / "outcome") for name in names}


def _apart(folder: Path, names: Sequence[str]) -> None:
    top = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-m", "tests.stories.pipelines.upstream", str(folder), *names],
        check=True,
        env={
            **os.environ,
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join([str(top), *filter(None, sys.path)]),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _read(path: Path) -> Outcome:
    state, ran, outputs, error = json.loads(path.read_text())
    return Outcome(state, [Saw(*one) for one in ran], outputs, error)


def main(folder: Path, names: Iterable[str]) -> None:
    """Run cases one after the other, each in a process with those that it starts."""
    from tests.stories.pipelines.suite import CASES

    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            _leave(place, _outcome(CASES[name], place))
        os.waitpid(pid, 0)


def _outcome(case: Case, place: Path) -> Outcome:
    os.environ[JOURNAL] = str(place / "journal")
    signal.signal(signal.SIGALRM, lambda *_: _give_up(place))
    signal.alarm(LIMIT)
    outputs: Mapping[str, Any] = {}
    state, error = "SUCCEEDED", ""
    try:
        outputs = _run(case, place)
    except Exception as raised:  # noqa: BLE001  whatever it is, it is what came of the case
        error = f"{type(raised).__name__}: {str(raised)[:500]}"
        state = "FAILED" if _BEGAN in error or journal(place / "journal") else "REFUSED"
    return Outcome(state, journal(place / "journal"), outputs, error)


def _give_up(place: Path) -> None:
    _leave(place, Outcome("FAILED", journal(place / "journal"), {}, f"not done after {LIMIT} s"))


def _leave(place: Path, outcome: Outcome) -> None:
    """Write down what came of a case, and end this process and all that it started."""
    ran = [(one.component, one.values) for one in outcome.ran]
    told = json.dumps([outcome.state, ran, outcome.outputs, outcome.error])
    (place / "outcome").write_text(told)
    os.killpg(0, signal.SIGKILL)


def _run(case: Case, place: Path) -> dict[str, Any]:
    from kfp import dsl, local

    workspace = place / "workspace"
    workspace.mkdir()
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(place / "root"),
        workspace_root=str(workspace),
    )
    given = case.given(place)
    for name, text in case.artifacts.items():
        (place / name).write_text(text)
        given[name] = dsl.Dataset(name=name, uri=str(place / name))
    return {name: _plain(value) for name, value in case.pipeline(**given).outputs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not hasattr(value, "metadata"):
        return value
    path = Path(value.path)
    text = path.read_text() if path.is_file() else None
    return made(type(value).__name__, text, **value.metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
