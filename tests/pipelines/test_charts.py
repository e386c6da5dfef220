"""KFP's classification metrics as pictures."""

import math
from xml.etree import ElementTree

import pytest
from kfp.dsl import ClassificationMetrics

from unified_mlops.pipelines.charts import charts

SVG = "{http://www.w3.org/2000/svg}"


def metadata(**logged):
    made = ClassificationMetrics(name="m", uri="/m", metadata={})
    for name, values in logged.items():
        getattr(made, name)(*values)
    return made.metadata


def texts(picture):
    return [node.text for node in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_a_roc_curve_is_drawn_from_the_origin_to_the_corner():
    drawn = dict(charts(metadata(log_roc_curve=([0.0, 0.2, 1.0], [0.0, 0.8, 1.0], [1, 0.5, 0]))))
    assert list(drawn) == ["roc"]
    line = ElementTree.fromstring(drawn["roc"]).find(f"{SVG}polyline")
    assert line.get("points") == "60.0,380.0 124.0,124.0 380.0,60.0"


def test_a_confusion_matrix_shows_its_categories_and_numbers():
    logged = metadata(log_confusion_matrix=(["cat", "<dog>"], [[5, 1], [2, 9]]))
    drawn = dict(charts(logged))
    assert list(drawn) == ["confusion_matrix"]
    told = texts(drawn["confusion_matrix"])
    assert {"cat", "<dog>", "5", "1", "2", "9"} <= set(told)
    assert "<dog>" not in drawn["confusion_matrix"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"confidenceMetrics": None, "confusionMatrix": []},
        {"confidenceMetrics": [{"recall": "x"}, 3, {"recall": math.nan, "falsePositiveRate": 0}]},
        {"confusionMatrix": {"annotationSpecs": [{"displayName": "a"}], "rows": []}},
        {"confusionMatrix": {"annotationSpecs": [{"displayName": "a"}], "rows": [{"row": [1, 2]}]}},
    ],
)
def test_what_is_no_curve_and_no_matrix_is_not_drawn(given):
    assert list(charts(given)) == []


def test_a_matrix_without_numbers_is_drawn_without_colour():
    given = metadata(log_confusion_matrix=(["a"], [[math.nan]]))
    assert "nan" in texts(dict(charts(given))["confusion_matrix"])
