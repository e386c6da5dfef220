from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from unified_mlops.errors import ArgumentTypeError, BackendError
from unified_mlops.lineage import urn
from unified_mlops.records import Edge, Metric, Ref, RunRecord
from unified_mlops_tensorboard.plugin import TensorboardPlugin


def make_run(name: str = "lauf", experiment: str = "größe", key: str = "r1") -> RunRecord:
    ref = Ref("mlflow", "run", key, f"mlflow:run/{key}")
    return RunRecord(ref=ref, name=name, experiment=experiment, state="RUNNING")


@pytest.fixture
def plugin(tmp_path: Path) -> TensorboardPlugin:
    return TensorboardPlugin(tmp_path / "w")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "w" / "tensorboard"


def points(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [(each.step, each.value, each.wall_time) for each in accumulator.Scalars(tag)]


def test_tensorboard_reads_back_equal_values_steps_and_times(plugin, root):
    metrics = [Metric("loss", 1 / (step + 1), step, 1e9 + step / 8) for step in range(20_000)]
    plugin.mlops_log_metrics(make_run(), metrics)
    expected = [(m.step, float(np.float32(m.value)), m.time) for m in metrics]
    assert points(root / "größe" / "lauf", "loss") == expected


def test_values_are_there_when_the_call_returns_and_calls_append_to_one_file(plugin, root):
    for step in range(3):
        plugin.mlops_log_metrics(make_run(), [Metric("a", step, step, 1.0 + step)])
        assert len(points(root / "größe" / "lauf", "a")) == step + 1
    assert len(list((root / "größe" / "lauf").iterdir())) == 1


def test_several_processes_append_to_a_file_each(plugin, root):
    plugin.mlops_log_metrics(make_run(), [Metric("a", 0.0, 0, 1.0)])
    for number in (1, 2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                plugin.mlops_log_metrics(make_run(), [Metric("a", number, number, 1.0)])
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(points(root / "größe" / "lauf", "a")) == [(0, 0, 1), (1, 1, 1), (2, 2, 1)]
    assert len(list((root / "größe" / "lauf").iterdir())) == 3


def test_infinities_and_not_a_number_are_kept(plugin, root):
    values = [float("inf"), float("-inf"), float("nan")]
    metrics = [Metric("a", value, step, 1.0) for step, value in enumerate(values)]
    plugin.mlops_log_metrics(make_run(), metrics)
    read = [value for _, value, _ in points(root / "größe" / "lauf", "a")]
    assert np.array_equal(read, values, equal_nan=True)


def test_a_metric_that_is_no_number_is_refused_and_nothing_is_written(plugin, root):
    with pytest.raises(ArgumentTypeError, match="high"):
        plugin.mlops_log_metrics(
            make_run(), [Metric("a", 1.0, 0, 1.0), Metric("b", "high", 0, 1.0)]
        )
    assert not root.exists()


def test_the_folder_says_whose_it_is(plugin, root):
    plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    accumulator = EventAccumulator(str(root / "größe" / "lauf"))
    accumulator.Reload()
    tensor = accumulator.Tensors("unified_mlops/run")[0].tensor_proto
    assert tensor.string_val[0] == b"mlflow:run/r1"


def test_params_stand_on_the_hparams_page_with_their_last_values(plugin, root):
    from tensorboard.plugins.hparams import metadata

    plugin.mlops_log_params(make_run(), {"rate": 0.1, "kind": "a", "n": 3})
    plugin.mlops_log_params(make_run(), {"rate": 0.2})
    plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    content = multiplexer.SummaryMetadata("größe/lauf", metadata.SESSION_START_INFO_TAG)
    info = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
    assert info.hparams["rate"].number_value == 0.2
    assert (info.hparams["kind"].string_value, info.hparams["n"].number_value) == ("a", 3)


def test_names_that_differ_get_folders_that_differ_and_none_leaves_the_root(plugin, root):
    pairs = [
        ("a/b", "c"), ("a", "b/c"), ("a_b", "c"), ("a%2Fb", "c"), ("..", ".."), ("", ""),
        (".hidden", "x\\y:z"), ("a", "b//c"), ("a", "/b"), ("a", "b/../../../.."), ("x" * 300, "y"),
        ("x" * 301, "y"), ("ü" * 200, "\0"),
    ]  # fmt: skip
    for number, (experiment, name) in enumerate(pairs):
        run = make_run(name, experiment, f"r{number}")
        plugin.mlops_log_metrics(run, [Metric("a", number, 0, 1.0)])
    folders = {path.parent.resolve() for path in root.rglob("*tfevents*")}
    assert len(folders) == len(pairs)
    assert all(folder.is_relative_to(root.resolve()) for folder in folders)


def test_a_new_run_under_a_deleted_ones_name_gets_a_folder_of_its_own(plugin, root, tmp_path):
    plugin.mlops_log_metrics(make_run(key="old"), [Metric("a", 1.0, 0, 1.0)])
    for _ in range(2):
        again = TensorboardPlugin(tmp_path / "w")
        again.mlops_log_metrics(make_run(key="new"), [Metric("a", 2.0, 0, 1.0)])
    assert len(points(root / "größe" / "lauf", "a")) == 1
    other = next(path for path in (root / "größe").iterdir() if path.name != "lauf")
    assert len(points(other, "a")) == 2


def test_a_folder_is_the_output_of_its_run(plugin, root):
    plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    plugin.mlops_log_params(make_run("lauf/kind", key="r2"), {"n": 1})
    collection = plugin.mlops_collect_lineage(None)
    uri = urn.canonical(root / "größe" / "lauf")
    assert [each.key for each in collection.observations] == [uri, f"{uri}/kind"]
    first, second = collection.observations
    assert (first.nodes[0].uri, first.nodes[0].kind, first.nodes[0].name) == (
        uri,
        "dataset",
        "größe/lauf",
    )
    assert first.edges == (Edge("mlflow:run/r1", "OUTPUT", uri),)
    assert second.edges == (Edge("mlflow:run/r2", "OUTPUT", f"{uri}/kind"),)
    assert plugin.mlops_collect_lineage(collection.cursor).observations == []


def test_a_folder_that_another_tool_wrote_is_a_dataset_of_nobody(plugin, root):
    from tensorboard.summary import Writer

    writer = Writer(str(root / "nativ"))
    writer.add_scalar("a", 1.0, 0)
    writer.close()
    (root / "leer").mkdir()
    (root / "leer" / "x.tfevents.1").write_bytes(b"no events at all")
    observations = plugin.mlops_collect_lineage(None).observations
    assert [each.nodes[0].name for each in observations] == ["leer", "nativ"]
    assert not any(each.edges for each in observations)


def test_half_a_record_is_waited_for(plugin, root):
    plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    path = next((root / "größe" / "lauf").iterdir())
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert len(plugin.mlops_collect_lineage(None).observations) == 1


def test_a_workspace_without_event_files_gives_nothing_and_stays_empty(plugin, tmp_path):
    assert plugin.mlops_collect_lineage(None).observations == ()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_backend_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    plugin = TensorboardPlugin(tmp_path, log_dir=str(tmp_path / "file"))
    with pytest.raises(BackendError, match="file") as caught:
        plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    assert "log_dir" in caught.value.hint


def test_a_full_disk_leaves_no_half_record(plugin, root):
    import resource
    import signal

    plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    path = next((root / "größe" / "lauf").iterdir())
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(BackendError):
            plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, s, 1.0) for s in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before


def test_loading_the_plugin_imports_no_tool(tmp_path):
    code = """
import sys
from pathlib import Path
from unified_mlops_tensorboard.plugin import TensorboardPlugin
plugin = TensorboardPlugin(Path(sys.argv[1]) / "w")
plugin.mlops_check_plugin(), plugin.mlops_describe_ui(), plugin.mlops_collect_lineage(None)
print(sorted({"tensorboard", "numpy", "google.protobuf", "tensorflow"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_writing_needs_neither_tensorflow_nor_torch(plugin):
    plugin.mlops_log_metrics(make_run(), [Metric("a", 1.0, 0, 1.0)])
    assert not {"tensorflow", "torch"} & set(sys.modules)


def test_the_check_and_the_page_name_the_folder(plugin, root):
    check = plugin.mlops_check_plugin()
    assert (check.plugin, check.location, check.problem) == ("tensorboard", str(root), "")
    ui = plugin.mlops_describe_ui()
    assert {str(root), "127.0.0.1", "{port}"} <= set(ui.command)
