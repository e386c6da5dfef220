"""What every resource is: a session and a record."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from unified_mlops.current import current_session
from unified_mlops.errors import NotFoundError
from unified_mlops.hookspecs import PluginHooks
from unified_mlops.lineage.query import Plane
from unified_mlops.lineage.subgraph import Direction, Subgraph
from unified_mlops.records import Level, Record
from unified_mlops.session import Session

R = TypeVar("R", bound=Record)
Self = TypeVar("Self", bound="Resource[Any]")


class Traced:
    """What stands in the lineage graph under a URN of its own."""

    session: Session

    @property
    def uri(self) -> str:
        """The URN of the thing in the lineage graph."""
        raise NotImplementedError

    def lineage(
        self,
        direction: Direction = "up",
        plane: Plane = "table",
        *,
        as_of: datetime | None = None,
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """Where it comes from (`up`), or what depends on it (`down`); see `Lineage.upstream`."""
        graph = self.session.lineage
        ask = graph.upstream if direction == "up" else graph.downstream
        return ask(self.uri, plane=plane, as_of=as_of, min_level=min_level, max_nodes=max_nodes)

    def query_lineage_subgraph(self) -> Subgraph:
        """What belongs to it, and what that read and wrote, as Vertex's method of that name."""
        return self.session.lineage.contents(self.uri)


class Resource(Traced, Generic[R]):
    """A thing that a tool keeps, looked up by name.

    Args:
        name: its name.
        session: where to look; the current session if left out.

    Raises:
        NotFoundError: there is none of that name.
    """

    record: R

    def __init__(self, name: str, *, session: Session | None = None) -> None:
        self.session = session or current_session()
        self.record = self._find(self.session, name)

    @staticmethod
    def _find(session: Session, name: str) -> Any:
        raise NotImplementedError

    @classmethod
    def of(cls: type[Self], record: Any, session: Session | None = None) -> Self:
        """The resource of a record."""
        resource = object.__new__(cls)
        resource.session = session or current_session()
        resource.record = record
        return resource

    @classmethod
    def get(cls: type[Self], name: str, *, session: Session | None = None) -> Self | None:
        """The resource of that name, or None."""
        try:
            return cls(name, session=session)
        except NotFoundError:
            return None

    @property
    def uri(self) -> str:
        """The URN of the thing in the lineage graph."""
        return self.record.ref.uri

    @property
    def native(self) -> Any:
        """The tool's own object."""
        return self.session.ask(PluginHooks.mlops_get_native, ref=self.record.ref)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.record.ref.id!r})"
