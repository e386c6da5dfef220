"""What the memory plugin says of itself, and of where what it holds came from."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

from unified_mlops.hookspecs import LineageHooks, PluginHooks
from unified_mlops.records import UI, Check, Collection, Ref
from unified_mlops.testing.memory.store import PLUGIN, Store, missing


class MemoryLineage(Store, LineageHooks, PluginHooks):
    """Hands on what the other parts observed."""

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Return what was observed after the cursor."""
        since = int(cursor or 0)
        news = [found for number, found in self._observations.values() if number > since]
        return Collection(tuple(news), str(self._count) if self._count else None)

    def mlops_check_plugin(self) -> Check:
        """Say that nothing is stored anywhere."""
        return Check(PLUGIN, "memory", version("unified-mlops"), "this process")

    def mlops_describe_ui(self) -> UI:
        """Offer the workspace's files."""
        module = ("-m", "http.server", "{port}", "--bind", "127.0.0.1")
        command = (sys.executable, *module, "--directory", str(self.workspace))
        return UI(PLUGIN, "Files", command, 8000)

    def mlops_get_native(self, ref: Ref) -> Any:
        """Return the model, or the record, that is held."""
        if ref.uri in self.objects:
            return self.objects[ref.uri]
        if ref.uri not in self.held:
            raise missing(f"no {ref.kind} {ref.id!r}", ())
        return self.held[ref.uri]
