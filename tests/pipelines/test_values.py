import pytest

from unified_mlops.errors import ArgumentTypeError
from unified_mlops.pipelines.values import bind, fill, placeholders, whole


def test_whole_floats_become_integers_at_any_depth():
    given = {"a": 1.0, "b": [2.0, {"c": 2.5}], "d": True, "e": 1e300, "f": "1.0"}
    made = whole(given)
    assert repr(made) == "{'a': 1, 'b': [2, {'c': 2.5}], 'd': True, 'e': 1e+300, 'f': '1.0'}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (3.0, "3"), (0.5, "0.5"), (True, "true"), ("a", "a"), ({"a": [1]}, '{"a": [1]}')],
)
def test_a_text_input_takes_any_value_as_json(value, text):
    assert bind(value, "STRING", "x") == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("3", "NUMBER_INTEGER"),
        (0.5, "NUMBER_INTEGER"),
        (True, "NUMBER_INTEGER"),
        ("x", "NUMBER_DOUBLE"),
        (1, "BOOLEAN"),
        ({}, "LIST"),
        ("[]", "LIST"),
        ([], "STRUCT"),
    ],
)
def test_any_other_mismatch_is_an_error(value, kind):
    with pytest.raises(ArgumentTypeError, match="parameter 'x' is"):
        bind(value, kind, "x")


def test_a_placeholder_alone_keeps_the_type_and_in_text_becomes_text():
    made = fill({"a": ["{{$.x}}", "n={{$.x}} {{$.y}}"]}, {"x": 3, "y": [1]}.__getitem__)
    assert made == {"a": [3, "n=3 [1]"]}


def test_what_a_placeholder_brings_in_is_not_looked_at_again():
    assert fill("<{{$.x}}>", {"x": "{{$.x}}"}.__getitem__) == "<{{$.x}}>"
    assert fill("{{$.x}}{{$.x}}", {"x": "ab"}.__getitem__) == "abab"


def test_placeholders_are_found_in_keys_and_values():
    assert list(placeholders({"{{$.a}}": ["{{$.b}} {{$.c}}"], "d": 1})) == ["a", "b", "c"]
