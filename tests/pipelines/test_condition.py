import pytest

from unified_mlops.errors import ArgumentError, PipelineError
from unified_mlops.pipelines.condition import Condition

N = "inputs.parameter_values['n']"


@pytest.mark.parametrize(
    ("text", "parameters", "holds"),
    [
        (f"int({N}) == 3", {"n": 3}, True),
        (f"int({N}) != 3", {"n": 3}, False),
        (f"int({N}) == 3", {"n": "3"}, True),
        (f"{N} > 0.7", {"n": 1}, True),
        (f"double({N}) <= 0.5", {"n": 0.5}, True),
        (f"{N} >= -2", {"n": -3}, False),
        (f"{N} == true", {"n": True}, True),
        (f"{N} == 'a b'", {"n": "a b"}, True),
        (f"{N} < 'b'", {"n": "a"}, True),
        (f"!({N} == 'a') && {N} != 'b'", {"n": "c"}, True),
        (f"!({N} == 'a') && !({N} == 'b')", {"n": "b"}, False),
        (f"{N} == 'a' || ({N} == 'b')", {"n": "b"}, True),
        (f"{N} == 'a\\'b\\n'", {"n": "a'b\n"}, True),
        ("inputs.parameter_values['pipelinechannel--a-b'] == 1e-05", {}, None),
    ],
)
def test_it_decides_what_the_compiler_writes(text, parameters, holds):
    if holds is None:
        parameters, holds = {"pipelinechannel--a-b": 0.00001}, True
    assert Condition(text).holds(parameters) is holds


def test_a_value_is_compared_and_never_read_as_code():
    value = "x' == 'x' || 'a' == 'a"
    assert Condition(f"{N} == 'x'").holds({"n": value}) is False
    assert Condition(f"{N} == 'x'").holds({"n": "__import__('os').getpid()"}) is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{N} ==",
        f"{N} == 'it's'",
        f"({N} == 1",
        f"{N} == 1 1",
        "int 3",
        "__import__('os')",
        f"{N}.x == 1",
        "n == 1",
    ],
)
def test_what_is_not_in_the_language_is_refused_when_it_is_read(text):
    with pytest.raises(ArgumentError, match="cannot be read"):
        Condition(text)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (f"{N} == 1", {}),
        (f"{N} == 1", {"n": "1"}),
        (f"{N} == 1", {"n": True}),
        (f"int({N}) == 1", {"n": "one"}),
        (f"int({N}) == 1", {"n": [1]}),
        (f"{N} < {N}", {"n": {}}),
        (N, {"n": 1}),
        (f"!({N}) && true", {"n": "x"}),
    ],
)
def test_what_cannot_be_decided_is_an_error_and_not_false(text, parameters):
    with pytest.raises(PipelineError, match="cannot be decided"):
        Condition(text).holds(parameters)
