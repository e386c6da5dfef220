"""What `kfp.local` of KFP 2.17 leaves behind, and what can be known from it."""

import json
import shutil
import time
from functools import partial

import pytest
from kfp import compiler, dsl, local
from kfp.dsl import Dataset, Input, Model, Output
from kfp.local.config import LocalExecutionConfig

from unified_mlops.records import Alias
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")
LOOPED = {"make-2": "data", "train-2-2": "model"}
SHARED = "file:///data/shared.parquet"


@component
def make(n: int, data: Output[Dataset]):
    with open(data.path, "w") as file:  # noqa: PTH123
        file.write(str(n))


@component
def train(data: Input[Dataset], model: Output[Model]) -> float:
    with open(model.path, "w") as file:  # noqa: PTH123
        file.write("weights")
    return 0.5


@component
def join(models: Input[list[Model]], more: Input[Dataset]) -> int:
    return len(models)


@component
def read(model: Input[Model]):
    pass


@dsl.pipeline(name="chain")
def chain():
    train(data=make(n=1).outputs["data"])


@dsl.pipeline(name="loop")
def loop():
    with dsl.ParallelFor([5, 6]) as n:
        trained = train(data=make(n=n).outputs["data"])
    imported = dsl.importer(artifact_uri=SHARED, artifact_class=Dataset)
    join(models=dsl.Collected(trained.outputs["model"]), more=imported.output)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder in which somebody ran pipelines natively, with the compiled files beside it."""
    folder = tmp_path_factory.mktemp("native")
    place = str(folder / "local_outputs")
    (folder / "definitions").mkdir()
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=place, enable_caching=True)
    for pipeline in (chain, chain, loop):
        pipeline()
        target = folder / "definitions" / f"{pipeline.name}.yaml"
        compiler.Compiler().compile(pipeline, str(target))
    LocalExecutionConfig.instance = None
    time.sleep(0.05)
    return folder


@pytest.fixture
def collect(ran, tmp_path):
    def collect(cursor=None, definitions="definitions"):
        options = {"definitions": str(ran / definitions)} if definitions else {}
        plugin = KfpPlugin(tmp_path, local=str(ran / "local_outputs"), **options)
        return plugin.mlops_collect_lineage(cursor)

    return collect


def runs(ran, name):
    return [each.name for each in sorted((ran / "local_outputs").glob(f"{name}-*"))]


def seen_of(collection, run):
    return next(seen for seen in collection.observations if seen.key.endswith(f"/{run}"))


def drawn(observation, kind, level=None):
    """The edges of a kind, without what all of a run's URNs begin with."""
    base, place = observation.nodes[0].uri, observation.key
    short = [
        tuple(end.replace(f"{place}/", "").replace(f"{base}/", "") for end in (e.source, e.target))
        for e in observation.edges
        if e.kind == kind and level in (None, e.level)
    ]
    return sorted(short)


def test_trap_11_kfp_local_stores_no_inputs_and_a_cached_run_leaves_no_folder(ran, collect):
    # natively: of two runs one is there, and no file of it says what `train` was given
    (run,) = runs(ran, "chain")
    left = sorted(p.name for p in (ran / "local_outputs" / run).rglob("*") if p.is_file())
    assert left == ["data", "executor_output.json", "executor_output.json", "model"]
    (written,) = (ran / "local_outputs" / run).glob("train/executor_output.json")
    assert "data" not in written.read_text().replace("metadata", "")
    # ours: the edge is derived from the definition, and nothing is made up for the other run
    seen = seen_of(collect(), run)
    assert drawn(seen, "INPUT", "derived") == [("make/data", "train")]
    assert drawn(seen, "OUTPUT", "recorded") == [("make", "make/data"), ("train", "train/model")]
    assert seen.unresolved == ()
    assert {node.uri: node.kind for node in seen.nodes}[f"{seen.key}/train/model"] == "model"
    ran_ = [n.uri for o in collect().observations for n in o.nodes if n.kind == "pipeline_run"]
    assert len(ran_) == 2


def test_a_task_fed_by_a_cached_one_says_so_and_gets_no_guessed_edge(ran, tmp_path):
    (run,) = runs(ran, "chain")
    shutil.copytree(ran / "local_outputs" / run / "train", tmp_path / "copy" / run / "train")
    definitions = str(ran / "definitions")
    plugin = KfpPlugin(tmp_path, local=str(tmp_path / "copy"), definitions=definitions)
    (seen,) = plugin.mlops_collect_lineage(None).observations
    assert drawn(seen, "INPUT") == []
    assert seen.unresolved == (
        f"kfp://local/runs/{run}/train: its input 'data' comes from the task 'make',"
        " which left no folder: it was cached, or did not run",
    )


def test_the_iterations_of_a_loop_do_not_mix_and_an_importer_shares_its_uri(ran, collect):
    (run,) = runs(ran, "loop")
    seen = seen_of(collect(), run)
    turns = [f"for-loop-2-iteration-{n}" for n in (0, 1)]
    assert set(drawn(seen, "INPUT")) == {
        (SHARED, "importer"),
        (SHARED, "join"),
        *((f"{turn}/make/data", f"{turn}/train") for turn in turns),
        *((f"{turn}/train/model", "join") for turn in turns),
    }
    assert ("importer", SHARED) not in drawn(seen, "OUTPUT")
    assert seen.unresolved == ()


def test_an_iteration_that_left_nothing_is_named(ran, collect, tmp_path):
    (run,) = runs(ran, "loop")
    copy = tmp_path / "copy" / run
    shutil.copytree(ran / "local_outputs" / run, copy)
    shutil.rmtree(copy / "for-loop-2-iteration-1")
    definitions = str(ran / "definitions")
    plugin = KfpPlugin(tmp_path, local=str(tmp_path / "copy"), definitions=definitions)
    (seen,) = plugin.mlops_collect_lineage(None).observations
    assert "comes from iteration 1 of the loop 'for-loop-2' too" in seen.unresolved[0]


