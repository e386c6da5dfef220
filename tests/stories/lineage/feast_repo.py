"""A Feast repo, changed by Feast's own commands, and what is to be said of it."""

from __future__ import annotations

import hashlib
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.stories.lineage.scenario import Truth

from unified_mlops.lineage.urn import canonical

HEAD = """\
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String
"""


class FeastRepo:
    """A Feast repo, changed by `feast apply` alone.

    Args:
        path: its folder.
        project: its project.
        settings: more of `feature_store.yaml`.
    """

    def __init__(self, path: Path, project: str, settings: Mapping[str, Any]) -> None:
        import yaml

        self.path = path
        self.project = project
        kept = settings.get("registry")
        self.registry = kept["path"] if kept else str(path / "data" / "registry.db")
        path.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(
            {
                **{"project": project, "provider": "local", "registry": "data/registry.db"},
                "online_store": {"type": "sqlite", "path": "data/online.db"},
                **{"offline_store": {"type": "file"}, "entity_key_serialization_version": 3},
                **settings,
            }
        )
        (path / "feature_store.yaml").write_text(text)
        (path / "data").mkdir(exist_ok=True)

    def apply(self, definitions: str, *options: str) -> None:
        """Write the definitions and run `feast apply`."""
        module = f"definitions_{self.path.parent.name.replace('-', '_')}_{self.path.name}"
        (self.path / f"{module}.py").write_text(HEAD + textwrap.dedent(definitions))
        try:
            self.command("apply", *options)
        finally:
            sys.modules.pop(module, None)

    def command(self, *words: str) -> None:
        """Run a command of Feast's, in this process, as its import takes 7 s."""
        from click.testing import CliRunner
        from feast.cli.cli import cli

        here, path = Path.cwd(), list(sys.path)
        try:
            done = CliRunner().invoke(cli, ["-c", str(self.path), *words])
        finally:
            os.chdir(here)
            sys.path[:] = path
        assert done.exit_code == 0, (done.output, done.exception)

    @property
    def store(self) -> Any:
        """Feast's own store."""
        from feast import FeatureStore

        return FeatureStore(repo_path=str(self.path))

    @property
    def root(self) -> str:
        """The URN of the project: of the canonical location of the registry, as the design says."""
        registry = canonical(self.registry).encode()
        store = hashlib.sha256(registry).hexdigest()[:12]
        return f"feast://{store}/{self.project}"

    def told(
        self,
        truth: Truth,
        name: str,
        file: str,
        features: Sequence[str] = (),
        keys: Sequence[str] = ("id",),
        **renamed: str,
    ) -> str:
        """Say that a view of a file is defined as it is now; the URN of that definition.

        Args:
            truth: where to say it.
            name: the view's.
            file: the URN of the file.
            features: the view's features.
            keys: its join keys.
            renamed: columns of the file that are called otherwise in the view.
        """
        made = self.defined(truth, "feature_view", name, *keys, *features)
        own = {new: old for old, new in renamed.items()}
        columns = [own.get(column, column) for column in (*keys, *features)]
        truth.node("dataset", file, "ts", *columns)
        truth.edge(file, "DERIVES", made)
        truth.columns(file, made, *[c for c in columns if c not in renamed], **renamed)
        return made

    def defined(self, truth: Truth, kind: str, name: str, *columns: str) -> str:
        """Say that a view or service is defined as it is now; the URN of that definition."""
        truth.node("project", self.root)
        what = self.view(name) if kind == "feature_view" else self.service(name)
        live, made = truth.node(kind, what.rpartition("@")[0]), truth.node(kind, what, *columns)
        truth.edge(self.root, "PARENT_OF", live)
        truth.edge(live, "VERSION_OF", made)
        truth.edge(made, "DERIVES", live)
        return made

    def serves(self, truth: Truth, name: str, views: Mapping[str, Sequence[str]]) -> str:
        """Say that a service has these features of these views, by the views' own names."""
        references = [f"{view}:{feature}" for view, own in views.items() for feature in own]
        made = self.defined(truth, "feature_service", name, *references)
        for view, own in views.items():
            truth.edge(self.view(view), "DERIVES", made)
            truth.columns(self.view(view), made, **{each: f"{view}:{each}" for each in own})
        return made

    def view(self, name: str) -> str:
        """The URN of what a view means now; its hash is opaque to the scenarios."""
        return f"{self.root}/featureView/{name}@{self._versions('views')[name]}"

    def service(self, name: str) -> str:
        """The URN of what a service means now."""
        return f"{self.root}/featureService/{name}@{self._versions('services')[name]}"

    def _versions(self, what: str) -> dict[str, str]:
        from unified_mlops_feast.stored import read, read_settings
        from unified_mlops_feast.timeline import history_of

        settings = read_settings(self.path)
        history = history_of(read(settings).registry(settings), settings.names)
        return {name: spans[-1].thing.version for name, spans in getattr(history, what).items()}
