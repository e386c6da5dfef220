"""The lineage of one run of a KFP server, from what its API tells of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from unified_mlops.records import Alias, Edge, Node, Observation, PipelineRecord
from unified_mlops_kfp.definitions import RULE, Found, Join, Place, kind_of, titles
from unified_mlops_kfp.shown import shown

_RAN = {"SUCCEEDED", "RUNNING", "FAILED"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")


class ServerRun:
    """A run of the server, and its tasks by name where the name tells them apart."""

    def __init__(
        self, server: str, key: str, run: Mapping[str, Any], definition: PipelineRecord | None
    ) -> None:
        self._server = server
        self._run = run
        self._definition = definition
        self._id = key
        self._uri = f"{server}/runs/{self._id}"
        self._spec: Mapping[str, Any] = definition.spec if definition else {}
        self._made: dict[str, Node] = {}
        details = (run.get("run_details") or {}).get("task_details") or ()
        self._details: dict[str, list[Mapping[str, Any]]] = {}
        names = list(_leaves(self._spec, self._spec.get("root", {})))
        for each in details:
            name = str(each.get("display_name", ""))
            if name in names or (not definition and not _internal(name)):
                self._details.setdefault(name, []).append(each)
        self._unclear = {name for name, all_ in self._details.items() if len(all_) > 1}
        self._unclear |= {name for name in names if names.count(name) > 1}

    # --- what a definition is joined with -----------------------------------------------------

    def task(self, place: Place, /) -> str | None:
        """The one task of a name, if it ran."""
        name = place.name
        if name in self._unclear or name not in self._details:
            return None
        ran = self._details[name][0].get("state") in _RAN
        return f"{self._uri}/{name}" if ran else None

    def made(self, place: Place, output: str, /) -> Found:
        """An artifact by its task and name: where it is, the server does not tell."""
        node = self.task(place)
        if node is None or self._details[place.name][0].get("state") == "FAILED":
            return Found(
                gaps=(f"comes from the task {place.name!r}, which nothing says has made it",)
            )
        uri = f"{node}/{output}"
        title = titles(self._spec, place.component).get(output, "")
        self._made[uri] = Node(uri, kind_of(title), output)
        return Found((uri,))

    def iterations(self, _loop: Place, /) -> Sequence[int] | None:
        """None: the API does not say which task belongs to which iteration."""
        return None

    # --- the observation ----------------------------------------------------------------------

    def observe(self, at: float) -> Observation:
        """What the API tells of the run, and what its definition adds.

        Args:
            at: when it last changed.
        """
        join = Join(self._spec, self, self._uri) if self._spec else None
        tasks = dict(self._tasks())
        made = [Edge(uri.rpartition("/")[0], "OUTPUT", uri, "derived", RULE) for uri in self._made]
        drawn, imported = (join.edges, join.nodes.values()) if join else ({}, ())
        return Observation(
            key=self._uri,
            nodes=(*self._nodes(), *tasks.values(), *self._made.values(), *imported),
            edges=(*self._edges(tasks), *made, *drawn),
            unresolved=tuple(self._unresolved(join)),
            aliases=tuple(self._aliases(tasks)),
            time=at or None,
        )

    def _aliases(self, tasks: Mapping[str, Node]) -> Iterator[Alias]:
        yield Alias(f"kfp:run/{self._id}", self._uri, self._server)
        for uri, node in tasks.items():
            if node.name not in self._unclear:
                yield Alias(f"kfp:task/{self._id}/{node.name}", uri, self._server)

    def _tasks(self) -> Iterator[tuple[str, Node]]:
        for label, each in self.told():
            uri, name = f"{self._uri}/{label}", str(each.get("display_name", ""))
            attributes = {"state": str(each.get("state", ""))}
            yield uri, Node(uri, "task", name, attributes, seconds(each.get("start_time")))

    def told(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each task that ran, by its name; with the server's own where several have that name."""
        for name, details in self._details.items():
            for each in details:
                yield f"{name}~{each.get('task_id', '')}" if name in self._unclear else name, each

    def _nodes(self) -> Iterator[Node]:
        given = (self._run.get("runtime_config") or {}).get("parameters") or {}
        attributes = {"state": str(self._run.get("state", "")), **shown("", given)}
        name = str(self._run.get("display_name") or self._id)
        began = seconds(self._run.get("created_at"))
        yield Node(self._uri, "pipeline_run", name, attributes, began)
        if self._definition:
            yield Node(self._definition.ref.uri, "pipeline", self._definition.name)

    def _edges(self, tasks: Mapping[str, Node]) -> Iterator[Edge]:
        if self._definition:
            definition = self._definition.ref.uri
            yield Edge(definition, "PARENT_OF", self._uri, "recorded", "kfp.run")
        for uri in tasks:
            yield Edge(self._uri, "PARENT_OF", uri, "recorded", "kfp.task_details")

    def _unresolved(self, join: Join | None) -> Iterator[str]:
        if join is None:
            yield f"{self._uri}: the server does not tell its definition, so its inputs are unknown"
        if self._made:
            names = ", ".join(sorted(uri.removeprefix(f"{self._uri}/") for uri in self._made))
            yield f"{self._uri}: where these artifacts are stands in ML Metadata only: {names}"
        for name in sorted(self._unclear & self._details.keys()):
            yield f"{self._uri}: several tasks are called {name!r}, and nothing tells them apart"
        yield from join.unresolved if join else ()


def _leaves(spec: Mapping[str, Any], graph: Mapping[str, Any]) -> Iterator[str]:
    """The names of the tasks that run something, once for each place where they stand."""
    for name, task in graph.get("dag", {}).get("tasks", {}).items():
        component = spec["components"].get(task["componentRef"]["name"], {})
        if "dag" in component:
            yield from _leaves(spec, component)
        else:
            yield name


def _internal(name: str) -> bool:
    """Whether a node of the workflow is KFP's own and no task of the pipeline."""
    return name in {"root", "executor", ""} or name.endswith("-driver")


def seconds(text: Any) -> float | None:
    """A time as the server writes it; the epoch itself means never."""
    match = _TIME.fullmatch(str(text or ""))
    if not match:
        return None
    moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return (moment.timestamp() + float(match[2] or 0)) or None
