"""The nodes and edges of one source, view, service or definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unified_mlops.lineage import urn
from unified_mlops.records import Edge, Node, Observation, Scalar
from unified_mlops_feast.definition import Service, View, aggregated, request_columns
from unified_mlops_feast.names import Names, is_given, source_path
from unified_mlops_feast.timeline import Span, seconds


def data_source(source: Any, names: Names) -> Observation:
    """A source, and the columns that its own definition names."""
    node = _source_node(source, names)
    fields = _own_columns(source, node.uri)
    edges = tuple(Edge(node.uri, "FIELD", column.uri) for column in fields)
    found = is_given(source) or names.place(source)
    unknown = () if found else (f"the tables of data source {source.name!r}",)
    return Observation(f"{names.root}/dataSource/{source.name}", (node, *fields), edges, unknown)


def view(found: View, names: Names) -> Observation:
    """The view that people name, whatever it means now."""
    spec, meta, uri = found.message.spec, found.message.meta, names.view(found.name)
    attributes = given(entities=",".join(found.keys), owner=urn.without_secrets(spec.owner))
    node = Node(
        uri, "feature_view", found.name, attributes, seconds(meta.created_timestamp) or None
    )
    changed = seconds(meta.last_updated_timestamp) or None
    return Observation(uri, (node,), (Edge(names.root, "PARENT_OF", uri),), time=changed)


def definition(span: Span[View], known: Mapping[str, Span[View]], names: Names) -> Observation:
    """One definition of a view: its columns, and where each comes from."""
    found = span.thing
    uri, spec = names.view(found.name, found.version), found.message.spec
    ttl = spec.ttl.ToSeconds() if hasattr(spec, "ttl") else 0
    inputs = ",".join(f"{name}:{each}" for name, own in found.inputs.items() for each in own)
    attributes = given(entities=",".join(found.keys), ttl=ttl, inputs=inputs)
    nodes = [Node(uri, "feature_view", found.name, attributes, _time(span))]
    nodes += [_column(uri, name) for name in found.columns]
    edges = [Edge(names.view(found.name), "VERSION_OF", uri)]
    edges += [Edge(uri, "FIELD", node.uri) for node in nodes[1:]]
    for source in (found.source, found.stream, *found.requests):
        if source is not None:
            more = _source_edges(source, found, uri, names)
            nodes += more[0]
            edges += more[1]
    edges += _parent_edges(found, uri, known, names)
    gone = tuple(f"feature view {name!r}" for name in found.inputs if name not in found.parents)
    distinct = {node.uri: node for node in nodes}
    return Observation(uri, tuple(distinct.values()), tuple(dict.fromkeys(edges)), gone)


def service(found: Service, names: Names) -> Observation:
    """The service that people name, whatever it means now."""
    spec, meta, uri = found.message.spec, found.message.meta, names.service(found.name)
    attributes = given(owner=urn.without_secrets(spec.owner))
    created = seconds(meta.created_timestamp) or None
    node = Node(uri, "feature_service", found.name, attributes, created)
    changed = seconds(meta.last_updated_timestamp) or None
    return Observation(uri, (node,), (Edge(names.root, "PARENT_OF", uri),), time=changed)


def service_definition(span: Span[Service], names: Names) -> Observation:
    """One definition of a service: exactly the features that it takes of each view."""
    found = span.thing
    uri = names.service(found.name, found.version)
    attributes = given(features=",".join(found.references))
    nodes = [Node(uri, "feature_service", found.name, attributes, _time(span))]
    nodes += [_column(uri, reference) for reference in found.references]
    edges = [Edge(names.service(found.name), "VERSION_OF", uri)]
    edges += [Edge(uri, "FIELD", node.uri) for node in nodes[1:]]
    gone = []
    for part in found.projections:
        asked = part.view if part.pinned is None else f"{part.view}@v{part.pinned}"
        if asked not in found.parents:
            gone.append(f"feature view {asked!r}")
            continue
        parent = names.view(part.view, found.parents[asked])
        edges.append(Edge(parent, "DERIVES", uri))
        for name, reference in zip(part.features, part.references, strict=True):
            made = urn.column(uri, reference)
            edges.append(Edge(urn.column(parent, name), "DERIVES", made))
    return Observation(uri, tuple(nodes), tuple(dict.fromkeys(edges)), tuple(gone))


def given(**attributes: Scalar) -> dict[str, Scalar]:
    """Attributes that say something."""
    return {name: value for name, value in attributes.items() if value}


def _source_edges(
    source: Any, found: View, uri: str, names: Names
) -> tuple[list[Node], list[Edge]]:
    """From the source's own columns, by their names before the field mapping."""
    node = _source_node(source, names)
    own = [] if is_given(source) else _own_columns(source, node.uri)
    nodes, edges = [node, *own], [Edge(node.uri, "DERIVES", uri)]
    edges += [Edge(node.uri, "FIELD", column.uri) for column in own]
    mapped = {new: old for old, new in source.field_mapping.items()}
    for name, read in _read(source, found):
        column = _column(node.uri, mapped.get(read, read))
        nodes.append(column)
        edges.append(Edge(node.uri, "FIELD", column.uri))
        edges.append(Edge(column.uri, "DERIVES", urn.column(uri, name)))
    return nodes, edges


def _own_columns(source: Any, uri: str) -> list[Node]:
    """The columns that a source's own definition names, as they are called before its mapping."""
    columns = [source.timestamp_field, source.created_timestamp_column]
    if source.HasField("request_data_options"):
        columns = [column.name for column in request_columns(source)]
    mapped = {new: old for old, new in source.field_mapping.items()}
    return [_column(uri, mapped.get(name, name)) for name in columns if name]


def _read(source: Any, found: View) -> Iterator[tuple[str, str]]:
    """Each column of a view with the one that it is read from, where that is certain.

    What a function computes cannot be told apart; what is pushed or asked for is given by name.
    """
    if is_given(source):
        return
    yield from ((key, key) for key in found.keys)
    if not found.computed:
        columns = aggregated(found) or {name: name for name in found.features}
        yield from ((name, columns[name]) for name in found.features if name in columns)


def _parent_edges(
    found: View, uri: str, known: Mapping[str, Span[View]], names: Names
) -> Iterator[Edge]:
    """From the definitions that it reads; their join keys are carried through."""
    for name, version in found.parents.items():
        parent = names.view(name, version)
        yield Edge(parent, "DERIVES", uri)
        for key in known[parent].thing.keys if parent in known else ():
            own = found.renamed.get(name, {}).get(key, key)
            if own in found.keys:
                yield Edge(urn.column(parent, key), "DERIVES", urn.column(uri, own))


def _time(span: Span[Any]) -> float | None:
    return span.since if span.after is None else None


def _source_node(source: Any, names: Names) -> Node:
    uri = names.source(source)
    name = uri.rstrip("/").rpartition("/")[2] if source_path(source) else source.name
    return Node(uri, "dataset", name)


def _column(dataset: str, name: str) -> Node:
    return Node(urn.column(dataset, name), "column", name)
