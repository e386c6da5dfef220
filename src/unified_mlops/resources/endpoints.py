"""Endpoints: models that answer, behind a traffic split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.hookspecs import EndpointHooks, ModelHooks
from unified_mlops.records import EndpointRecord, PredictionRecord, Ref, Row, ServerRecord
from unified_mlops.resources.base import Resource
from unified_mlops.resources.models import Model
from unified_mlops.session import Session

NEW = "0"
"""In a traffic split, the model that is being deployed, as in Vertex."""


class Endpoint(Resource[EndpointRecord]):
    """An endpoint.

    Args:
        name: its name.
        session: where to look; the current session if left out.
    """

    @staticmethod
    def _find(session: Session, name: str) -> EndpointRecord:
        endpoints = {item.name: item for item in session.ask(EndpointHooks.mlops_list_endpoints)}
        if name not in endpoints:
            have = ", ".join(endpoints) or "none"
            raise NotFoundError(
                f"no endpoint {name!r} (there is: {have})", hint=f"Endpoint.create({name!r})"
            )
        return endpoints[name]

    @classmethod
    def create(cls, name: str, *, session: Session | None = None) -> Endpoint:
        """Create an endpoint without models.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        session = session or current_session()
        return cls.of(session.ask(EndpointHooks.mlops_create_endpoint, name=name), session)

    @classmethod
    def list(cls, *, session: Session | None = None) -> list[Endpoint]:
        """Every endpoint, by name."""
        session = session or current_session()
        records = session.ask(EndpointHooks.mlops_list_endpoints)
        return [cls.of(record, session) for record in records]

    @property
    def traffic_split(self) -> Mapping[str, int]:
        """Whole percentages by deployed model id; they sum to 100."""
        return {item.id: item.traffic for item in self.record.deployments}

    def deploy(
        self,
        model: Model,
        traffic_percentage: int | None = None,
        traffic_split: Mapping[str, int] | None = None,
    ) -> None:
        """Add a model version.

        Args:
            model: the version.
            traffic_percentage: its share; what is left is shared by the others as before. Left
                out, a first model gets 100 and a further one 0.
            traffic_split: percentages by deployed model id instead, `"0"` for the new one.

        Raises:
            ArgumentError: the shares do not sum to 100, or both arguments are given.
        """
        if traffic_split is not None and traffic_percentage is not None:
            raise ArgumentError("traffic is given twice", hint="give a percentage or a split")
        share = traffic_percentage if self.record.deployments else 100
        split = traffic_split or {
            **rescale(self.traffic_split, 100 - (share or 0)),
            NEW: share or 0,
        }
        self.record = self.session.ask(
            EndpointHooks.mlops_deploy_model,
            endpoint=self.record,
            model=model.record,
            split=check_split(split),
        )

    def undeploy(
        self, deployed_model_id: str, traffic_split: Mapping[str, int] | None = None
    ) -> None:
        """Take a model off; the others share its traffic as before unless a split is given."""
        rest = {key: value for key, value in self.traffic_split.items() if key != deployed_model_id}
        split = check_split(traffic_split or rescale(rest, 100)) if rest else {}
        self.record = self.session.ask(
            EndpointHooks.mlops_undeploy_model,
            endpoint=self.record,
            deployment=deployed_model_id,
            split=split,
        )

    def predict(self, instances: Sequence[Row]) -> PredictionRecord:
        """Answer by one of the models, drawn by the traffic split.

        Args:
            instances: a row for each answer wanted.

        Returns:
            The predictions, the deployed model that answered, and the prediction's id.
        """
        return self.session.ask(
            EndpointHooks.mlops_predict,
            endpoint=self.record,
            instances=instances,
            load=self._load,
        )

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> ServerRecord:
        """Answer `POST /v1/endpoints/<name>:predict` over HTTP until `stop()`.

        Args:
            host: the address to bind; loopback if left out.
            port: the port; a free one if left out.
        """
        return self.session.ask(
            EndpointHooks.mlops_serve_endpoint,
            endpoint=self.record,
            predict=self.predict,
            host=host,
            port=port,
        )

    def _load(self, model: Ref) -> Any:
        return self.session.ask(ModelHooks.mlops_load_model, model=model)


def rescale(split: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole shares in the same proportion that sum to `total`; what is left over goes by order."""
    before = sum(split.values())
    if not split or before == 0:
        return dict(split)
    shares = {key: value * total // before for key, value in split.items()}
    for key in list(shares)[: total - sum(shares.values())]:
        shares[key] += 1
    return shares


def check_split(split: Mapping[str, int]) -> Mapping[str, int]:
    """See that shares are whole percentages that sum to 100."""
    whole = all(isinstance(share, int) and 0 <= share <= 100 for share in split.values())
    if not whole or sum(split.values()) != 100:
        raise ArgumentError(
            f"the traffic split {dict(split)!r} is not whole percentages that sum to 100",
            hint='for example {"0": 20, "1": 80}',
        )
    return split
