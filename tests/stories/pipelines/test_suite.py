"""Every case of the suite, run by us and by `kfp.local`, against one expectation."""

from pathlib import Path

import pytest
from tests.stories.pipelines.case import Case
from tests.stories.pipelines.conftest import Ours, Theirs
from tests.stories.pipelines.suite import CASES

pytestmark = pytest.mark.story

each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


@each_case
def test_components_see_what_a_server_would_show_them(case: Case, ours: Ours) -> None:
    differences = ours(case).differences(case)
    assert not differences, "\n".join(differences)


@each_case
def test_kfp_local_does_as_it_did_when_this_was_written(case: Case, theirs: Theirs) -> None:
    outcome = theirs(case)
    differences = "\n".join((*outcome.differences(case), outcome.error))
    assert outcome.verdict(case) == case.kfp_local, differences


def test_the_suite_is_large_and_shows_where_kfp_local_is_wrong() -> None:
    assert len(CASES) >= 80
    assert len([case for case in CASES.values() if case.kfp_local != "right"]) >= 20


def test_every_row_of_the_contract_has_cases() -> None:
    rows = {case.row for case in CASES.values()}
    assert rows >= ROWS, f"without a case: {sorted(ROWS - rows)}"


def test_case_modules_stay_small() -> None:
    sizes = {
        path.name: len(path.read_text().splitlines())
        for path in Path(__file__).parent.glob("cases/*.py")
    }
    assert max(sizes.values()) <= 300, sizes


ROWS = {
    "coercion",
    "defaults",
    "optional inputs",
    "order",
    "conditions",
    "OneOf",
    "loops",
    "Collected",
    "artifact loops",
    "exit handlers",
    "ignore upstream failure",
    "nested pipelines",
    "retries",
    "importer",
    "artifacts",
    "lists of artifacts",
    "custom paths",
    "metrics",
    "placeholders",
    "workspace",
    "root artifacts",
    "outputs",
    "environment",
    "large values",
    "injection",
    "embedded files",
    "failures",
    "parallelism",
}
