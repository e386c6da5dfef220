"""Models and their registry in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import NotFoundError, UnsupportedError
from unified_mlops.hookspecs import ModelHooks
from unified_mlops.records import Edge, ModelRecord, ModelVersionRecord, Node, Ref, RunRecord
from unified_mlops.testing.memory.store import PLUGIN, Store, missing


class MemoryModels(Store, ModelHooks):
    """Copies of fitted models, and versions of them."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.aliases: dict[str, dict[str, str]] = {}

    def mlops_log_model(self, run: RunRecord, name: str, model: Any, example: Any) -> ModelRecord:
        """Keep a copy of a model."""
        if not callable(getattr(model, "predict", None)):
            raise UnsupportedError(
                f"{type(model).__name__!r} is no model",
                hint="give an object that has predict(rows)",
            )
        inputs = tuple(map(str, getattr(example, "columns", ())))
        record = ModelRecord(ref=self._ref("model"), name=name, run=run.ref, inputs=inputs)
        self.objects[record.ref.uri] = copy.deepcopy(model)
        return self._keep(record, name, [Edge(run.ref.uri, "OUTPUT", record.ref.uri)])

    def mlops_register_model(
        self, model: ModelRecord, name: str, labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        """Make a model the next version of a name."""
        number = str(len(self._versions(name)) + 1)
        record = ModelVersionRecord(
            ref=self._ref("model_version", f"{name}/{number}"),
            name=name,
            version=number,
            labels=dict(labels),
            run=model.run,
            inputs=model.inputs,
        )
        self.objects[record.ref.uri] = self.objects[model.ref.uri]
        family = Node(f"{PLUGIN}:registered_model/{quote(name)}", "registered_model", name)
        edges = [
            Edge(model.ref.uri, "DERIVES", record.ref.uri),
            Edge(family.uri, "VERSION_OF", record.ref.uri),
        ]
        self._keep(record, f"{name}@{number}", edges)
        self._observe(record.ref, f"{name}@{number}", nodes=[family])
        return record

    def mlops_get_model(self, name: str, version: str) -> ModelVersionRecord:
        """Return a version by its number or alias."""
        versions = self.mlops_list_models(name)
        for record in versions:
            if version == record.version or version in record.aliases:
                return record
        known = [word for record in versions for word in (record.version, *record.aliases)]
        raise missing(f"model {name!r} has no version {version!r}", known)

    def mlops_list_models(self, name: str) -> Sequence[ModelVersionRecord]:
        """Return the versions of a name."""
        versions = self._versions(name)
        if not versions:
            known = dict.fromkeys(record.name for record in self._all(ModelVersionRecord))
            raise missing(f"no registered model {name!r}", known)
        return versions

    def mlops_update_model(
        self, model: ModelVersionRecord, aliases: Sequence[str], labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        """Move aliases to a version and add labels."""
        old = self._find(ModelVersionRecord, model.ref)
        self.aliases.setdefault(old.name, {}).update(dict.fromkeys(aliases, old.version))
        self._keep(replace(old, labels={**old.labels, **labels}), f"{old.name}@{old.version}")
        return self.mlops_get_model(old.name, old.version)

    def mlops_load_model(self, model: Ref) -> Any:
        """Return a copy of a model."""
        if model.uri not in self.objects:
            raise NotFoundError(f"no {model.kind} {model.id!r}", hint="log or register it first")
        return copy.deepcopy(self.objects[model.uri])

    def _versions(self, name: str) -> list[ModelVersionRecord]:
        pointers = self.aliases.get(name, {})
        return [
            replace(record, aliases=tuple(a for a, to in pointers.items() if to == record.version))
            for record in self._all(ModelVersionRecord)
            if record.name == name
        ]
