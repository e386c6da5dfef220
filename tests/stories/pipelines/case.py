"""A case: a pipeline, and what a KFP server would have its components see.

The expectation is written by hand from the contract and is plain data. A component tells what it
saw through `note`; two values are the same only if they are written alike in JSON, so that 1, 1.0
and true are three values.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOURNAL = "CASE_JOURNAL"
"""The variable that names the file to which components write what they saw."""


@dataclass(frozen=True)
class Like:
    """A text that nobody can know beforehand, by the pattern that it matches whole."""

    pattern: str

    def __str__(self) -> str:
        return f"like {self.pattern}"

    def matches(self, found: object) -> bool:
        """Whether it could be this text."""
        return isinstance(found, str) and bool(re.fullmatch(self.pattern, found, re.DOTALL))


@dataclass(frozen=True)
class Saw:
    """A component that ran, and the values that it saw."""

    component: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.component} {_short(self.values)}"


def saw(component: str, **values: Any) -> Saw:
    """A component ran and saw these values."""
    return Saw(component, values)


def made(kind: str, text: str | None = None, **metadata: Any) -> dict[str, Any]:
    """An artifact as a component sees it, by its type, content and metadata."""
    return {"artifact": kind, "text": text, "metadata": metadata}


@dataclass(frozen=True)
class Case:
    """A pipeline and what is expected of it.

    Args:
        name: the test's name.
        row: the row of the contract that it covers.
        pipeline: the `kfp.dsl` pipeline.
        ran: every component that ran, in any order.
        arguments: the pipeline's parameters.
        artifacts: its root artifacts: the content of each, by input.
        outputs: what the pipeline gives out; None where it gives nothing, having failed.
        state: SUCCEEDED, FAILED, or REFUSED where nothing may run.
        order: pairs of components; all runs of the first come before any of the second.
        tasks: states of tasks, by name.
        stays: the file that the component's `kept` names is there after the run.
        files: what is in the folder that stands for `<folder>` in an argument.
        kfp_local: how `kfp.local` 2.17 does: right, wrong, fails.
    """

    name: str
    row: str
    pipeline: Any
    ran: Sequence[Saw]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    state: str = "SUCCEEDED"
    order: Sequence[tuple[str, str]] = ()
    tasks: Mapping[str, str] = field(default_factory=dict)
    stays: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    kfp_local: str = "right"

    def given(self, folder: Path) -> dict[str, Any]:
        """The arguments, with the files that they name in place."""
        for name, text in self.files.items():
            (folder / name).write_text(text)
        return {
            name: value.replace("<folder>", str(folder)) if isinstance(value, str) else value
            for name, value in self.arguments.items()
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a case: the state, what components saw, outputs, states of tasks if known."""

    state: str
    ran: Sequence[Saw]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    tasks: Mapping[str, str] | None = None

    def differences(self, case: Case) -> list[str]:
        """What is not as the case expects, in words."""
        found = [*_unmatched(case.ran, self.ran), *self._disorder(case), *self._gone(case)]
        for name, state in case.tasks.items():
            if self.tasks and self.tasks.get(name) != state:
                found.append(f"task {name} is {self.tasks.get(name)}, not {state}")
        if self.state != case.state:
            found.append(f"state {self.state}, not {case.state}: {self.error}")
        elif case.state == "SUCCEEDED" and not same(case.outputs, self.outputs):
            found.append(f"outputs {_short(self.outputs)}, not {_short(case.outputs)}")
        return found

    def verdict(self, case: Case) -> str:
        """One word: right; wrong, without saying so; fails, where it should not."""
        if not self.differences(case):
            return "right"
        if case.state == "SUCCEEDED" and self.state != "SUCCEEDED":
            return "fails"
        return "wrong"

    def _disorder(self, case: Case) -> Iterable[str]:
        names = [one.component for one in self.ran]
        for first, second in case.order:
            if second in names and first in names[names.index(second) :]:
                yield f"{second} ran before {first}"

    def _gone(self, case: Case) -> Iterable[str]:
        for one in self.ran if case.stays else ():
            if "kept" in one.values and not Path(one.values["kept"]).exists():
                yield f"{one.values['kept']} is gone"


def same(expected: Any, found: Any) -> bool:
    """Whether two values are written alike in JSON."""
    if isinstance(expected, Like):
        return expected.matches(found)
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return set(expected) == set(found) and all(same(expected[k], found[k]) for k in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    return type(expected) is type(found) and bool(expected == found)


def journal(path: Path) -> list[Saw]:
    """What components wrote down, in the order of their beginning."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Saw(*json.loads(line)) for line in lines]


def case(*ran: Saw, row: str, name: str = "", **rest: Any) -> Callable[[Any], Any]:
    """Register a pipeline as a case; several times, with other names and arguments, is fine."""

    def register(pipeline: Any) -> Any:
        made = Case(name or pipeline.name.replace("-", "_"), row, pipeline, ran, **rest)
        assert made.name not in CASES, f"two cases {made.name!r}"
        CASES[made.name] = made
        return pipeline

    return register


CASES: dict[str, Case] = {}
"""All cases by name, once their modules are imported."""


def _unmatched(expected: Iterable[Saw], found: Iterable[Saw]) -> list[str]:
    """What ran and should not have, and the other way round."""
    left = list(found)
    missing = []
    for want in expected:
        at = next((n for n, one in enumerate(left) if _alike(want, one)), None)
        if at is None:
            missing.append(f"did not run: {want}")
        else:
            del left[at]
    return missing + [f"ran: {one}" for one in left]


def _alike(want: Saw, one: Saw) -> bool:
    return want.component == one.component and same(want.values, one.values)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 300 else text[:300] + "…"
