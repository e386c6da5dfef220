import pickle

import pytest

from unified_mlops import errors
from unified_mlops.errors import ArgumentError, UnifiedMLOpsError

ALL = [value for value in vars(errors).values() if isinstance(value, type)]


def test_message_is_the_fact_and_then_the_hint() -> None:
    assert str(ArgumentError("no such 'x'", hint="type y")) == "no such 'x'\nHint: type y"


def test_message_without_a_hint_is_the_fact() -> None:
    assert str(ArgumentError("no such 'x'")) == "no such 'x'"


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_the_trip_from_a_worker(kind: type[UnifiedMLOpsError]) -> None:
    error = pickle.loads(pickle.dumps(kind("fact", hint="hint")))
    assert (type(error), error.fact, error.hint) == (kind, "fact", "hint")


@pytest.mark.parametrize("kind", ALL)
def test_the_tree_in_the_docstring_names_every_error(kind: type) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
