import pytest

from unified_mlops.lineage.names import look_up, meanings
from unified_mlops.records import Alias, Claim

CHAIN = [
    Alias("n", "first", "s", since=10),
    Alias("n", "second", "s", since=30, after=20),
    Alias("n", "", "s", since=50, after=40),
]


def meant(at: float | None, aliases: list[Alias], scope: str = "", field: str = "") -> list[str]:
    return look_up(Claim("n", "DERIVES", "x", "model-text", at, field, scope), meanings(aliases))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (9, []),
        (10, ["first"]),
        (20, ["first"]),
        (25, ["first", "second"]),
        (30, ["second"]),
        (45, ["second"]),
        (50, []),
        (None, []),
    ],
)
def test_a_name_means_what_it_meant_then(at: float | None, expected: list[str]) -> None:
    assert meant(at, CHAIN) == expected
    assert meant(at, CHAIN[::-1]) == expected


def test_a_lasting_name_means_its_thing_at_any_time_and_at_none() -> None:
    lasting = [Alias("n", "thing")]
    assert meant(None, lasting) == meant(0, lasting) == meant(1e12, lasting) == ["thing"]


def test_a_name_in_two_scopes_is_ambiguous_unless_the_claim_says_whose() -> None:
    two = [Alias("n", "a", "s1"), Alias("n", "b", "s2")]
    assert meant(5, two) == ["a", "b"]
    assert meant(5, two, scope="s2") == ["b"]


def test_what_ends_by_itself_is_not_ended_by_what_begins_within_it() -> None:
    nested = [
        Alias("n", "outer", "s", since=0, until=100),
        Alias("n", "inner", "s", since=20, until=30),
    ]
    assert meant(10, nested) == ["outer"]
    assert meant(25, nested) == ["outer", "inner"]
    assert meant(50, nested) == ["outer"]


def test_what_is_told_to_have_ended_has_ended_though_it_was_told_before_that_it_goes_on() -> None:
    told = [Alias("n", "run", "s", since=10), Alias("n", "run", "s", since=10, until=20)]
    assert meant(15, told) == ["run"]
    assert meant(25, told) == []


def test_two_meanings_that_begin_at_one_moment_cannot_be_ordered() -> None:
    assert meant(11, [Alias("n", "a", "s", since=10), Alias("n", "b", "s", since=10)]) == ["a", "b"]


def test_a_column_that_the_thing_did_not_have_is_not_guessed() -> None:
    known = [Alias("n", "v@1", "s", fields=("a",))]
    assert meant(1, known, field="a") == ["v@1#a"]
    assert meant(1, known, field="b") == []
