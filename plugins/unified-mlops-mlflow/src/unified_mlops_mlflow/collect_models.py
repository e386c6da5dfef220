"""What MLflow records of logged models: who made them, and the columns of their signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from unified_mlops.lineage import urn
from unified_mlops.records import Alias, Edge, Node, Observation
from unified_mlops_mlflow import hygiene, models, registry
from unified_mlops_mlflow.convert import instance_uri, model_uri, run_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel


class Models:
    """The logged models of a store, each looked at once in a collection.

    Args:
        client: of the store.
        instance: the store's short name.
    """

    def __init__(self, client: MlflowClient, instance: str) -> None:
        self._client = client
        self._instance = instance
        self._known: dict[str, LoggedModel | None] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self.unreadable: dict[str, str] = {}

    def changed(self, experiments: Sequence[str], since: int) -> list[LoggedModel]:
        """The models that were changed since, in milliseconds."""
        which = {"filter_string": f"last_updated_timestamp >= {since}"} if since else {}
        search = self._client.search_logged_models
        found = registry.pages(search, experiment_ids=list(experiments), **which)
        self._known |= {model.model_id: model for model in found}
        return found

    def get(self, model_id: str) -> LoggedModel | None:
        """A model, or None where it was deleted."""
        from mlflow.exceptions import MlflowException

        if model_id not in self._known:
            try:
                self._known[model_id] = self._client.get_logged_model(model_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self._known[model_id] = None
        return self._known[model_id]

    def columns(self, model_id: str) -> tuple[str, ...]:
        """The columns of a model's signature; none of a model that is gone."""
        model = self.get(model_id)
        return self.columns_at(model.artifact_location) if model else ()

    def columns_at(self, location: str) -> tuple[str, ...]:
        """The columns of the signature of the model in a place; a place may be out of reach."""
        if location not in self._columns:
            try:
                self._columns[location] = models.read_signature(self._client, location)
            except Exception as error:  # noqa: BLE001  each kind of artifact store raises its own
                self._columns[location] = ()
                self.unreadable[location] = type(error).__name__
        return self._columns[location]

    def observe(self, model: LoggedModel) -> Observation:
        """What a model says of itself."""
        uri, columns = model_uri(model.model_id), self.columns(model.model_id)
        made = model.creation_timestamp / 1000
        nodes = [Node(uri, "model", hygiene.clean(model.name or model.model_id), time=made)]
        edges = [Edge(run_uri(model.source_run_id), "OUTPUT", uri)] if model.source_run_id else []
        for field_node, field_edge in fields(uri, columns):
            nodes.append(field_node)
            edges.append(field_edge)
        name, scope = f"models:/{model.model_id}", instance_uri(self._instance)
        return Observation(
            key=f"model/{model.model_id}",
            nodes=tuple(nodes),
            edges=tuple(edges),
            unresolved=self.trouble(model.artifact_location, f"model {model.model_id!r}"),
            aliases=(Alias(name, uri, scope, fields=columns or None),),
            time=(model.last_updated_timestamp or model.creation_timestamp) / 1000,
        )

    def trouble(self, location: str, what: str) -> tuple[str, ...]:
        """Why the signature of a model could not be read, if that is so."""
        if location not in self.unreadable:
            return ()
        return (f"the signature of {what} cannot be read: {self.unreadable[location]}",)


def fields(uri: str, columns: Sequence[str]) -> Iterator[tuple[Node, Edge]]:
    """The columns of a thing, each with the edge from the thing to it."""
    for name in columns:
        column = urn.column(uri, name)
        yield Node(column, "column", name), Edge(uri, "FIELD", column)
