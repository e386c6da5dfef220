"""Two families of models for one question, and a baseline, as plain scikit-learn pipelines.

A pipeline takes a frame with `COLUMNS`, in any order, and holds scikit-learn's own classes only,
so it can be stored and loaded without this file. Missing values and unseen categories are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

FEATURES = [
    *(f"weather:{name}" for name in ("temp", "dewp", "humid", "wind_speed")),
    *(f"weather:{name}" for name in ("precip", "pressure", "visib")),
    *(f"plane:{name}" for name in ("built", "manufacturer", "seats", "engine")),
    *(f"delays:{name}" for name in ("late_rate_3h", "late_rate_24h")),
    *(f"delays:{name}" for name in ("mean_delay_3h", "departed_3h")),
]
REQUEST = ["origin", "dest", "carrier", "hour", "weekday", "distance"]
COLUMNS = [feature.replace(":", "__") for feature in FEATURES] + REQUEST
LABEL = "late"

CATEGORIES = ["origin", "dest", "carrier", "plane__manufacturer", "plane__engine"]
CLOCK = ["hour", "weekday"]
NUMBERS = [name for name in COLUMNS if name not in (*CATEGORIES, *CLOCK)]

SEARCH_SPACE: dict[str, dict[str, list[float]]] = {
    "logistic": {"C": [0.001, 0.03, 1.0]},
    "boosting": {"learning_rate": [0.05, 0.2], "max_leaf_nodes": [7, 31]},
}


def build(family: str, params: Mapping[str, float]) -> Pipeline:
    """An unfitted pipeline.

    Args:
        family: `logistic`, `boosting`, or `baseline`, which says the usual rate of the hour of day.
        params: Keyword arguments of the family's estimator; see `SEARCH_SPACE`.

    Raises:
        ValueError: There is no such family.
    """
    if family == "logistic":
        return make_pipeline(_scaled(), LogisticRegression(max_iter=300, **params))
    if family == "boosting":
        return make_pipeline(_ordinal(), _boosting(params))
    if family == "baseline":
        return make_pipeline(_hours(), LogisticRegression(C=1e6, **params))
    raise ValueError(f"no model family {family!r}: use 'logistic', 'boosting' or 'baseline'")


def score(model: Pipeline, frame: pd.DataFrame) -> dict[str, float]:
    """How well a fitted pipeline tells the late departures of a labelled frame.

    Higher is better for `roc_auc` and `average_precision`, lower for `log_loss` and `brier`.
    """
    late = frame[LABEL].to_numpy()
    chance = np.asarray(model.predict_proba(frame[COLUMNS]))[:, 1]
    return {
        "roc_auc": float(roc_auc_score(late, chance)),
        "average_precision": float(average_precision_score(late, chance)),
        "log_loss": float(log_loss(late, chance, labels=[0, 1])),
        "brier": float(brier_score_loss(late, chance)),
    }


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", min_frequency=20)


def _named() -> Pipeline:
    """Categories as text. A missing one is NaN in a table and None in a request: both are one."""
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value="unknown"),
        SimpleImputer(missing_values=None, strategy="constant", fill_value="unknown"),
    )


def _scaled() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, NUMBERS),
            ("categories", make_pipeline(_named(), _one_hot()), CATEGORIES),
            ("clock", _clock(), CLOCK),
        ]
    )


def _ordinal() -> ColumnTransformer:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return ColumnTransformer(
        [
            ("categories", make_pipeline(_named(), codes), CATEGORIES),
            ("numbers", "passthrough", NUMBERS + CLOCK),
        ]
    )


def _hours() -> ColumnTransformer:
    return ColumnTransformer([("clock", _clock(), ["hour"])])


def _clock() -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="median"), _one_hot())


def _boosting(params: Mapping[str, float]) -> HistGradientBoostingClassifier:
    # No early stopping: it would hold out rows by position, and a join keeps no order.
    return HistGradientBoostingClassifier(
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        max_iter=100,
        random_state=0,
        **params,
    )