def test_runs_have_a_time_a_definition_and_the_names_by_which_others_know_them(ran, collect):
    (run,) = runs(ran, "chain")
    seen = seen_of(collect(), run)
    node, pipeline = seen.nodes[:2]
    assert 0 < node.time < seen.time < node.time + 60
    assert pipeline.uri == KfpPlugin(ran).mlops_load_pipeline(chain).ref.uri
    assert (pipeline.uri, node.uri) in drawn(seen, "PARENT_OF", "derived")
    assert set(seen.aliases) == {
        Alias(f"kfp:run/{run}", f"kfp://local/runs/{run}", "kfp://local"),
        *(
            Alias(f"kfp:task/{run}/{task}", f"kfp://local/runs/{run}/{task}", "kfp://local")
            for task in ("make", "train")
        ),
    }


def test_without_a_definition_only_what_was_written_is_drawn_and_the_rest_said(ran, collect):
    (run,) = runs(ran, "chain")
    seen = seen_of(collect(definitions=""), run)
    assert drawn(seen, "INPUT") == []
    assert len(drawn(seen, "OUTPUT")) == 2
    assert "does not record what its tasks were given" in seen.unresolved[0]


def test_a_definition_that_comes_later_is_joined_and_then_nothing_is_new(ran, collect):
    first = collect(definitions="")
    second = collect(first.cursor)
    assert len(second.observations) == 2
    (run,) = runs(ran, "chain")
    assert drawn(seen_of(second, run), "INPUT") == [("make/data", "train")]
    third = collect(second.cursor)
    assert (third.observations, third.cursor) == ((), second.cursor)


def test_of_two_definitions_that_fit_both_are_inferred_and_what_they_share_is_derived(
    ran, collect, tmp_path
):
    @dsl.pipeline(name="chain", description="another")
    def other():
        train(data=make(n=2).outputs["data"])

    @dsl.pipeline(name="chain")
    def unlike():
        make(n=1)

    shutil.copy(ran / "definitions" / "chain.yaml", tmp_path / "a.yaml")
    for name, pipeline in {"b": other, "c": unlike}.items():
        compiler.Compiler().compile(pipeline, str(tmp_path / f"{name}.yaml"))
    (run,) = runs(ran, "chain")
    plugin = KfpPlugin(tmp_path, local=str(ran / "local_outputs"), definitions=str(tmp_path))
    seen = seen_of(plugin.mlops_collect_lineage(None), run)
    assert drawn(seen, "INPUT", "derived") == [("make/data", "train")]
    parents = [edge.source for edge in seen.edges if edge.level == "inferred"]
    fitting = {plugin.mlops_load_pipeline(each).ref.uri for each in (chain, other)}
    assert set(parents) == fitting
    assert "which definition it ran is not recorded" in seen.unresolved[0]


def test_branches_nested_pipelines_and_loops_in_loops_are_followed(tmp_path):
    @dsl.pipeline
    def inner(given: Input[Dataset], n: int) -> Model:
        return train(data=given).outputs["model"]

    @dsl.pipeline(name="deep")
    def deep(n: int = 1):
        first = make(n=0)
        with dsl.If(n == 1):
            one = inner(given=first.outputs["data"], n=1)
        with dsl.Else():
            two = train(data=first.outputs["data"])
        read(model=dsl.OneOf(one.output, two.outputs["model"]))
        with dsl.ParallelFor([7]) as a, dsl.ParallelFor([8, 9]):
            train(data=make(n=a).outputs["data"])

    compiler.Compiler().compile(deep, str(tmp_path / "deep.yaml"))
    run = tmp_path / "out" / "deep-2026-01-02-03-04-05-678901"
    turns = [f"for-loop-5-iteration-0/for-loop-7-iteration-{n}/" for n in (0, 1)]
    tasks = {"make": "data", "train": "model", "read": ""}  # as KFP's compiler names them
    tasks |= {f"{turn}{task}": out for turn in turns for task, out in LOOPED.items()}
    for task, out in tasks.items():
        made = {out: {"artifacts": [{"uri": str(run / task / out)}]}} if out else {}
        (run / task).mkdir(parents=True)
        (run / task / "executor_output.json").write_text(json.dumps({"artifacts": made}))
    plugin = KfpPlugin(tmp_path, local=str(tmp_path / "out"), definitions=str(tmp_path))
    (seen,) = plugin.mlops_collect_lineage(None).observations
    assert set(drawn(seen, "INPUT", "derived")) == {
        ("make/data", "train"),
        ("train/model", "read"),
        *((f"{turn}make-2/data", f"{turn}train-2-2") for turn in turns),
    }
    assert seen.unresolved == ()


def test_a_definition_that_cannot_be_read_is_named_and_the_others_go_on(ran, tmp_path):
    for file in (ran / "definitions").iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "bad.yaml").write_text("pipelineInfo: [")
    (tmp_path / "other.yaml").write_text("a: 1")
    plugin = KfpPlugin(tmp_path, local=str(ran / "local_outputs"), definitions=str(tmp_path))
    found = plugin.mlops_collect_lineage(None)
    (bad,) = (seen for seen in found.observations if seen.key.endswith("bad.yaml"))
    assert "cannot be read" in bad.unresolved[0]
    assert len(found.observations) == 3
    assert drawn(seen_of(found, runs(ran, "chain")[0]), "INPUT") == [("make/data", "train")]
