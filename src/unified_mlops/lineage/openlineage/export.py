"""The graph as OpenLineage events.

An execution becomes a run, an artifact a dataset. OpenLineage's consumers join by job, so that each
execution is a job of its own: runs of one job would mix what they read with what the others wrote.
What was derived without any execution becomes a job that is nothing but that derivation.
`VERSION_OF` has no word in OpenLineage, and a guess none that says that it is one: both stay here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from unified_mlops.errors import UnsupportedError
from unified_mlops.lineage.openlineage.told import Told
from unified_mlops.records import Edge, Node

if TYPE_CHECKING:
    from openlineage.client.event_v2 import DatasetEvent, RunEvent


def events(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> Iterator[RunEvent | DatasetEvent]:
    """Everything there is to tell, in a stable order, with ids that are the same every time.

    Args:
        nodes: the nodes of the graph by URN.
        edges: its edges.

    Raises:
        UnsupportedError: `openlineage-python` is not installed.
    """
    try:
        from unified_mlops.lineage.openlineage.facets import (
            dataset_event,
            derivation_event,
            run_event,
        )
    except ImportError as error:
        raise UnsupportedError(
            "OpenLineage events need the package openlineage-python, 1.54 or newer",
            hint='pip install "openlineage-python>=1.54"',
        ) from error
    told = Told(nodes, edges)
    for uri in told.in_order(told.runs):
        yield run_event(told, uri)
    for uri in told.in_order(told.derived):
        yield derivation_event(told, uri)
    for uri in told.in_order(told.alone()):
        yield dataset_event(told, uri)
