"""Random pipelines do what plain Python says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from tests.stories.pipelines.case import Case
from tests.stories.pipelines.conftest import run_case
from tests.stories.pipelines.random_dags import Oracle, Statement, build, programs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unified_mlops.session import Session

pytestmark = pytest.mark.story


@given(program=programs())
@settings(
    max_examples=150,
    phases=[Phase.explicit, Phase.generate],  # to make a failing one small takes minutes
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_random_pipelines_do_what_plain_python_says(
    program: Sequence[Statement], workshop: Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    oracle = Oracle()
    oracle.run(program, {})
    assume(len(oracle.ran) <= 40)
    kinds = Counter(type(one).__name__ for one in program)
    event(" ".join(sorted(kinds)))
    case = Case("random", "random", build(program), oracle.ran)
    folder: Path = tmp_path_factory.mktemp("random")
    differences = run_case(workshop, case, folder).differences(case)
    assert not differences, "\n".join(differences)
