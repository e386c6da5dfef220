"""The metric that Evidently's own report, JSON and pages show our scores by.

The one module that imports Evidently as it is loaded (8 CPU-seconds, whichever part is asked
for, since `evidently/__init__.py` imports all of it): import it only to run a monitor.
"""
# ruff: noqa: TID253 - see above: nobody imports this module at start-up

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import SingleValueCalculation, SingleValueMetric
from evidently.tests import lte
from evidently.widgets import CounterData, GraphData, counter, plotly_graph

_SCORES = "unified_mlops.scores"
_BARS = 20
_TITLES = {
    "jensen_shannon_divergence": "Jensen-Shannon divergence",
    "l_infinity": "L-infinity distance",
}
_COLORS = {"reference": "#4d4d4d", "current": "#ed0400"}  # Evidently's own


class FeatureDrift(SingleValueMetric):  # type: ignore[misc]
    """How far a column has moved. The score comes from all rows, the picture from a sample."""

    column: str
    method: str


class FeatureDriftCalculation(SingleValueCalculation[FeatureDrift]):  # type: ignore[misc]
    """Looks the score up among the report's additional data and draws both distributions."""

    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> Any:
        """The score as Evidently's result, with its widgets."""
        column = self.metric.column
        scores = context.additional_data[_SCORES].as_dataframe().set_index("column")
        result = self.result(float(scores.loc[column, "score"]))
        sides = {
            "reference": reference_data.as_dataframe()[column],
            "current": current_data.as_dataframe()[column],
        }
        missing = [
            CounterData(f"missing in the {name} sample", f"{side.isna().mean():.1%}")
            for name, side in sides.items()
        ]
        score = CounterData("score", f"{result.value:.4f}")
        graph = GraphData(f"{column}: share of the sampled rows", *_bars(sides))
        result.widget = [
            counter(title=self.display_name(), counters=[score, *missing]),
            plotly_graph(graph_data=graph),
        ]
        return result

    def display_name(self) -> str:
        """What the report calls the score."""
        return f"{_TITLES.get(self.metric.method, self.metric.method)} of '{self.metric.column}'"


def run_report(
    frames: Mapping[str, pd.DataFrame],
    scores: Mapping[str, tuple[str, float]],
    thresholds: Mapping[str, float],
    metadata: Mapping[str, str],
) -> Any:
    """An Evidently snapshot of these scores, each with a test that fails above its threshold.

    Args:
        frames: samples by `reference` and `current`.
        scores: method and score by column.
        thresholds: threshold by column.
        metadata: what the snapshot is to keep beside them.
    """
    metrics = [
        FeatureDrift(column=column, method=scores[column][0], tests=[lte(threshold)])
        for column, threshold in thresholds.items()
    ]
    values = [value for _, value in scores.values()]
    with np.errstate(invalid="ignore"):  # Evidently divides by the count of an all-missing column
        return Report(metrics).run(
            _dataset(frames["current"]),
            _dataset(frames["reference"]),
            additional_data={_SCORES: pd.DataFrame({"column": list(scores), "score": values})},
            metadata=dict(metadata),
            tags=["unified_mlops"],
        )


def _dataset(frame: pd.DataFrame) -> Any:
    numbers = [column for column in frame if _numeric(frame[column])]
    texts = [column for column in frame if column not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=texts)
    return Dataset.from_pandas(frame, definition)


def _numeric(column: pd.Series[Any]) -> bool:
    return bool(column.dtype == float)


def _bars(sides: Mapping[str, pd.Series[Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Plotly data and layout, as plain values: its objects cost more than the statistics."""
    numeric = _numeric(sides["current"])
    labels, shares = (_number_bars if numeric else _text_bars)(sides)
    data = [
        {"type": "bar", "name": name, "x": labels, "y": y, "marker": {"color": _COLORS[name]}}
        for name, y in shares.items()
    ]
    axis = {} if numeric else {"type": "category"}
    return data, {"barmode": "group", "xaxis": axis, "yaxis": {"tickformat": ".0%"}}


def _number_bars(sides: Mapping[str, pd.Series[Any]]) -> tuple[list[Any], dict[str, list[float]]]:
    values = {name: side.to_numpy() for name, side in sides.items()}
    finite = np.concatenate([side[np.isfinite(side)] for side in values.values()])
    if not len(finite):
        return [], {name: [] for name in sides}
    edges = np.unique(np.linspace(finite.min(), finite.max(), _BARS + 1))
    if len(edges) == 1:
        edges = np.array([edges[0] - 0.5, edges[0] + 0.5])
    shares = {
        name: (np.histogram(side[np.isfinite(side)], edges)[0] / len(side)).tolist()
        for name, side in values.items()
    }
    return ((edges[1:] + edges[:-1]) / 2).tolist(), shares


def _text_bars(sides: Mapping[str, pd.Series[Any]]) -> tuple[list[Any], dict[str, list[float]]]:
    shares = pd.DataFrame(
        {name: side.value_counts() / len(side) for name, side in sides.items()}
    ).fillna(0.0)
    shares = shares.loc[shares.sum(axis="columns").sort_values(ascending=False).index]
    shown, rest = shares.iloc[:_BARS], shares.iloc[_BARS:]
    if len(rest):
        shown = pd.concat([shown, pd.DataFrame([rest.sum()], index=["(other)"])])
    return shown.index.tolist(), {str(name): shown[name].tolist() for name in shown}
