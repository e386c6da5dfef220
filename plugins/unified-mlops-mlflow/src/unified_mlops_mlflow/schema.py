"""Whether a database is an MLflow store of the installed version.

MLflow creates what is missing in any database that it opens, and migrates what it finds there. So
it is asked only after this check.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from unified_mlops.errors import BackendError

VERSION_TABLE = "alembic_version"
_NEEDED = frozenset(
    [
        *("experiments", "runs", "tags", "params", "metrics", "datasets", "inputs", "input_tags"),
        *("logged_models", "trace_info", "registered_models", "registered_model_aliases"),
        "model_versions",
    ]
)
"""The tables that lineage is read from (MLflow 3.17)."""


def of_file(file: Path, timeout: float) -> tuple[set[str], str]:
    """The tables of a SQLite file and the revision of its schema, empty where it has none.

    Args:
        file: the database, which is not created.
        timeout: seconds to wait where another process has locked it.
    """
    uri = f"{file.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout)) as database:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = {row[0] for row in database.execute(query)}
        if VERSION_TABLE not in tables:
            return tables, ""
        row = database.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    return tables, row[0] if row else ""


def of_server(uri: str) -> tuple[set[str], str]:
    """The same of a database server.

    Args:
        uri: SQLAlchemy's URI of the database.
    """
    from sqlalchemy import create_engine, inspect, text
    from sqlalchemy.pool import NullPool

    with create_engine(uri, poolclass=NullPool).connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if VERSION_TABLE not in tables:
            return tables, ""
        row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).fetchone()
    return tables, row[0] if row else ""


def check(tables: set[str], revision: str, location: str, upgrade: str) -> None:
    """Refuse what MLflow would change or not understand.

    Args:
        tables: of a database that has some.
        revision: of its schema.
        location: where it is, for the message.
        upgrade: the URI for `mlflow db upgrade`, free of credentials.

    Raises:
        BackendError: it is no MLflow store, half-written, or of another version.
    """
    if not tables & _NEEDED:
        fact = f"the database {location!r} is no MLflow store: it has other tables"
        raise BackendError(fact, hint="change tracking_uri in [plugins.mlflow]")
    store = f"the MLflow store {location!r}"
    if not revision or (_is_latest(revision) and not tables >= _NEEDED):
        raise BackendError(
            f"{store} is half-written: {', '.join(sorted(_NEEDED - tables)) or VERSION_TABLE}"
            " is missing",
            hint="wait for the process that makes it, or restore it from a backup",
        )
    if not _is_known(revision):
        fact = f"{store} was made by a newer MLflow, as its schema {revision!r} says"
        raise BackendError(fact, hint="pip install --upgrade mlflow")
    if not _is_latest(revision):
        fact = f"{store} was made by an older MLflow, as its schema {revision!r} says"
        raise BackendError(fact, hint=f"make a copy of it, then: mlflow db upgrade {upgrade}")


def _is_known(revision: str) -> bool:
    return any(file.name.startswith(f"{revision}_") for file in _migrations())


def _is_latest(revision: str) -> bool:
    """Whether no migration of the installed MLflow goes on from this revision."""
    after = f'down_revision = "{revision}"'
    return _is_known(revision) and not any(after in file.read_text() for file in _migrations())


def _migrations() -> list[Path]:
    """The migration scripts of the installed MLflow; it has no public list of them (3.17)."""
    found = find_spec("mlflow")
    package = Path(str(found.origin)).parent if found else Path()
    return list((package / "store" / "db_migrations" / "versions").glob("*_*.py"))
