import json
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.lineage.graphs import graph, world

from unified_mlops.errors import BackendError, ConfigError, LineageError
from unified_mlops.lineage import database
from unified_mlops.lineage.store import Store
from unified_mlops.records import Edge, Observation

VERSIONS = Path(database.__file__).parent / "migrations" / "versions"


def fill(store: Store) -> None:
    for collector, observation in world():
        store.add(collector, [observation])


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_the_migrations_make_the_tables_that_the_code_uses(
    where: str, tmp_path: Path, postgres_database: str
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from unified_mlops.lineage.schema import tables

    store = Store(tmp_path / "g.db" if where == "sqlite" else postgres_database)
    store.add("c", [], "cursor")
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection)
        different = compare_metadata(context, tables())
        elsewhere = {"edge_by_source", "node_uri"} if where == "sqlite" else set()
        assert {getattr(item[1], "name", item) for item in different} == elsewhere
    store.database.close()


def test_the_newest_migration_is_the_one_that_the_code_names() -> None:
    assert max(path.name[:4] for path in VERSIONS.glob("0*.py")) == database.HEAD


def first_version(path: Path) -> None:
    """A database as the first version wrote it, which did not say its version."""
    body = {
        "key": None,
        "nodes": [{"uri": "a", "kind": "dataset", "name": "a", "attributes": {}}],
        "edges": [
            {"source": "a", "kind": "DERIVES", "target": "b", "level": "declared", "rule": "r"}
        ],
        "unresolved": [],
    }
    with sqlite3.connect(path) as connection:
        connection.executescript("""
            CREATE TABLE observation (id INTEGER PRIMARY KEY, collector TEXT NOT NULL,
                key TEXT NOT NULL, hash TEXT NOT NULL, body TEXT NOT NULL,
                UNIQUE (collector, key, hash));
            CREATE TABLE node (uri TEXT PRIMARY KEY, kind TEXT, name TEXT, attributes TEXT,
                said TEXT, strength INTEGER);
            CREATE TABLE edge (source TEXT, kind TEXT, target TEXT, level INTEGER);
            CREATE TABLE evidence (source TEXT, kind TEXT, target TEXT);
            CREATE TABLE unresolved (collector TEXT, key TEXT, reference TEXT);
            CREATE TABLE cursor (collector TEXT PRIMARY KEY, value TEXT NOT NULL);
            INSERT INTO cursor VALUES ('mlflow', '5');
        """)
        for number, collector in enumerate(("session", "mlflow"), 1):
            row = (number, collector, "k", f"h{number}", json.dumps(body))
            connection.execute("INSERT INTO observation VALUES (?, ?, ?, ?, ?)", row)


def test_a_graph_of_the_first_version_keeps_what_was_declared_and_collects_the_rest_anew(
    tmp_path: Path,
) -> None:
    first_version(tmp_path / "g.db")
    store = Store(tmp_path / "g.db")
    assert store.cursors() == {}
    store.add("mlflow", [], "6")
    assert store.edges() == [Edge("a", "DERIVES", "b", "declared")]
    assert store.count("observation") == 1


def test_a_graph_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    fill(Store(tmp_path / "g.db"))
    with sqlite3.connect(tmp_path / "g.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    store = Store(tmp_path / "g.db")
    with pytest.raises(LineageError, match="newer version, with schema '9999'\n.*pip install"):
        store.nodes()


def test_two_threads_may_open_a_new_graph_at_once(tmp_path: Path) -> None:
    def write(name: str) -> None:
        Store(tmp_path / "g.db").add(name, [Observation(name, edges=(Edge("a", "DERIVES", name),))])

    writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Store(tmp_path / "g.db").edges()) == 4


def test_a_new_graph_and_a_new_mlflow_store_may_be_made_at_once(tmp_path: Path) -> None:
    """Alembic's proxies belong to the whole process: we must not touch them."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def graphs() -> None:
        number = 0
        while making.is_alive():
            fill(Store(tmp_path / f"{number}.db"))
            number += 1

    place = f"sqlite:///{tmp_path}/mlflow.db"
    making = threading.Thread(target=lambda: done.append(SqlAlchemyStore(place, str(tmp_path))))
    done: list[object] = []
    making.start()
    graphs()
    making.join()
    assert len(done) == 1
    assert graph(Store(tmp_path / "0.db"))[0]


def test_a_locked_graph_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Store(tmp_path / "g.db"))
    monkeypatch.setattr(database, "WAIT", 0.2)
    with sqlite3.connect(tmp_path / "g.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendError, match="g.db.*is locked"):
            Store(tmp_path / "g.db").add("c", [Observation("new")])


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    store = Store("postgresql://user:hunter2@127.0.0.1:1/graph")
    with pytest.raises(BackendError) as failed:
        store.add("c", [Observation("new")])
    assert "127.0.0.1:1" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_another_kind_of_database_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="cannot be kept in 'mysql'"):
        Store("mysql://host/graph").nodes()


def test_reading_while_somebody_writes_sees_one_whole_state(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    fill(store)
    before = graph(store)
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM edge")
        assert graph(Store(tmp_path / "g.db")) == before
        connection.rollback()
