"""The MLflow store of a workspace: made on first use, one client per process."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

from unified_mlops.errors import BackendError, NotFoundError
from unified_mlops.lineage import urn
from unified_mlops_mlflow import schema
from unified_mlops_mlflow.convert import native_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""MLflow's documented switches of its telemetry; they count before it is imported."""
WAIT = 30.0
"""Seconds to wait for another process that is creating the database or a run."""
GLANCE = 5.0
"""Seconds to wait where the database is only looked at: in WAL mode readers never wait."""

_FILE = re.compile(r"sqlite(?:\+\w+)?:///([^?]+)")
_SERVER = re.compile(r"(postgresql|mysql|mssql)[+:]")

_global_uri = threading.RLock()


class Store:
    """A tracking store and its registry, by URI.

    Args:
        uri: MLflow's tracking URI; a password in it is never shown.
        artifact_root: the URI below which experiments keep files; None leaves it to the server.
    """

    def __init__(self, uri: str, artifact_root: str | None) -> None:
        self.uri = uri
        self.artifact_root = artifact_root
        self._guard = threading.Lock()
        self._client: MlflowClient | None = None
        self._instance = ""
        self._pid = 0
        self._is_wal = False
        self.memory: dict[tuple[str, str], tuple[int, float]] = {}

    @property
    def file(self) -> Path | None:
        """The database file, where the store is one."""
        found = _FILE.match(self.uri)
        return Path(found[1]).absolute() if found else None

    @property
    def location(self) -> str:
        """Where the store is, without credentials."""
        return str(self.file) if self.file else urn.canonical(self.uri)

    def exists(self) -> bool:
        """Whether there is a store to read; a server is taken to be one."""
        if self.file:
            return self.file.is_file() and bool(schema.of_file(self.file, GLANCE)[0])
        if _SERVER.match(self.uri):
            return bool(schema.of_server(self.uri)[0])
        folder = urn.path_of(self.location) if self.location.startswith("file://") else None
        return folder is None or folder.is_dir()

    @contextmanager
    def open(self) -> Iterator[MlflowClient]:
        """The client of this process; errors of MLflow and of its database leave as ours."""
        with native_errors(self.location):
            client = self._connect()
            self._write_ahead()
            yield client

    @contextmanager
    def read(self) -> Iterator[MlflowClient]:
        """The client of a store that is there; none is made.

        Raises:
            NotFoundError: there is none.
        """
        with self.open_existing() as client:
            if client is None:
                fact = f"there is nothing in the MLflow store {self.location!r}"
                raise NotFoundError(fact, hint='umlops.start_run("my-run") makes it')
            yield client

    @contextmanager
    def open_existing(self) -> Iterator[MlflowClient | None]:
        """The client, or None where there is no store; none is made."""
        with native_errors(self.location):
            yield self._connect() if self._client or self.exists() else None

    def exclusive(self) -> AbstractContextManager[object]:
        """Keep other processes of this machine from checking and creating at the same time."""
        from filelock import FileLock

        return FileLock(f"{self.file}.lock", timeout=WAIT) if self.file else nullcontext()

    @contextmanager
    def as_global(self) -> Iterator[None]:
        """Make this MLflow's global tracking URI for a moment.

        Registering a logged model on SQLite looks it up there, whatever the client's URI is.
        """
        import mlflow.tracking._tracking_service.utils as service

        with _global_uri:
            before, service._tracking_uri = service._tracking_uri, self.uri
            try:
                yield
            finally:
                service._tracking_uri = before

    def instance(self, client: MlflowClient) -> str:
        """A short name of the store, the same over HTTP and from its database."""
        if not self._instance:
            first = client.get_experiment("0")
            text = f"{first.creation_time}:{first.name}"
            self._instance = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self._instance

    def _connect(self) -> MlflowClient:
        with self._guard:
            if self._client is None:
                self._client = self._new_client()
            elif self._pid != os.getpid():
                _forget_connections(self._client)
            self._pid = os.getpid()
            return self._client

    def _new_client(self) -> MlflowClient:
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.exclusive():
                self._prepare(self.file)
        elif _SERVER.match(self.uri):
            tables, revision = schema.of_server(self.uri)
            if tables:
                schema.check(tables, revision, self.location, "<tracking_uri>")
        self.ping()
        from mlflow import MlflowClient

        return MlflowClient(self.uri, self.uri)

    def _prepare(self, file: Path) -> None:
        """See that the database is there, whole and of this version."""
        tables, revision = schema.of_file(file, WAIT) if file.is_file() else (set(), "")
        if tables:
            schema.check(tables, revision, self.location, f"{SQLITE}{file}")
        else:
            _create(file, self.artifact_root or str(file.parent / "artifacts"))
        _quieten()

    def _write_ahead(self) -> None:
        """Let readers and a writer of the database not wait for each other."""
        if self.file and not self._is_wal:
            with closing(sqlite3.connect(self.file, timeout=WAIT)) as database:
                database.execute("PRAGMA journal_mode=WAL")
            self._is_wal = True

    def ping(self) -> None:
        """Ask a server once whether it is there: MLflow's own client would retry for minutes.

        Raises:
            BackendError: nobody answers.
        """
        if not self.uri.startswith("http"):
            return
        try:
            urlopen(f"{self.uri.rstrip('/')}/health", timeout=5).close()
        except HTTPError:
            return  # somebody answers; what they allow is MLflow's to say
        except OSError as error:
            raise BackendError(
                f"no MLflow server answers at {self.location!r}",
                hint="start it, or change tracking_uri in [plugins.mlflow]",
            ) from error


def _create(file: Path, artifact_root: str) -> None:
    """Make the database beside its place and move it there whole."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _quieten()
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    try:
        SqlAlchemyStore(f"{SQLITE}{draft}", artifact_root).engine.dispose()
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _quieten() -> None:
    """MLflow logs what it raises, traceback and all; the error itself says it once."""
    import logging

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _forget_connections(client: MlflowClient) -> None:
    """Leave the database connections to the parent of this forked process."""
    for service in (client._tracking_client, client._get_registry_client()):
        engine = getattr(service.store, "engine", None)
        if engine is not None:
            engine.dispose(close=False)
