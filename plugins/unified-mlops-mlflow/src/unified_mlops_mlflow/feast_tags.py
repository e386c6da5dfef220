"""What Feast's MLflow integration writes on a run, and how much of it is to be believed.

Feast overwrites its tags at every retrieval, cuts the list of references at some 5,000 characters,
and guesses the service. It gives each retrieval a value of one metric, so their number and times
are known. Read from Feast 0.67.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unified_mlops.lineage import urn
from unified_mlops.records import Claim
from unified_mlops_mlflow import models

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REFERENCES_TAG = "feast.feature_refs"
METRIC = "feast.job_submission_sec"
KEPT = "feast_features.json"
"""The references that Feast kept with a model; a later retrieval does not overwrite them."""
CUT = "..."


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One retrieval: its references (`view:feature`), whether those are all, and when it was.

    The names of views and services are given with the project where the run knows it.
    """

    references: tuple[str, ...]
    whole: bool
    views: tuple[str, ...]
    at: float | None
    service: str = ""
    online: bool = False
    project: str = ""

    def named(self, kind: str, name: str) -> str:
        """The name by which Feast's collector knows a view or a service."""
        return f"{kind}:{self.project}/{name}" if self.project else f"{kind}:{name}"


def read(
    client: MlflowClient, run: Run, columns: Iterable[str], known: int = 0
) -> tuple[list[Retrieval], list[str]]:
    """The retrievals that can be known of a run, and what cannot.

    Args:
        client: of the run's store.
        run: any run.
        columns: those of the frames that the run was trained on: where the tag was cut, they may
            hold the rest.
        known: how many retrievals stand among the run's inputs by themselves.
    """
    tags = run.data.tags
    if REFERENCES_TAG not in tags:
        return [], []
    history = client.get_metric_history(run.info.run_id, METRIC)
    times = sorted(each.timestamp / 1000 for each in history) or [run.info.start_time / 1000]
    last = _last(tags, times[-1], columns)
    found = [last]
    unresolved: list[str] = []
    if known >= len(times):
        return found, unresolved  # `umlops run` kept every reference of every retrieval
    if not last.whole:
        count = tags.get("feast.feature_count", "?")
        told = f"{len(last.references)} of {count} feature references"
        unresolved.append(f"feast kept {told} of the run's retrieval: the rest is not known")
    if len(times) > 1:
        kept = _kept(client, run)
        if kept and not set(kept).issubset(last.references):
            found.insert(0, _retrieval(kept, times[0], last.project))
        told = f"the last of {len(times)} retrievals"
        unresolved.append(f"feast kept the references of {told}: the others are not known")
    return found, unresolved


def claims(retrieval: Retrieval, run: str) -> Iterator[Claim]:
    """What a retrieval says that the run read.

    Args:
        retrieval: one of `read`.
        run: the run's URN.
    """
    for view in retrieval.views:
        yield Claim(retrieval.named("feast", view), "INPUT", run, "feast-references", retrieval.at)
        if retrieval.online:
            name, rule = retrieval.named("feast-online", view), "materialisation-window"
            yield Claim(name, "INPUT", run, rule, retrieval.at)
    if retrieval.whole:
        name = urn.feature_set(retrieval.references)
        yield Claim(name, "INPUT", run, "service-by-features", retrieval.at)
    if retrieval.service:
        name = retrieval.named("feast-service", retrieval.service)
        yield Claim(name, "INPUT", run, "feast-service-tag", retrieval.at)


def column_claims(
    retrievals: Sequence[Retrieval], thing: str, columns: Iterable[str]
) -> Iterator[Claim]:
    """The features that columns are named after.

    Args:
        retrievals: those of `read`.
        thing: the URN that has the columns, such as a model's.
        columns: a feature's name, or `view__feature`; a name that two views share says nothing.
    """
    for retrieval in retrievals:
        meant: dict[str, set[str]] = {}
        for reference in retrieval.references:
            view, _, feature = reference.partition(":")
            for name in (feature, f"{view}__{feature}"):
                meant.setdefault(name, set()).add(reference)
        for name in columns:
            if len(references := meant.get(name, ())) == 1:
                view, _, feature = next(iter(references)).partition(":")
                column, rule = urn.column(thing, name), "signature-column"
                named = retrieval.named("feast", view)
                yield Claim(named, "DERIVES", column, rule, retrieval.at, feature)


def _last(tags: Mapping[str, str], at: float, columns: Iterable[str]) -> Retrieval:
    """The retrieval whose tags stand on the run."""
    references, cut = _split(tags[REFERENCES_TAG])
    views, views_cut = _split(tags.get("feast.feature_views", ""))
    if cut and not views_cut:
        entity, _ = _split(tags.get("feast.entity_df_columns", ""))
        rest = _references(views, [name for name in columns if name not in entity])
        count = int(tags.get("feast.feature_count") or 0)
        if len(rest) == count and rest.issuperset(references):
            references, cut = sorted(rest), False
    names = {*views, *(reference.partition(":")[0] for reference in references)}
    return Retrieval(
        references=tuple(references),
        whole=not cut,
        views=tuple(sorted(names)),
        at=at,
        service=tags.get("feast.feature_service", ""),
        online=tags.get("feast.retrieval_type") == "online",
        project=tags.get("feast.project", ""),
    )


def _split(text: str) -> tuple[list[str], bool]:
    """The items of a tag, without the half one at its end where it was cut."""
    cut = text.endswith(CUT)
    items = [item for item in text.split(",") if item]
    return (items[:-1] if cut else items), cut


def _references(views: Sequence[str], columns: Iterable[str]) -> set[str]:
    """The references that columns stand for, as far as one view only can be meant."""
    found = set()
    for name in columns:
        owners = [view for view in views if name.startswith(f"{view}__")]
        if len(owners) == 1:
            found.add(f"{owners[0]}:{name.removeprefix(owners[0] + '__')}")
        elif len(views) == 1:
            found.add(f"{views[0]}:{name}")
    return found


def _kept(client: MlflowClient, run: Run) -> list[str]:
    """The references that were kept with the run's model, if any."""
    if not any(each.path == KEPT for each in client.list_artifacts(run.info.run_id)):
        return []
    path = models.fetch(client, f"{str(run.info.artifact_uri).rstrip('/')}/{KEPT}")
    kept = json.loads(Path(path).read_text())
    return _split(",".join(kept))[0] if isinstance(kept, list) else []


def _retrieval(references: Sequence[str], at: float, project: str) -> Retrieval:
    views = {reference.partition(":")[0] for reference in references}
    return Retrieval(tuple(references), False, tuple(sorted(views)), at, project=project)
