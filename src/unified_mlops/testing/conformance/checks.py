"""What every answer of every hook must be, whatever the tool."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar, get_args

import pytest

from unified_mlops.errors import UnifiedMLOpsError
from unified_mlops.hookspecs import SPECS
from unified_mlops.lineage import urn
from unified_mlops.lineage.declare import edge_kind
from unified_mlops.records import (
    ARTIFACTS,
    CONTEXTS,
    EXECUTIONS,
    Edge,
    EdgeKind,
    Level,
    Observation,
    Record,
    Ref,
    ServerRecord,
)

KINDS = ARTIFACTS | EXECUTIONS | CONTEXTS
_NEEDS = "__needs__"

_Test = TypeVar("_Test", bound=Callable[..., object])


def needs(*hooks: str) -> Callable[[_Test], _Test]:
    """A test that reads back through other hooks: collected where these are overridden too.

    Args:
        hooks: their names, without `mlops_`.
    """

    def mark(test: _Test) -> _Test:
        setattr(test, _NEEDS, hooks)
        return test

    return mark


def hooks_of(name: str, test: Callable[..., object]) -> list[str]:
    """The hooks that a plugin must override for a test to be collected."""
    own = "mlops_" + name.removeprefix("test_").partition("__")[0]
    others = [f"mlops_{hook}" for hook in getattr(test, _NEEDS, ())]
    return [hook for hook in (own, *others) if hook in SPECS]


def overrides(plugin: type, hook: str) -> bool:
    """Whether a plugin class has an implementation of its own."""
    return getattr(plugin, hook, None) not in {None, SPECS[hook]}


@contextmanager
def refused(kind: type[UnifiedMLOpsError] = UnifiedMLOpsError) -> Iterator[None]:
    """Expect an error of ours: its class, a fact, and a hint what to do about it."""
    with pytest.raises(kind) as caught:
        yield
    error = caught.value
    assert error.fact, "it does not say what is wrong"
    assert error.hint, f"no hint what to do about: {error.fact!r}"


def check_record(record: object, kind: type[Record], noun: str) -> None:
    """See that a hook answered with a record as the contract has it.

    Args:
        record: the answer.
        kind: the class it must be of.
        noun: the kind its ref must have.
    """
    assert type(record) is kind
    assert isinstance(record, Record)
    check_ref(record.ref, noun)
    for edge in record.edges:
        check_edge(edge)
    for item in fields(record):
        value = getattr(record, item.name)
        if isinstance(value, datetime):
            assert value.tzinfo is not None, f"{item.name} has no time zone: {value}"
    if not isinstance(record, ServerRecord):
        assert pickle.loads(pickle.dumps(record)) == record, "does not survive a trip to a worker"


def check_ref(ref: Ref, noun: str) -> None:
    """See that a ref names its plugin, is of the kind, and has a canonical URN."""
    assert ref.plugin, f"{ref} names no plugin"
    assert ref.id, f"{ref} has no id"
    assert ref.kind == noun, f"{ref} should be of kind {noun!r}"
    check_uri(ref.uri)


def check_uri(uri: str) -> None:
    """See that a URN is in its canonical form."""
    assert ":" in uri, f"{uri!r} is no URN"
    assert urn.canonical(uri) == uri, f"{uri!r} is not canonical"


def check_edge(edge: Edge) -> None:
    """See that an edge joins two things in a way that there is."""
    assert edge.source and edge.target, f"an end is empty: {edge}"
    assert edge.source != edge.target, f"it joins a thing to itself: {edge}"
    assert edge.kind in get_args(EdgeKind), f"no such kind of edge: {edge}"
    assert edge.level in get_args(Level), f"no such level: {edge}"
    check_uri(edge.source)
    check_uri(edge.target)


def check_observation(observation: Observation, kinds: Mapping[str, str]) -> None:
    """See that what a collector found can stand in the graph.

    Args:
        observation: what one native record says.
        kinds: the kind of each node that is known, by URN.
    """
    assert observation.key, f"no key: {observation}"
    for node in observation.nodes:
        check_uri(node.uri)
        assert node.kind in KINDS, f"no such kind of node: {node}"
        assert node.name, f"no name: {node}"
        assert all(isinstance(value, float | int | str) for value in node.attributes.values())
    for edge in observation.edges:
        check_edge(edge)
        source, target = kinds.get(edge.source), kinds.get(edge.target)
        if source and target:
            assert edge.kind in _legal(source, target), f"no edge {source} -> {target}: {edge}"


_DEFINED = ("feature_view", "feature_service")
"""What a project defines anew under the same name: the thing, and its definitions."""


def _legal(source: str, target: str) -> set[str]:
    legal: set[str] = {edge_kind(source, target)}
    if target == "column" and source != "column":
        legal = {"FIELD"}
    versioned = {("registered_model", "model_version"), *((kind, kind) for kind in _DEFINED)}
    if (source, target) in versioned:
        legal.add("VERSION_OF")
    return legal


def names_of(records: Any) -> list[str]:
    """The names of records, in their order."""
    return [record.name for record in records]
