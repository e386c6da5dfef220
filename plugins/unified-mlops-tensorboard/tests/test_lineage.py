"""Whose a folder of event files is, whoever wrote it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from tensorboard.summary import Writer
from tensorboardX import SummaryWriter

from unified_mlops.errors import BackendError
from unified_mlops.lineage import urn
from unified_mlops.lineage.names import look_up, meanings
from unified_mlops.records import Alias, Metric, Ref, RunRecord
from unified_mlops_tensorboard.convert import Origin, origin
from unified_mlops_tensorboard.plugin import TensorboardPlugin

HERE = f"process:{socket.gethostname()}:{os.getpid()}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "w" / "tensorboard"


@pytest.fixture
def plugin(tmp_path: Path) -> TensorboardPlugin:
    return TensorboardPlugin(tmp_path / "w")


def write(folder: Path, writer: type = Writer) -> None:
    """What people do natively."""
    own = writer(str(folder))
    own.add_scalar("a", 1.0, 0)
    own.close()


def meant(claim, *aliases: Alias) -> set[str]:
    return set(look_up(claim, list(meanings(aliases))))


def seen(plugin, cursor=None):
    found = plugin.mlops_collect_lineage(cursor)
    return {each.key.rpartition("/")[2]: each for each in found.observations}, found.cursor


def test_a_native_folder_claims_the_run_of_its_host_and_process_then(plugin, root):
    before = time.time()
    write(root / "native")
    after = time.time()
    observation = seen(plugin)[0]["native"]
    (claim,) = observation.claims
    assert (claim.name, claim.kind, claim.rule) == (HERE, "OUTPUT", "process")
    assert claim.thing == urn.canonical(root / "native")
    assert before <= claim.at <= after
    assert observation.nodes[0].time == observation.time == int(claim.at)
    assert observation.edges == ()


def test_two_runs_of_one_process_one_after_the_other_each_get_their_folder(plugin, root):
    aliases = []
    for name in ("first", "second"):
        began = time.time()
        write(root / name)
        aliases.append(Alias(HERE, f"mlflow:run/{name}", since=began, until=time.time()))
    for name, observation in seen(plugin)[0].items():
        assert meant(observation.claims[0], *aliases) == {f"mlflow:run/{name}"}


def test_nested_runs_of_one_process_are_ambiguous_and_another_moment_is_nobodys(plugin, root):
    outer = time.time()
    inner = time.time()
    write(root / "x")
    end = time.time()
    aliases = [
        Alias(HERE, "mlflow:run/outer", since=outer, until=end),
        Alias(HERE, "mlflow:run/inner", since=inner, until=end),
    ]
    (claim,) = seen(plugin)[0]["x"].claims
    assert meant(claim, *aliases) == {"mlflow:run/outer", "mlflow:run/inner"}
    assert meant(claim, Alias(HERE, "mlflow:run/late", since=end)) == set()


def test_where_our_own_writer_stamped_the_run_that_edge_stands_and_nothing_is_claimed(plugin, root):
    ref = Ref("mlflow", "run", "r1", "mlflow:run/r1")
    run = RunRecord(ref=ref, name="own", experiment="e", state="RUNNING")
    plugin.mlops_log_metrics(run, [Metric("a", 1.0, 0, 1.0)])
    plugin.mlops_log_params(run, {"n": 1})
    observation = seen(plugin)[0]["own"]
    assert [edge.source for edge in observation.edges] == ["mlflow:run/r1"]
    assert observation.claims == ()
    write(root / "e" / "own")  # somebody adds a native file
    assert len(seen(plugin)[0]["own"].claims) == 1


def test_a_writer_that_names_no_process_claims_nothing(plugin, root):
    write(root / "x", SummaryWriter)
    observation = seen(plugin)[0]["x"]
    assert observation.claims == ()
    assert abs(observation.nodes[0].time - time.time()) < 60


@pytest.mark.parametrize(
    ("name", "host", "pid"),
    [
        ("events.out.tfevents.1600000000.box.321.0", "box", "321"),  # torch, TensorBoard
        ("events.out.tfevents.1600000000.box.321.0.v2", "box", "321"),  # Keras
        ("events.out.tfevents.1600000000.box.321.0.train", "box", "321"),  # torch, with a suffix
        ("events.out.tfevents.1600000000.n1.site-2.org.321.17", "n1.site-2.org", "321"),
    ],
)
def test_the_names_of_writers_tell_host_and_process(name, host, pid):
    class First:
        wall_time = 1600000000.75

    assert origin(name, [First()]) == Origin(1600000000.75, host, pid)
    assert origin(name, []) is None


@pytest.mark.parametrize(
    "name",
    ["events.out.tfevents.1600000000.box", "events.out.tfevents.0.params", "x.tfevents.1.2.3"],
)
def test_a_name_without_host_and_process_names_nobody(name):
    class First:
        wall_time = 1600000000.75

    assert origin(name, [First()]) is None


def test_a_corrupted_file_is_named_and_the_others_go_on(plugin, root):
    for name in ("good", "head", "body", "text"):
        write(root / name)
    for name, place in {"head": 2, "body": 20}.items():
        (file,) = (root / name).iterdir()
        data = bytearray(file.read_bytes())
        data[place] ^= 0xFF
        file.write_bytes(data)
    (file,) = (root / "text").iterdir()
    file.write_text("no events at all, but a letter")
    (root / "good" / "events.out.tfevents.1600000000.loop.1.0").symlink_to("itself")
    (root / "good" / "itself").symlink_to("events.out.tfevents.1600000000.loop.1.0")
    found, _ = seen(plugin)
    assert "beginning is corrupted" in found["head"].unresolved[0]
    assert "first record that is corrupted" in found["body"].unresolved[0]
    assert "is no event file" in found["text"].unresolved[0]
    assert "cannot be read: Too many levels of symbolic links" in found["good"].unresolved[0]
    assert [len(found[name].claims) for name in ("good", "head", "body")] == [1, 0, 0]


def test_a_log_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    plugin = TensorboardPlugin(tmp_path, log_dir=str(tmp_path / "file"))
    with pytest.raises(BackendError, match="file' cannot be used: Not a directory"):
        plugin.mlops_collect_lineage(None)


def test_linked_folders_are_seen_under_their_real_path_and_links_in_a_circle_end(
    plugin, root, tmp_path
):
    write(tmp_path / "runs" / "x")
    root.mkdir(parents=True)
    (root / "linked").symlink_to(tmp_path / "runs")
    (root / "circle").symlink_to(root)
    found, _ = seen(plugin)
    assert [each.key for each in found.values()] == [urn.canonical(tmp_path / "runs" / "x")]


def test_a_folder_that_is_moved_here_with_its_old_times_is_seen(plugin, root, tmp_path):
    write(root / "here")
    _, cursor = seen(plugin)
    write(tmp_path / "old")
    os.utime(tmp_path / "old", (1e9, 1e9))
    (tmp_path / "old").rename(root / "old")
    assert list(seen(plugin, cursor)[0]) == ["old"]


def test_of_folders_that_did_not_change_no_file_is_read_again(plugin, root, monkeypatch):
    from unified_mlops_tensorboard import collect

    write(root / "a" / "b")
    monkeypatch.setattr(collect, "OVERLAP", -1)
    _, cursor = seen(plugin)
    monkeypatch.setattr(collect, "_observe", None)
    assert seen(plugin, cursor)[0] == {}
