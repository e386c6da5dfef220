"""One tuning trial: fit on the earlier four fifths of the training data, score on the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from models import COLUMNS, LABEL, build, score


@dataclass(frozen=True)
class Trial:
    """The objective of a tuning job; called on the cluster with one set of parameters.

    Args:
        family: the model family.
        path: the training data.
    """

    family: str
    path: str

    def __call__(self, params: Mapping[str, float]) -> dict[str, float]:
        """The metrics of these parameters."""
        frame = pd.read_parquet(self.path).sort_values("event_timestamp", kind="stable")
        cut = len(frame) * 4 // 5
        fitted = build(self.family, params).fit(frame[COLUMNS][:cut], frame[LABEL][:cut])
        return score(fitted, frame[cut:])
