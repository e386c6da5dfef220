"""When a name meant which definition, as far as the registry tells.

Feast keeps a version for each change of schema or function, with its time. Sources and times to
live it overwrites, and moves one time of last change that other writes move as well: so of such a
change only a window is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from unified_mlops_feast.definition import Service, View, services_of, view_of, views_of
from unified_mlops_feast.names import Names

Thing = TypeVar("Thing", bound="View | Service")
_INSTANT = 0.001  # within one `feast apply`


@dataclass(frozen=True)
class Span(Generic[Thing]):
    """A definition, live until the next one is.

    Args:
        thing: the definition.
        since: when it is first known to have been live.
        after: the last moment at which it is known that it was not yet; None: `since` is exact.
    """

    thing: Thing
    since: float
    after: float | None = None


@dataclass(frozen=True)
class History:
    """The views and services of a project over time, and Feast's numbered versions of views."""

    views: Mapping[str, Sequence[Span[View]]]
    services: Mapping[str, Sequence[Span[Service]]]
    versions: Mapping[str, Span[View]]


def history_of(registry: Any, names: Names) -> History:
    """What the registry tells of the past of each view and service."""
    views, records = views_of(registry, names), _records(registry, names)
    own = {name: _own(view, records.get(name, ()), views, names) for name, view in views.items()}
    spans: dict[str, Sequence[Span[View]]] = {}
    for name in own:
        _fill(spans, name, own)
    versions = {
        f"{name}@v{number}": Span(_bound_view(view, _parents(view, spans, since)), since)
        for name, found in records.items()
        if name in views
        for number, view, since in (
            (n, view_of(m, views, names), _known(m, t)) for n, m, t in found
        )
    }
    services = {
        name: _composed([_pinned(service, versions)], spans, _bound_service)
        for name, service in services_of(registry, names).items()
    }
    return History(spans, services, versions)


def at(spans: Sequence[Span[Thing]], moment: float) -> Span[Thing]:
    """The span that holds at a moment; the first one, where none had begun."""
    return next((span for span in reversed(spans) if span.since <= moment), spans[0])


def seconds(stamp: Any) -> float:
    """A protobuf timestamp as seconds since the epoch."""
    return float(stamp.seconds + stamp.nanos / 1e9)


def _own(
    view: View, records: Sequence[tuple[int, Any, float]], views: Mapping[str, View], names: Names
) -> list[Span[View]]:
    """The spans of a view by its own definition, whatever the views that it reads meant."""
    found = [(view_of(message, views, names), message, time) for _, message, time in records]
    same = [n for n, (old, _, _) in enumerate(found) if old.shape == view.shape]
    if same and view.message.spec.version in {"", "latest"}:
        found = found[: same[-1] + 1]  # versions after it were kept aside, and never live
    spans: list[Span[View]] = []
    known = 0.0  # when the last definition is last known to have been live
    for old, message, time in (*found, (view, view.message, 0.0)):
        since = max(_known(message, time), known)
        last = spans[-1].thing if spans else None
        if last is None:
            created = seconds(message.meta.created_timestamp)
            doubt = created if 0 < created < since - _INSTANT else None
            spans.append(Span(old, since, doubt))
        elif (last.shape, last.setting) != (old.shape, old.setting):
            exact = last.setting == old.setting and message is not view.message
            spans.append(Span(old, since, None if exact else known))
        elif message is view.message:
            spans[-1] = replace(spans[-1], thing=view)  # as it is written now
        known = since if message is not view.message else known
    return spans


def _known(message: Any, otherwise: float) -> float:
    """When this message was written."""
    return seconds(message.meta.last_updated_timestamp) or otherwise


def _fill(
    spans: dict[str, Sequence[Span[View]]], name: str, own: Mapping[str, Sequence[Span[View]]]
) -> None:
    """Add a view's spans, after those of the views that it reads."""
    if name in own and name not in spans:
        for parent in {parent for span in own[name] for parent in span.thing.inputs}:
            _fill(spans, parent, own)
        spans[name] = _composed(own[name], spans, _bound_view)


def _composed(
    own: Sequence[Span[Thing]],
    views: Mapping[str, Sequence[Span[View]]],
    bind: Callable[[Thing, Mapping[str, str]], Thing],
) -> list[Span[Thing]]:
    """The spans of a thing whose meaning changes with its own definition and with its views'."""
    inputs = {name for span in own for name in span.thing.inputs if name in views}
    moving: list[Span[Any]] = [*own, *(span for name in inputs for span in views[name])]
    made: list[Span[Thing]] = []
    for moment in sorted({max(span.since, own[0].since) for span in moving}):
        thing = at(own, moment).thing
        thing = bind(thing, _parents(thing, views, moment))
        doubts = [span.after for span in moving if span.since == moment and span.after is not None]
        if not made or made[-1].thing.version != thing.version:
            made.append(Span(thing, moment, min(doubts, default=None)))
    return made


def _parents(
    thing: View | Service, views: Mapping[str, Sequence[Span[View]]], moment: float
) -> dict[str, str]:
    return {name: at(views[name], moment).thing.version for name in thing.inputs if name in views}


def _bound_view(view: View, parents: Mapping[str, str]) -> View:
    return replace(view, parents=parents)


def _bound_service(service: Service, parents: Mapping[str, str]) -> Service:
    return replace(service, parents={**service.parents, **parents})


def _pinned(service: Service, versions: Mapping[str, Span[View]]) -> Span[Service]:
    """A service as it is now, bound to the numbered versions that it asks for."""
    asked = (f"{p.view}@v{p.pinned}" for p in service.projections if p.pinned is not None)
    parents = {name: versions[name].thing.version for name in asked if name in versions}
    meta = service.message.meta
    created, since = seconds(meta.created_timestamp), seconds(meta.last_updated_timestamp)
    doubt = created if 0 < created < since - _INSTANT else None
    return Span(replace(service, parents=parents), since, doubt)


def _records(registry: Any, names: Names) -> dict[str, list[tuple[int, Any, float]]]:
    """Feast's versions of each view in order: number, message, and when it was written."""
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView
    from feast.protos.feast.core.OnDemandFeatureView_pb2 import OnDemandFeatureView
    from feast.protos.feast.core.StreamFeatureView_pb2 import StreamFeatureView

    kinds: dict[str, Any] = {
        "feature_view": FeatureView,
        "stream_feature_view": StreamFeatureView,
        "on_demand_feature_view": OnDemandFeatureView,
    }
    found: dict[str, list[tuple[int, Any, float]]] = {}
    for record in registry.feature_view_version_history.records:
        kind = kinds.get(record.feature_view_type)
        if kind and record.project_id == names.project:
            message = kind.FromString(record.feature_view_proto)
            version = (record.version_number, message, seconds(record.created_timestamp))
            found.setdefault(record.feature_view_name, []).append(version)
    return {name: sorted(each, key=lambda version: version[0]) for name, each in found.items()}
