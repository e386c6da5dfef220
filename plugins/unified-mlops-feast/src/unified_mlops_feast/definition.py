"""What a view or a service means, and the version that its meaning has.

A version is a hash over an allow-list. Descriptions, tags, owners and times are not in it, nor is
what Feast writes or drops when nothing was changed, nor a function's pickled body, which holds file
names and line numbers: its source text is.
"""

from __future__ import annotations

import ast
import hashlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unified_mlops_feast.names import Names, digest

_NO_ENTITY = "__dummy_id"  # the join key that Feast gives to a view without entities


@dataclass(frozen=True)
class View:
    """A feature view of any kind, as the registry defines it.

    Args:
        name: unique in its project.
        keys: the join keys that a caller must give.
        features: Feast's value type of each feature, in definition order.
        message: the registry's own message.
        source: the batch source's message; None for an on-demand view.
        stream: the stream source's message, where there is one.
        inputs: the features that it is computed from, by the view they belong to.
        renamed: the join keys of those views that have another name here.
        requests: the request sources of an on-demand view.
        shape: the hash of what makes a version in Feast's own history.
        setting: the hash of what Feast changes without a version: sources, time to live.
        parents: the version of each view of `inputs`.
    """

    name: str
    keys: tuple[str, ...]
    features: Mapping[str, int]
    message: Any
    source: Any = None
    stream: Any = None
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    requests: tuple[Any, ...] = ()
    shape: str = ""
    setting: str = ""
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that a caller must give: join keys, then request data."""
        asked = (item.name for source in self.requests for item in request_columns(source))
        return tuple(dict.fromkeys((*self.keys, *asked)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Join keys, then features."""
        return (*self.keys, *self.features)

    @property
    def computed(self) -> bool:
        """Whether a function or another view stands between the source and the features."""
        return bool(self.inputs) or bool(_transformation(self.message.spec))

    @property
    def version(self) -> str:
        """The hash of what it means, and of what the views that it reads mean."""
        return digest(self.shape, self.setting, dict(self.parents))


@dataclass(frozen=True)
class Projection:
    """The features that a service takes from one view, under the name that it gives the view."""

    view: str
    alias: str
    features: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    pinned: int | None

    @property
    def references(self) -> tuple[str, ...]:
        """How Feast writes these features in references."""
        pinned = "" if self.pinned is None else f"@v{self.pinned}"
        return tuple(f"{self.alias}{pinned}:{name}" for name in self.features)


@dataclass(frozen=True)
class Service:
    """A feature service: projections of views, and the version of each view."""

    name: str
    projections: tuple[Projection, ...]
    message: Any
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The views that follow the live definition."""
        return tuple(dict.fromkeys(p.view for p in self.projections if p.pinned is None))

    @property
    def references(self) -> tuple[str, ...]:
        """Its features as Feast writes them on a run."""
        return tuple(sorted({ref for part in self.projections for ref in part.references}))

    @property
    def version(self) -> str:
        """The hash of what it takes, and of what the views mean."""
        parts = [[p.view, p.alias, p.features, p.keys, p.pinned] for p in self.projections]
        return digest(sorted(parts, key=repr), dict(self.parents))


def request_columns(source: Any) -> Any:
    """The schema of a request source."""
    return source.request_data_options.schema


def views_of(registry: Any, names: Names) -> dict[str, View]:
    """The views of a project by name, from a registry message, as they are now."""
    views: dict[str, View] = {}
    messages = (*registry.feature_views, *registry.stream_feature_views)
    for message in (*messages, *registry.on_demand_feature_views):
        if message.spec.project == names.project:
            views[message.spec.name] = view_of(message, views, names)
    return {name: bound(views[name], views) for name in sorted(views)}


def services_of(registry: Any, names: Names) -> dict[str, Service]:
    """The feature services of a project by name, not yet bound to their views."""
    found = (_service(message) for message in registry.feature_services)
    mine = (each for each in found if each.message.spec.project == names.project)
    return {service.name: service for service in sorted(mine, key=lambda each: each.name)}


def view_of(message: Any, views: Mapping[str, View], names: Names) -> View:
    """A view of any kind; `views` tell an on-demand view the join keys that it needs."""
    spec = message.spec
    made = _on_demand(message, views) if hasattr(spec, "sources") else _sourced(message)
    shape = digest(
        sorted((column.name, column.value_type) for column in spec.entity_columns),
        sorted(made.features.items()),
        _transformation(spec),
        {name: sorted(features) for name, features in made.inputs.items()},
        {name: dict(keys) for name, keys in made.renamed.items() if keys},
        sorted((item.name, item.value_type) for s in made.requests for item in request_columns(s)),
        sorted(_aggregation(each) for each in getattr(spec, "aggregations", ())),
        spec.mode if made.computed else "",
    )
    ttl = spec.ttl.ToJsonString() if hasattr(spec, "ttl") else ""
    sources = [_source(each, names) for each in (made.source, made.stream) if each is not None]
    setting = digest(sources, ttl, getattr(spec, "timestamp_field", ""))
    return replace(made, shape=shape, setting=setting)


def bound(view: View, views: Mapping[str, View]) -> View:
    """The view with the versions of the views that it reads, and of those that they read."""
    parents = {name: bound(views[name], views).version for name in view.inputs if name in views}
    return replace(view, parents=parents)


def aggregated(view: View) -> dict[str, str]:
    """The column that each feature of a stream view aggregates, by Feast's names for them."""
    columns = {}
    for each in getattr(view.message.spec, "aggregations", ()):
        seconds = each.time_window.ToSeconds()
        plain = f"{each.function}_{each.column}"
        columns[each.name or (f"{plain}_{seconds}s" if seconds else plain)] = each.column
    return columns


