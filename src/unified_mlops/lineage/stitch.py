"""The rules by which records of several tools are joined, and the joining itself.

A record often knows a thing of another tool by name only: `models:/delay@prod`, a feature
reference, a process. It makes a *claim*; the tool that owns the thing gives it an *alias*, for as
long as the name means it. Stitching looks each claim's name up as of the claim's time.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_mlops.records import Level


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to join two records.

    Args:
        number: its number in the documentation.
        joins: what it joins.
        level: how far it is to be trusted.
        optional: whether the thing that it looks for may well not be there, so that a claim which
            finds nothing is no open question.
    """

    number: int
    joins: str
    level: Level = "derived"
    optional: bool = False


RULES = {
    "service-by-features": Rule(
        1,
        "a retrieval and the feature service that had exactly its feature references then",
        optional=True,
    ),
    "signature-column": Rule(2, "a column of a model's signature and the training column so named"),
    "column-fingerprint": Rule(
        3, "columns of two files with equal content", "inferred", optional=True
    ),
    "model-text": Rule(4, "a `models:/…` text and the version that it named at that time"),
    "feast-references": Rule(
        5, "the feature references that Feast wrote on a run, and the definitions live then"
    ),
    "feast-service-tag": Rule(6, "the service that Feast guessed for a run", "inferred"),
    "kfp-tags": Rule(7, "a run and the pipeline run or task that its `kfp.*` tags name"),
    "ray-job": Rule(8, "a run and the Ray job that it ran in"),
    "request-id": Rule(9, "a trace and the prediction with its request id", optional=True),
    "report-column": Rule(
        10, "a column of a report and the column so named of what it watches", optional=True
    ),
    "process": Rule(
        11,
        "a folder of event files and the run that its host and process wrote then",
        "inferred",
        optional=True,
    ),
    "materialisation-window": Rule(
        12,
        "an online value and the materialisation whose window holds its event time",
        optional=True,
    ),
    "frame-stamp": Rule(13, "a file and the feature retrieval that is stamped on its frame"),
    "openlineage-promise": Rule(
        14,
        "an output that an OpenLineage run told of at its start, once it completes",
        optional=True,
    ),
}
"""By the name that stands as `rule` on the edges that a rule made."""
