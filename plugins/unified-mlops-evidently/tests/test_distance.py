"""The statistics, on vectors whose distances follow from the definitions by hand."""

from math import log2

import numpy as np
import pytest

from unified_mlops_evidently.distance import Histogram, histogram, jensen_shannon, l_infinity

NAN, INF = float("nan"), float("inf")


def buckets(edges, counts, nan=0):
    return Histogram(np.array(edges, float), np.array(counts, float), np.array([nan, 0.0, 0.0]))


def distance(reference, current):
    return jensen_shannon(histogram(np.array(reference)), histogram(np.array(current)))


def test_histogram_has_ten_equal_buckets_and_the_last_is_closed():
    counted = histogram(np.array([0.0, 0.5, 1.0, 9.0, 9.5, 10.0]))
    assert counted.edges.tolist() == list(range(11))
    assert counted.counts.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]


def test_histogram_counts_what_is_not_finite_apart():
    counted = histogram(np.array([NAN, NAN, -INF, INF, INF, INF, 4.0]))
    assert counted.others.tolist() == [2, 1, 3]
    assert counted.counts.tolist() == [1]


def test_divergence_of_equal_histograms_is_exactly_zero():
    values = np.random.default_rng(0).normal(size=1000)
    assert distance(values, values.copy()) == 0.0


def test_divergence_of_disjoint_histograms_is_one():
    assert jensen_shannon(buckets([0, 1, 2], [2, 2]), buckets([3, 4, 6], [2, 2])) == 1.0


def test_divergence_cuts_buckets_where_either_histogram_does():
    # P = (1/2, 1/2, 0, 0) and Q = (0, 1/4, 1/4, 1/2) between the bounds 1, 2, 3, 4, 6
    expected = (0.5 * log2(2) + 0.5 * log2(4 / 3)) / 2
    expected += (0.25 * log2(2 / 3) + 0.25 * log2(2) + 0.5 * log2(2)) / 2
    score = jensen_shannon(buckets([1, 2, 3], [2, 2]), buckets([2, 4, 6], [2, 2]))
    assert score == pytest.approx(expected, abs=1e-12)
    assert score == pytest.approx(0.65563906222, abs=1e-10)  # the figure in TFDV's own test


def test_nan_is_one_more_bucket():
    expected = (0.25 * log2(2) + 0.75 * log2(6 / 7)) / 2 + log2(8 / 7) / 2
    score = jensen_shannon(buckets([1, 2], [3], nan=1), buckets([1, 2], [4]))
    assert score == pytest.approx(expected, abs=1e-12)
    assert score == pytest.approx(0.13792538096, abs=1e-10)  # the figure in TFDV's own test


def test_half_missing_against_none_missing():
    # P = (1/2, 1/2), Q = (1, 0): the classic value of 3/2 - 3/4 log2(3) bits
    assert distance([1.0, 1.0], [1.0, NAN]) == pytest.approx(1.5 - 0.75 * log2(3))


def test_all_missing_is_as_far_as_can_be_and_equal_to_itself():
    assert distance([1.0, 2.0, 3.0], [NAN, NAN]) == 1.0
    assert distance([NAN], [NAN, NAN]) == 0.0


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        ([5.0] * 4, [5.0] * 9, 0.0),
        ([1.0] * 4, [2.0] * 4, 1.0),
        ([10.0] * 4, [0.0, 5.0, 10.0, 20.0], 1.0),  # a bucket without width meets no other
        ([0.0, 5.0, 10.0, 20.0], [0.0] * 4, 1.0),
        ([0.0, 5.0, 10.0, 20.0], [20.0] * 4, 1.0),
    ],
)
def test_constant_columns(reference, current, expected):
    assert distance(reference, current) == expected


def test_infinities_and_neighbouring_huge_numbers_have_a_distance():
    assert distance([INF, 1.0, 2.0], [INF, 1.0, 2.0]) == 0.0
    assert distance([INF], [-INF]) == 1.0
    assert 0.0 <= distance([1e17, 1e17 + 16], [1e17, 1e17]) <= 1.0


def test_divergence_is_symmetric_and_between_zero_and_one():
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.normal(rng.uniform(-2, 2), 1, 500), rng.exponential(1, 300)
        assert 0.0 <= distance(a, b) <= 1.0
        assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-12)


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        ({"hello": 1, "world": 9}, {"hello": 3, "world": 7}, 0.2),
        ({"b": 9, "c": 1}, {"a": 3, "b": 7}, 0.3),  # a is unknown to the reference
        ({"a": 3, "b": 7}, {"b": 90, "c": 10}, 0.3),
        ({"a": 5}, {"b": 5}, 1.0),
        ({"a": 5}, {}, 1.0),
        ({}, {}, 0.0),
    ],
)
def test_greatest_difference_of_shares(reference, current, expected):
    assert l_infinity(reference, current) == pytest.approx(expected, abs=1e-12)
