"""Ray clusters: started only when asked for, stopped when done."""

from __future__ import annotations

import os
from types import TracebackType

from unified_mlops.current import current_session
from unified_mlops.hookspecs import JobHooks
from unified_mlops.records import ClusterRecord
from unified_mlops.resources.base import Resource
from unified_mlops.session import Session


class RayCluster(Resource[ClusterRecord]):
    """A cluster on this machine; use it in a `with`, which stops it."""

    @classmethod
    def create(cls, cpus: int | None = None, *, session: Session | None = None) -> RayCluster:
        """Start a cluster, on loopback only.

        Args:
            cpus: how many CPUs it offers; all of the machine's if left out.
            session: the session; the current one if left out.
        """
        session = session or current_session()
        count = cpus or os.cpu_count() or 1
        return cls.of(session.ask(JobHooks.mlops_create_cluster, cpus=count), session)

    @property
    def address(self) -> str:
        """What jobs are given to run on it."""
        return self.record.address

    def delete(self) -> None:
        """Stop it, and no other."""
        self.session.ask(JobHooks.mlops_delete_cluster, cluster=self.record)

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete()
