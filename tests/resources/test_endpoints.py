import pytest
from hypothesis import given
from hypothesis import strategies as st

import unified_mlops as umlops
from unified_mlops.errors import AlreadyExistsError, ArgumentError, NotFoundError
from unified_mlops.resources.endpoints import check_split, rescale

pytestmark = pytest.mark.usefixtures("session")
splits = st.dictionaries(st.text("123", min_size=1), st.integers(1, 100), min_size=1, max_size=6)


def test_a_second_model_at_twenty_leaves_the_first_eighty() -> None:
    assert rescale({"1": 100}, 80) == {"1": 80}


def test_what_is_left_over_goes_by_order() -> None:
    assert rescale({"1": 50, "2": 50}, 67) == {"1": 34, "2": 33}


@given(splits, st.integers(0, 100))
def test_shares_are_whole_and_sum_to_the_total(split: dict[str, int], total: int) -> None:
    shares = rescale(split, total)
    assert sum(shares.values()) == total
    assert all(isinstance(share, int) and share >= 0 for share in shares.values())


@pytest.mark.parametrize("split", [{"0": 90}, {"0": 120, "1": -20}, {"0": 99.5, "1": 0.5}])
def test_a_split_that_is_not_whole_percentages_of_a_hundred_is_refused(
    split: dict[str, int],
) -> None:
    with pytest.raises(ArgumentError, match="sum to 100"):
        check_split(split)


def test_an_endpoint_is_created_once_and_found_by_name() -> None:
    umlops.Endpoint.create("late")
    assert umlops.Endpoint("late").traffic_split == {}
    assert [endpoint.record.name for endpoint in umlops.Endpoint.list()] == ["late"]
    with pytest.raises(AlreadyExistsError):
        umlops.Endpoint.create("late")


def test_an_unknown_endpoint_says_how_to_make_it() -> None:
    with pytest.raises(NotFoundError, match=r"Endpoint.create\('nope'\)"):
        umlops.Endpoint("nope")
    assert umlops.Endpoint.get("nope") is None
