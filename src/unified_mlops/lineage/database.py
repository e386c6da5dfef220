"""The graph's database: SQLite or PostgreSQL, its schema brought up to date when it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import ConfigError, LineageError, store_error

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

HEAD = "0002"
"""The newest migration; a contract test compares it with the folder."""
WAIT = 15
"""Seconds to wait for another process that writes."""
_LOCK = 0x756D6C6F  # any number that no other program takes: one writer at a time on PostgreSQL
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Connections to the graph's database.

    Args:
        place: the path of an SQLite file, or a `postgresql://` URL. Nothing is connected to or
            made before something is written.
    """

    def __init__(self, place: str | Path) -> None:
        self._place = place

    @cached_property
    def url(self) -> URL:
        """Where it is, for SQLAlchemy."""
        return _url(self._place)

    @property
    def shown(self) -> str:
        """Where it is, for people: a path, or a URL without its password."""
        return str(self._file or self.url.render_as_string(hide_password=True))

    @property
    def exists(self) -> bool:
        """Whether there is something to read."""
        return not self._file or self._file.exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which several reads see one state."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other writer shares."""
        with self._translated(), self._engine.connect() as connection:
            _begin(connection)
            yield connection
            connection.commit()

    def close(self) -> None:
        """Give connections back. What is asked later opens new ones."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @property
    def _file(self) -> Path | None:
        sqlite = self.url.get_backend_name() == "sqlite"
        return Path(str(self.url.database)) if sqlite else None

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import create_engine, event

        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(self.url, connect_args={"timeout": WAIT})
            event.listen(engine, "connect", _set_up_sqlite)
        else:
            engine = create_engine(self.url, connect_args={"connect_timeout": WAIT})
            event.listen(engine, "connect", _set_up_postgres)
        with engine.connect() as connection:
            _migrate(connection, self.shown)
        return engine

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            mend = "see the [lineage] part of unified_mlops.toml, and whether the server runs"
            if self._file:
                mend = f"mv {self._file} {self._file}.bad, and then: umlops lineage collect"
            raise store_error(f"the lineage database {self.shown!r}", error, mend=mend) from error


def _url(place: str | Path) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import ArgumentError

    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except ArgumentError as error:
        fact = "the url below [lineage] cannot be read"
        hint = 'url = "postgresql://user@host/database"'
        raise ConfigError(fact, hint=hint) from error
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        return url
    raise ConfigError(
        f"the graph cannot be kept in {url.get_backend_name()!r}",
        hint='url = "postgresql://user@host/database", or none for SQLite',
    )


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # so that we begin transactions, and not the driver
    for pragma in (
        *("journal_mode=WAL", "synchronous=NORMAL"),
        *("cache_size=-65536", "mmap_size=1073741824", "temp_store=MEMORY"),
    ):
        connection.execute(f"PRAGMA {pragma}")


def _set_up_postgres(connection: Any, _record: Any) -> None:
    """A walk is many small queries of one form: none is compiled, and each is planned once."""
    connection.autocommit = True  # or a transaction would begin
    connection.execute("SET jit = off")
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.autocommit = False


def _begin(connection: Connection) -> None:
    """Wait until no other writer is at work, and keep them out until the commit."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection, shown: str) -> None:
    """Bring the schema up to date, one process at a time."""
    if _revision(connection) == HEAD:
        return
    connection.rollback()
    _begin(connection)
    revision = _revision(connection)  # another process may have been quicker
    known = sorted(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    if revision and revision not in known:
        raise LineageError(
            f"{shown!r} was written by a newer version, with schema {revision!r}",
            hint="pip install --upgrade unified-mlops",
        )
    if revision != HEAD:
        _upgrade(connection, revision)
    connection.commit()


def _upgrade(connection: Connection, revision: str) -> None:
    """Run the migrations that are missing.

    Alembic's `command` and `op` belong to the whole process, and MLflow may be migrating a database
    of its own in another thread: each step is handed its operations instead.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory
    from sqlalchemy import inspect

    if not revision and inspect(connection).has_table("observation"):
        revision = "0001"  # the first version did not say which it was
    context = MigrationContext.configure(connection)
    script = ScriptDirectory(str(_MIGRATIONS))
    steps = list(script.iterate_revisions("head", revision or "base"))
    for step in reversed(steps):
        step.module.upgrade(Operations(context))
    context.stamp(script, "head")


def _revision(connection: Connection) -> str:
    """The schema's version; empty where there is none, or none is said."""
    from sqlalchemy.exc import DatabaseError

    try:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except DatabaseError as error:
        if not any(words in str(error) for words in ("no such table", "does not exist")):
            raise
        connection.rollback()
        return ""
    return str(found or "")
