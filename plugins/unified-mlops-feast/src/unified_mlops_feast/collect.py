"""Lineage as Feast's registry tells it: sources, views, services, and what was materialised.

Only what a definition means is told: no times of change, which move at every `feast apply`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import timezone
from typing import Any

from unified_mlops.lineage import urn
from unified_mlops.records import Collection, Edge, Node, Observation, Scalar
from unified_mlops_feast.convert import Names, View, request_columns, source_path
from unified_mlops_feast.repo import Opened


def collect(opened: Opened, cursor: str | None) -> Collection:
    """What the registry says, or nothing where it says what it said at the cursor."""
    names, registry = opened.names, opened.store.registry.proto()
    found = [
        Observation("project", (Node(names.root, "project", names.project),), ()),
        *(_source(source, names) for source in _mine(registry.data_sources, names)),
        *(_view(view, names) for view in opened.views.values()),
        *(_service(m.spec, names) for m in registry.feature_services if _own(m.spec, names)),
        *(item for view in opened.views.values() for item in _materializations(view, names)),
    ]
    found.sort(key=lambda observation: observation.key)
    content = hashlib.sha256(repr((names, found)).encode()).hexdigest()
    return Collection(() if content == cursor else tuple(found), content)


def _source(source: Any, names: Names) -> Observation:
    nodes = [_source_node(source, names)]
    columns = [source.timestamp_field, source.created_timestamp_column]
    if source.HasField("request_data_options"):
        columns = [column.name for column in request_columns(source)]
    mapped = {new: old for old, new in source.field_mapping.items()}
    edges: list[Edge] = []
    for column in (mapped.get(name, name) for name in columns if name):
        nodes.append(_column(nodes[0].uri, column))
        edges.append(Edge(nodes[0].uri, "FIELD", nodes[-1].uri))
    return Observation(f"dataSource/{source.name}", tuple(nodes), tuple(edges))


def _view(view: View, names: Names) -> Observation:
    """A view, its columns, and where each comes from."""
    uri = names.view(view.name)
    nodes = [Node(uri, "feature_view", view.name, _attributes(view))]
    nodes += [_column(uri, name) for name in (*view.keys, *view.features)]
    edges = [Edge(uri, "FIELD", node.uri) for node in nodes[1:]]
    if view.source is not None:
        more = _source_edges(view, uri, names)
        nodes += more[0]
        edges += more[1]
    edges += [Edge(names.view(parent), "DERIVES", uri) for parent in view.inputs]
    for request in view.requests:
        nodes.append(_source_node(request, names))
        edges.append(Edge(nodes[-1].uri, "DERIVES", uri))
    return Observation(f"featureView/{view.name}", tuple(nodes), tuple(edges))


def _source_edges(view: View, uri: str, names: Names) -> tuple[list[Node], list[Edge]]:
    """From the source's own columns, by their names before the field mapping."""
    source = _source_node(view.source, names)
    mapped = {new: old for old, new in view.source.field_mapping.items()}
    nodes, edges = [source], [Edge(source.uri, "DERIVES", uri)]
    computed = bool(view.inputs) or view.message.spec.HasField("feature_transformation")
    for name in view.keys if computed else (*view.keys, *view.features):
        column = _column(source.uri, mapped.get(name, name))
        nodes.append(column)
        edges.append(Edge(source.uri, "FIELD", column.uri))
        edges.append(Edge(column.uri, "DERIVES", urn.column(uri, name)))
    return nodes, edges


def _service(spec: Any, names: Names) -> Observation:
    uri = names.service(spec.name)
    asked = {p.feature_view_name: [c.name for c in p.feature_columns] for p in spec.features}
    features = ",".join(f"{view}:{name}" for view, columns in asked.items() for name in columns)
    attributes = _given(features=features, description=spec.description)
    edges = tuple(Edge(names.view(view), "DERIVES", uri) for view in sorted(asked))
    node = Node(uri, "feature_service", spec.name, attributes)
    return Observation(f"featureService/{spec.name}", (node,), edges)


def _materializations(view: View, names: Names) -> Iterator[Observation]:
    for interval in getattr(view.message.meta, "materialization_intervals", ()):
        start, end = (
            moment.ToDatetime(tzinfo=timezone.utc)
            for moment in (interval.start_time, interval.end_time)
        )
        uri = names.materialization(view.name, start, end)
        attributes = _given(start=start.isoformat(), end=end.isoformat())
        node = Node(uri, "materialization", view.name, attributes)
        edge = Edge(names.view(view.name), "INPUT", uri)
        yield Observation(uri.removeprefix(f"{names.root}/"), (node,), (edge,))


def _attributes(view: View) -> dict[str, Scalar]:
    spec = view.message.spec
    ttl = spec.ttl.ToSeconds() if hasattr(spec, "ttl") else 0
    return _given(
        entities=",".join(view.keys), ttl=ttl, description=spec.description, owner=spec.owner
    )


def _source_node(source: Any, names: Names) -> Node:
    uri = names.source(source)
    name = uri.rstrip("/").rpartition("/")[2] if source_path(source) else source.name
    return Node(uri, "dataset", name)


def _column(dataset: str, name: str) -> Node:
    return Node(urn.column(dataset, name), "column", name)


def _given(**attributes: Scalar) -> dict[str, Scalar]:
    """Attributes that say something."""
    return {name: value for name, value in attributes.items() if value}


def _own(spec: Any, names: Names) -> bool:
    return bool(spec.project == names.project)


def _mine(messages: Iterable[Any], names: Names) -> list[Any]:
    return [message for message in messages if _own(message, names)]
