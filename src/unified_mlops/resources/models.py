"""Models: what a run made, and its versions in the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError
from unified_mlops.hookspecs import ModelHooks
from unified_mlops.records import ModelRecord, ModelVersionRecord
from unified_mlops.resources.base import Resource
from unified_mlops.session import Session

DEFAULT = "default"
"""The alias of the version that a name alone means, as in Vertex."""


class ExperimentModel(Resource[ModelRecord]):
    """A model that a run logged."""

    def load_model(self) -> Any:
        """The model, ready to `predict(frame)`."""
        return self.session.ask(ModelHooks.mlops_load_model, model=self.record.ref)

    def register_model(
        self,
        model_name: str,
        *,
        is_default_version: bool | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Model:
        """Make it the next version of a registered model.

        Args:
            model_name: the registered model's name.
            is_default_version: whether `default` moves to it; left out, only a first version
                becomes the default.
            labels: labels of the version.
        """
        record = self.session.ask(
            ModelHooks.mlops_register_model,
            model=self.record,
            name=model_name,
            labels=labels or {},
        )
        version = Model.of(record, self.session)
        first = record.version == "1" if is_default_version is None else is_default_version
        if first:
            version.add_version_aliases([DEFAULT])
        return version


class Model(Resource[ModelVersionRecord]):
    """A version of a registered model: `name`, `name@2` or `name@alias`.

    Args:
        name: the model's name, with the version or alias that is meant; `default` if left out.
        session: where to look; the current session if left out.

    Raises:
        NotFoundError: no such model, version or alias.
    """

    @staticmethod
    def _find(session: Session, name: str) -> ModelVersionRecord:
        model, mark, version = name.partition("@")
        if not model or (mark and not version):
            raise ArgumentError(f"{name!r} names no model", hint="write name, name@2 or name@alias")
        return session.ask(ModelHooks.mlops_get_model, name=model, version=version or DEFAULT)

    @property
    def name(self) -> str:
        """The registered model's name."""
        return self.record.name

    @property
    def version_id(self) -> str:
        """The version's number."""
        return self.record.version

    @property
    def version_aliases(self) -> Sequence[str]:
        """The version's aliases."""
        return self.record.aliases

    @property
    def labels(self) -> Mapping[str, str]:
        """The version's labels."""
        return self.record.labels

    def load(self) -> Any:
        """The model, ready to `predict(frame)`."""
        return self.session.ask(ModelHooks.mlops_load_model, model=self.record.ref)

    def add_version_aliases(self, aliases: Sequence[str], reason: str | None = None) -> None:
        """Move aliases to this version.

        Args:
            aliases: taken from any other version that has them.
            reason: why; kept as label `unified_mlops.reason.<alias>` of the version.
        """
        labels = {f"unified_mlops.reason.{alias}": reason for alias in aliases if reason}
        self.record = self.session.ask(
            ModelHooks.mlops_update_model, model=self.record, aliases=list(aliases), labels=labels
        )

    def update(self, labels: Mapping[str, str]) -> None:
        """Add or replace labels."""
        self.record = self.session.ask(
            ModelHooks.mlops_update_model, model=self.record, aliases=[], labels=labels
        )


class ModelRegistry:
    """The versions of one registered model.

    Args:
        model: its name.
        session: where to look; the current session if left out.
    """

    def __init__(self, model: str, *, session: Session | None = None) -> None:
        self.name = model
        self.session = session or current_session()

    def list_versions(self) -> list[Model]:
        """The versions, oldest first.

        Raises:
            NotFoundError: no such model.
        """
        records = self.session.ask(ModelHooks.mlops_list_models, name=self.name)
        return [Model.of(record, self.session) for record in records]

    def get_model(self, version: str = DEFAULT) -> Model:
        """One version, by number or alias."""
        return Model(f"{self.name}@{version}", session=self.session)
