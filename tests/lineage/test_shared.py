"""One graph of several workspaces, on PostgreSQL, and the settings below `[lineage]`."""

from pathlib import Path

import pytest

from unified_mlops import Config, Session
from unified_mlops.errors import ConfigError
from unified_mlops.hookspecs import LineageHooks
from unified_mlops.records import Collection, Edge, Observation


class Native(LineageHooks):
    """A tool whose store is a file of pairs; its cursor is how many were read."""

    def __init__(self, workspace: Path) -> None:
        self.file = workspace / "pairs.txt"

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        lines = self.file.read_text().splitlines()
        new = [line.split() for line in lines[int(cursor or 0) :]]
        found = [Observation(f"{a} {b}", edges=(Edge(a, "DERIVES", b),)) for a, b in new]
        return Collection(found, str(len(lines)))


def session(folder: Path, url: str, *pairs: str) -> Session:
    folder.mkdir(exist_ok=True)
    (folder / "pairs.txt").write_text("\n".join(pairs))
    config = Config(workspace=folder, lineage={"url": url})
    return Session(config, plugins={"native": Native})


def test_two_workspaces_share_a_graph_and_each_goes_on_from_its_own_cursor(
    tmp_path: Path, postgres_database: str
) -> None:
    url = postgres_database
    one = session(tmp_path / "one", url, "file:///a file:///b", "file:///b file:///c")
    two = session(tmp_path / "two", url, "file:///c file:///d")
    assert not one.lineage.collect()
    assert not two.lineage.collect()
    assert list(two.lineage.upstream("file:///d").nodes) == [
        *("file:///d", "file:///c", "file:///b", "file:///a"),
    ]
    assert sorted(two.lineage.store.cursors().values()) == ["1", "2"]
    again = session(tmp_path / "one", url, *["x y"] * 2, "file:///d file:///e")
    again.lineage.collect()
    assert "file:///a" in again.lineage.upstream("file:///e").nodes
    assert "x" not in again.lineage.store.nodes()
    for each in (one, two, again):
        each.close()


def test_settings_of_the_graph_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'urls' in .*lineage"):
        Config.load(lineage={"urls": "x"})
    config = Config(workspace=tmp_path, lineage={"without": ["proces"]})
    with pytest.raises(ConfigError, match="unknown key 'proces'.*\n.*did you mean 'process'"):
        Session(config)


def test_a_rule_can_be_switched_off_in_the_settings(tmp_path: Path) -> None:
    config = Config(workspace=tmp_path, lineage={"without": ["process", "model-text"]})
    assert Session(config).lineage.store.without == {"process", "model-text"}


def test_the_graph_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFIED_MLOPS_LINEAGE_URL", "postgresql://host/graph")
    assert Session().lineage.store.database.shown == "postgresql+psycopg://host/graph"
