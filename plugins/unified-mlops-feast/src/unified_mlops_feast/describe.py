"""What a registry holds: its things, the names that they have, what was copied online."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timezone
from itertools import chain
from typing import Any

from unified_mlops.records import Edge, Level, Node, Observation
from unified_mlops_feast import draw
from unified_mlops_feast.definition import Service, View
from unified_mlops_feast.meaning import Meaning, Meant
from unified_mlops_feast.names import Names, fingerprint
from unified_mlops_feast.timeline import History, Span, seconds


def things(registry: Any, history: History, names: Names) -> Iterator[Observation]:
    """The project, its sources, its views and services, and every known definition of those."""
    yield Observation(names.root, (Node(names.root, "project", names.project),))
    for source in registry.data_sources:
        if source.project == names.project:
            yield draw.data_source(source, names)
    known: dict[str, Span[View]] = {}
    for span in (*history.versions.values(), *chain(*history.views.values())):
        known.setdefault(names.view(span.thing.name, span.thing.version), span)
    yield from (draw.view(spans[-1].thing, names) for spans in history.views.values())
    yield from (draw.definition(span, known, names) for span in known.values())
    for spans in history.services.values():
        yield draw.service(spans[-1].thing, names)
        made = {
            span.thing.version: draw.service_definition(span, names) for span in reversed(spans)
        }
        yield from made.values()


def meanings(history: History, names: Names) -> Iterator[Meaning]:
    """The names by which other tools' records speak of views, services and their features."""
    for name, views in history.views.items():
        live = tuple(_meant_view(span, names) for span in views)
        yield from _called("feast", name, live, names)
        yield Meaning(names.root, names.view(name), live)
        if copies := _intervals(views[-1].thing.message):
            copied = _meant_copy(views[-1], names.materialization(name, *copies[-1]))
            yield from _called("feast-online", name, (copied,), names)
    for name, version in history.versions.items():
        yield from _called("feast", name, (_meant_view(version, names),), names)
    yield from _renamed(history, names)
    asked = Counter(spans[-1].thing.references for spans in history.services.values())
    for name, services in history.services.items():
        meant = tuple(_meant_service(span, names) for span in services)
        yield from _called("feast-service", name, meant, names)
        yield Meaning(names.root, names.service(name), meant)
        refs = services[-1].thing.references
        scope = names.root if asked[refs] == 1 else names.service(name)  # several: ambiguous
        yield Meaning(scope, f"feast-features:{fingerprint(refs)}", meant)


def _called(kind: str, name: str, meant: Sequence[Meant], names: Names) -> Iterator[Meaning]:
    """The names of a thing: alone, and with its project, which some records know."""
    for shown in (name, f"{names.project}/{name}"):
        yield Meaning(names.root, f"{kind}:{shown}", tuple(meant))


def _meant_view(span: Span[View], names: Names) -> Meant:
    view = span.thing
    return Meant(names.view(view.name, view.version), span.since, span.after, view.columns)


def _meant_copy(live: Span[View], uri: str) -> Meant:
    """Feast writes down a copy when it is made; a change of the definition may have come later."""
    meta = live.thing.message.meta
    since = seconds(meta.last_updated_timestamp)
    sure = live.since < since
    return Meant(uri, since, None if sure else seconds(meta.created_timestamp), sure=sure)


def _meant_service(span: Span[Service], names: Names) -> Meant:
    made = span.thing
    return Meant(names.service(made.name, made.version), span.since, span.after, made.references)


def _renamed(history: History, names: Names) -> Iterator[Meaning]:
    """The names that services give to views, where they agree on one and no view has it."""
    views: dict[str, set[str]] = {}
    for services in history.services.values():
        for part in services[-1].thing.projections:
            views.setdefault(part.alias, set()).add(part.view)
    for alias, (view, *others) in views.items():
        if not others and alias not in history.views and view in history.views:
            spans = tuple(_meant_view(span, names) for span in history.views[view])
            yield from _called("feast", alias, spans, names)


def materializations(
    history: History, names: Names, meant: Mapping[str, str], looked: float | None, now: float
) -> Iterator[Observation]:
    """Each copy to the online store, from the definitions that may have been live when it ran.

    Args:
        history: what is known of the views.
        names: their URNs.
        meant: what their names meant when we last looked; copies seen then are told already.
        looked: when that was.
        now: when the registry was read.
    """
    versions: dict[str, list[Span[View]]] = defaultdict(list)
    for version in history.versions.values():
        versions[version.thing.name].append(version)
    for name, known in history.views.items():
        then = meant.get(f"{names.root} feast:{name}")
        same = (n for n, s in enumerate(known) if names.view(name, s.thing.version) == then)
        spans = known[max(same, default=0) :]
        moments = _known_intervals(versions[name], spans[-1].thing, now)
        for interval, (lower, upper) in _windows(moments, looked or 0.0).items():
            live = [names.view(name, version) for version in _live(spans, lower, upper)]
            yield _copy(names.materialization(name, *interval), name, interval, live)


def _copy(uri: str, view: str, interval: tuple[Any, Any], live: Sequence[str]) -> Observation:
    start, end = (moment.isoformat() for moment in interval)
    level: Level = "recorded" if len(live) == 1 else "inferred"
    edges = tuple(Edge(each, "INPUT", uri, level, "materialisation-window") for each in live)
    node = Node(uri, "materialization", view, draw.given(start=start, end=end))
    return Observation(uri, (node,), edges)


def _windows(
    moments: Iterable[tuple[float, Sequence[Any]]], before: float
) -> dict[Any, tuple[float, float]]:
    """For each copy, the moments between which it was made."""
    windows: dict[Any, tuple[float, float]] = {}
    for upper, intervals in moments:
        for interval in intervals:
            windows.setdefault(interval, (before, upper))
        before = max(before, upper)
    return windows


def _known_intervals(
    versions: Sequence[Span[View]], live: View, now: float
) -> Iterator[tuple[float, Sequence[Any]]]:
    """The copies that had been made by a moment, as versions and the live definition hold them."""
    yield from ((version.since, _intervals(version.thing.message)) for version in versions)
    yield now, _intervals(live.message)


def _live(spans: Sequence[Span[View]], lower: float, upper: float) -> Iterator[str]:
    """The versions that may have been live at some moment in [lower, upper]."""
    ends = [*(span.since for span in spans[1:]), float("inf")]
    for span, end in zip(spans, ends, strict=True):
        begin = span.since if span.after is None else span.after
        if end > lower and (begin < upper or span is spans[0]):
            yield span.thing.version


def _intervals(message: Any) -> list[tuple[Any, Any]]:
    return [
        (
            each.start_time.ToDatetime(tzinfo=timezone.utc),
            each.end_time.ToDatetime(tzinfo=timezone.utc),
        )
        for each in getattr(message.meta, "materialization_intervals", ())
    ]
