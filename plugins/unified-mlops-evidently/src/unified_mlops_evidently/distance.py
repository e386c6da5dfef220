"""The two statistics of Vertex AI Model Monitoring, from aggregates of all rows.

Vertex computes them with TensorFlow Data Validation (TFDV), whose definitions are in
https://github.com/tensorflow/data-validation: `anomalies/metrics.cc` for the distances and
`utils/quantiles_util.py` (`generate_equi_width_histogram`) for the histograms, of which
`num_histogram_buckets` is 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BUCKETS = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Equal-width buckets between the least and the greatest finite value.

    Args:
        edges: one more than buckets; `(v, v)` where every finite value is v, none without one.
        counts: values in each bucket, the last one closed on both sides.
        others: how many are NaN or missing, -infinity and +infinity.
    """

    edges: Floats
    counts: Floats
    others: Floats

    @property
    def point(self) -> bool:
        """Whether all finite values are one value."""
        return len(self.edges) == 2 and bool(self.edges[0] == self.edges[1])


def histogram(values: Floats) -> Histogram:
    """Count values into buckets as TFDV does, exactly where TFDV takes a quantile sketch.

    Args:
        values: the whole column. NaN stands for a missing value too, since pandas writes one as
            the other to parquet.
    """
    import numpy as np

    finite = values[np.isfinite(values)]
    others = [np.isnan(values).sum(), np.isneginf(values).sum(), np.isposinf(values).sum()]
    rest = np.array(others, dtype=float)
    if not len(finite):
        return Histogram(np.array([]), np.array([]), rest)
    low, high = finite.min(), finite.max()
    if low == high:
        return Histogram(np.array([low, high]), np.array([float(len(finite))]), rest)
    # unique: of two huge numbers side by side there is no tenth
    edges = np.unique(np.linspace(low, high, BUCKETS + 1))
    return Histogram(edges, np.histogram(finite, edges)[0].astype(float), rest)


def jensen_shannon(reference: Histogram, current: Histogram) -> float:
    """Jensen-Shannon divergence to base 2: 0 for equal histograms, 1 for disjoint ones.

    `JSD(P||Q) = (D(P||M) + D(Q||M)) / 2` with `M = (P + Q) / 2`, after both histograms are cut at
    the bounds of either one, as if values were uniform within a bucket (TFDV's
    `AlignHistograms`). A single value keeps a bucket without width, so that a constant column is
    at distance 1 from any other. NaN is one more bucket, and so is each infinity.

    Args:
        reference: a histogram of at least one value.
        current: the other one.
    """
    import numpy as np

    points = [side.edges[0] for side in (reference, current) if side.point]
    bounds = np.sort(np.concatenate([np.union1d(reference.edges, current.edges), points]))
    p, q = _shares(reference, bounds), _shares(current, bounds)
    middle = (p + q) / 2
    return min(1.0, max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2))


def l_infinity(reference: Mapping[str, int], current: Mapping[str, int]) -> float:
    """L-infinity distance: the greatest difference of any category's share (`LInftyDistance`).

    Args:
        reference: how often each category occurs; missing values are in no category.
        current: the other one. A category unknown to one side has the share 0 there.
    """
    p, q = (
        {label: count / sum(side.values()) for label, count in side.items()}
        for side in (reference, current)
    )
    return max((abs(p.get(label, 0.0) - q.get(label, 0.0)) for label in p | q), default=0.0)


def _shares(side: Histogram, bounds: Floats) -> Floats:
    import numpy as np

    counts = np.zeros(max(len(bounds) - 1, 0))
    if side.point:
        counts[np.searchsorted(bounds, side.edges[0])] = side.counts[0]
    elif len(side.edges):
        cumulated = np.concatenate([[0.0], np.cumsum(side.counts)])
        counts = np.diff(np.interp(bounds, side.edges, cumulated))
    every = np.concatenate([counts, side.others])
    return np.asarray(every / every.sum())


def _divergence(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence to base 2; q is positive wherever p is."""
    import numpy as np

    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / q[some])))