def _sourced(message: Any) -> View:
    spec = message.spec
    return View(
        name=spec.name,
        keys=tuple(key.name for key in spec.entity_columns if key.name != _NO_ENTITY),
        features={feature.name: feature.value_type for feature in spec.features},
        message=message,
        source=spec.batch_source if spec.HasField("batch_source") else None,
        stream=spec.stream_source if spec.HasField("stream_source") else None,
        inputs={
            parent.name: tuple(feature.name for feature in parent.features)
            for parent in getattr(spec, "source_views", ())
        },
    )


def _on_demand(message: Any, views: Mapping[str, View]) -> View:
    spec = message.spec
    keys: dict[str, None] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    renamed: dict[str, Mapping[str, str]] = {}
    requests = []
    for _, source in sorted(spec.sources.items()):
        kind = source.WhichOneof("source")
        if kind == "request_data_source":
            requests.append(source.request_data_source)
            continue
        name, renamed[name], inputs[name] = _input(source, kind)
        parent = views[name].keys if name in views else ()
        keys.update(dict.fromkeys(renamed[name].get(key, key) for key in parent))
    return View(
        name=spec.name,
        keys=tuple(keys),
        features={feature.name: feature.value_type for feature in spec.features},
        message=message,
        inputs=inputs,
        renamed=renamed,
        requests=tuple(requests),
    )


def _input(source: Any, kind: str) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    """The name, renamed join keys and features of a view that an on-demand view reads."""
    if kind == "feature_view":
        spec = source.feature_view.spec
        return spec.name, {}, tuple(feature.name for feature in spec.features)
    projection = source.feature_view_projection
    features = tuple(feature.name for feature in projection.feature_columns)
    return projection.feature_view_name, projection.join_key_map, features


def _service(message: Any) -> Service:
    projections = tuple(
        Projection(
            view=each.feature_view_name,
            alias=each.feature_view_name_alias or each.feature_view_name,
            features=tuple(column.name for column in each.feature_columns),
            keys=tuple(sorted(each.join_key_map.items())),
            pinned=each.version_tag if each.HasField("version_tag") else None,
        )
        for each in message.spec.features
    )
    return Service(message.spec.name, projections, message)


def _source(source: Any, names: Names) -> list[Any]:
    """What a view's source means; Feast drops its class where nothing changed."""
    batch = [source.batch_source] if source.HasField("batch_source") else []
    return [
        names.source(source),
        source.timestamp_field,
        source.created_timestamp_column,
        source.date_partition_column,
        dict(source.field_mapping),
        [_source(each, names) for each in batch],
    ]


def _aggregation(each: Any) -> list[Any]:
    windows = [window.ToJsonString() for window in (each.time_window, each.slide_interval)]
    return [each.column, each.function, *windows, each.name]


def _transformation(spec: Any) -> str:
    """The source text of a view's function, or the hash of its plan; empty where it has none."""
    made = spec.feature_transformation
    if made.WhichOneof("transformation") == "substrait_transformation":
        return hashlib.sha256(made.substrait_transformation.substrait_plan).hexdigest()
    function = made.user_defined_function
    if not function.body_text and hasattr(spec, "user_defined_function"):
        function = spec.user_defined_function  # where registries of older versions have it
    return _undecorated(function.body_text) or function.name


def _undecorated(text: str) -> str:
    """A function's text from its `def` on: a decorator holds descriptions and tags."""
    text = textwrap.dedent(text)
    try:
        first = ast.parse(text).body[0]
    except (SyntaxError, IndexError):
        return text.strip()
    function = isinstance(first, ast.FunctionDef | ast.AsyncFunctionDef)
    return "\n".join(text.splitlines()[first.lineno - 1 if function else 0 :]).strip()
