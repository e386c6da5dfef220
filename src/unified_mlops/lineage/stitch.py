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
    """A stitch rule: its number in the documentation, what it joins, how far to trust it."""

    number: int
    joins: str
    level: Level = "derived"


RULES = {
    "service-by-features": Rule(
        1, "a retrieval and the feature service that had exactly its feature references then"
    ),
    "signature-column": Rule(2, "a column of a model's signature and the training column so named"),
    "column-fingerprint": Rule(3, "columns of two files with equal content", "inferred"),
    "model-text": Rule(4, "a `models:/…` text and the version that it named at that time"),
    "feast-references": Rule(
        5, "the feature references that Feast wrote on a run, and the definitions live then"
    ),
    "feast-service-tag": Rule(6, "the service that Feast guessed for a run", "inferred"),
    "kfp-tags": Rule(7, "a run and the pipeline run or task that its `kfp.*` tags name"),
    "ray-job": Rule(8, "a run and the Ray job that it ran in"),
    "request-id": Rule(9, "a trace and the prediction with its request id"),
    "report-column": Rule(10, "a column of a report and the column so named of what it watches"),
    "process": Rule(
        11, "a folder of event files and the run that its host and process wrote then", "inferred"
    ),
    "materialisation-window": Rule(
        12, "an online value and the materialisation whose window holds its event time"
    ),
    "frame-stamp": Rule(13, "a file and the feature retrieval that is stamped on its frame"),
}
"""By the name that stands as `rule` on the edges that a rule made."""
