"""Pipelines that `kfp.local` ran, with their compiled files beside them.

KFP cannot compile what a module with `from __future__ import annotations` defines.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl, local
from kfp.dsl import Dataset, Input, Model, Output
from kfp.local.config import LocalExecutionConfig
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench
from tests.stories.lineage.scenario import Truth
from tests.stories.lineage.test_features import BOTH, DATA, SALES

pytestmark = pytest.mark.story
component = partial(dsl.component, base_image="python:3.11")


@component
def make(n: int, data: Output[Dataset]):
    with open(data.path, "w") as file:  # noqa: PTH123  a component stands alone
        file.write(f"x\n{n}\n")


@component
def grow(data: Input[Dataset], by: int, more: Output[Dataset]):
    with open(data.path) as source, open(more.path, "w") as file:  # noqa: PTH123
        file.write(source.read() * by)


@component
def shrink(data: Input[Dataset], less: Output[Dataset]) -> int:
    with open(data.path) as source, open(less.path, "w") as file:  # noqa: PTH123
        return file.write(source.read()[:1])


@component
def join(one: Input[Dataset], two: Input[Dataset], size: int, model: Output[Model]):
    with open(model.path, "w") as file:  # noqa: PTH123
        file.write(open(one.path).read() + open(two.path).read())  # noqa: PTH123, SIM115


@component
def spoil(data: Input[Dataset], model: Output[Dataset]):
    with open(model.path, "w") as file:  # noqa: PTH123
        file.write("half of a mo")
    raise ValueError("on purpose")


@component
def copy(table: Input[Dataset], copied: Output[Dataset]):
    with open(table.path, "rb") as source, open(copied.path, "wb") as file:  # noqa: PTH123
        file.write(source.read())


@component
def fit(data: Input[Dataset], model: Output[Model]):
    import mlflow
    import pandas as pd

    with mlflow.start_run() as run:
        frame = pd.read_csv(data.path)
        mlflow.log_input(mlflow.data.from_pandas(frame, source=data.path, name="train"))
    with open(model.path, "w") as file:  # noqa: PTH123
        file.write(run.info.run_id)


class Local:
    """`kfp.local`, which leaves its runs in one folder and knows compiled pipelines in another."""

    def __init__(self, bench: Bench) -> None:
        self.root, self.definitions = (bench.folder / name for name in ("runs", "compiled"))
        self.definitions.mkdir()
        names = {"local": str(self.root), "definitions": str(self.definitions)}
        bench.plugins["kfp"] = names

    def run(self, pipeline: Any, caching: bool = False, **arguments: Any) -> Path | None:
        """Compile a pipeline and run it; its folder, if it left one."""
        compiler.Compiler().compile(pipeline, str(self.definitions / f"{pipeline.name}.yaml"))
        before = self.folders()
        runner = local.SubprocessRunner(use_venv=False)
        local.init(runner=runner, pipeline_root=str(self.root), enable_caching=caching)
        try:
            pipeline(**arguments)
        finally:
            LocalExecutionConfig.instance = None
        return next(iter(self.folders() - before), None)

    def folders(self) -> set[Path]:
        return {path for path in self.root.glob("*") if not path.name.startswith(".")}


class Told:
    """A run in words: its tasks by their folders, and where their artifacts are."""

    def __init__(self, truth: Truth, pipeline: Any, folder: Path | None) -> None:
        from unified_mlops_kfp.plugin import KfpPlugin

        assert folder is not None
        self.truth, self.folder = truth, folder
        self.uri = truth.node("pipeline_run", f"kfp://local/runs/{folder.name}")
        record = KfpPlugin(folder).mlops_load_pipeline(pipeline)  # its hash is opaque
        truth.edge(truth.node("pipeline", record.ref.uri), "PARENT_OF", self.uri)

    def task(self, name: str, reads: Sequence[str] = (), **writes: str) -> str:
        """Say that a task ran, what it read, and the kind of each thing that it wrote."""
        task = self.truth.node("task", f"{self.uri}/{name}")
        self.truth.edge(self.uri, "PARENT_OF", task)
        for read in reads:
            self.truth.edge(read, "INPUT", task)
        for made, kind in writes.items():
            self.truth.edge(task, "OUTPUT", self.truth.node(kind, self.at(f"{name}/{made}")))
        return task

    def at(self, place: str) -> str:
        """The URN of a file below the run's folder."""
        return f"file://{self.folder}/{place}"


@pytest.fixture
def kfp(bench: Bench) -> Local:
    return Local(bench)


# --- the shapes of pipelines -----------------------------------------------------------------


@dsl.pipeline(name="branches")
def branches():
    made = make(n=3)
    grown = grow(data=made.outputs["data"], by=2)
    shrunk = shrink(data=made.outputs["data"])
    size = shrunk.outputs["Output"]
    join(one=grown.outputs["more"], two=shrunk.outputs["less"], size=size)
    shrink(data=grown.outputs["more"])  # another branch, that ends here


def test_branches_that_part_and_join(bench: Bench, kfp: Local, check: Check) -> None:
    truth = bench.truth()
    told = Told(truth, branches, kfp.run(branches))
    told.task("make", data="dataset")
    told.task("grow", [told.at("make/data")], more="dataset")
    told.task("shrink", [told.at("make/data")], less="dataset")
    both = [told.at("grow/more"), told.at("shrink/less")]
    told.task("join", both, model="model")
    told.task("shrink-2", [told.at("grow/more")], less="dataset")
    session = bench.collect()
    check(session, truth)
    found = session.lineage.upstream(told.at("shrink-2/less")).nodes
    assert told.at("grow/more") in found
    assert not {told.at("shrink/less"), f"{told.uri}/join"} & {*found}


@dsl.pipeline(name="loop")
def loop():
    shared = make(n=0)
    with dsl.ParallelFor([1, 2, 3]) as n:
        made = make(n=n)
        join(one=made.outputs["data"], two=shared.outputs["data"], size=1)


def test_the_iterations_of_a_loop_do_not_mix(bench: Bench, kfp: Local, check: Check) -> None:
    truth = bench.truth()
    told = Told(truth, loop, kfp.run(loop))
    told.task("make", data="dataset")
    turns = [f"for-loop-2-iteration-{n}" for n in range(3)]
    for turn in turns:
        told.task(f"{turn}/make-2", data="dataset")
        reads = [told.at(f"{turn}/make-2/data"), told.at("make/data")]
        told.task(f"{turn}/join", reads, model="model")
    session = bench.collect()
    check(session, truth)
    for turn in turns:
        found = session.lineage.downstream(told.at(f"{turn}/make-2/data")).of_kind("model")
        assert [node.uri for node in found] == [told.at(f"{turn}/join/model")]


@dsl.pipeline(name="broken")
def broken():
    spoilt = spoil(data=make(n=1).outputs["data"])
    copy(table=spoilt.outputs["model"])


def test_a_task_that_failed_made_nothing(bench: Bench, kfp: Local, check: Check) -> None:
    """It read its input, and left half a file that is no artifact."""
    with pytest.raises(RuntimeError, match="spoil"):
        kfp.run(broken)
    (folder,) = kfp.folders()
    assert (folder / "spoil" / "model").exists()
    truth = bench.truth()
    told = Told(truth, broken, folder)
    told.task("make", data="dataset")
    told.task("spoil", [told.at("make/data")])
    check(bench.collect(), truth)


# --- caching ---------------------------------------------------------------------------------


@dsl.pipeline(name="chain")
def chain(by: int = 1):
    grow(data=make(n=1).outputs["data"], by=by)


def test_trap_11_what_the_cache_gave(bench: Bench, kfp: Local, check: Check) -> None:
    """A run that was wholly cached left nothing; in another one a task read what a run had made."""
    truth = bench.truth()
    first = Told(truth, chain, kfp.run(chain, caching=True))
    first.task("make", data="dataset")
    first.task("grow", [first.at("make/data")], more="dataset")
    assert kfp.run(chain, caching=True) is None
    bench.collect()
    second = Told(truth, chain, kfp.run(chain, caching=True, by=2))
    task = second.task("grow", more="dataset")
    why = "kfp.local writes nowhere which run's artifact the cache gave"
    truth.lost(first.at("make/data"), "INPUT", task, why=why)
    truth.unresolved("its input 'data' comes from the task 'make', which left no folder")
    check(bench.collect(), truth)


# --- with other tools ------------------------------------------------------------------------


def importing(uri: str, name: str) -> Any:
    @dsl.pipeline(name=name)
    def pipeline():
        copy(table=dsl.importer(artifact_uri=uri, artifact_class=Dataset).output)

    return pipeline


def test_an_imported_file_that_a_feature_view_reads(bench: Bench, kfp: Local, check: Check) -> None:
    """One node; an importer says what it uses, and makes nothing of it."""
    repo = bench.feast()
    file = bench.file("repo/data/sales.parquet", DATA)
    repo.apply(SALES)
    truth = bench.truth()
    view = repo.told(truth, "sales", file, BOTH)
    runs = []
    for name in ("weekly", "daily"):
        pipeline = importing(file.removeprefix("file://"), name)
        told = Told(truth, pipeline, kfp.run(pipeline))
        told.task("importer", [file])
        told.task("copy", [file], copied="dataset")
        runs.append(told)
    session = bench.collect()
    check(session, truth)
    assert view in session.lineage.downstream(file).nodes
    found = session.lineage.upstream(runs[1].at("copy/copied")).nodes
    assert runs[0].uri not in found


@dsl.pipeline(name="training")
def training():
    fit(data=make(n=5).outputs["data"])


def trained(bench: Bench, kfp: Local, environment: Callable[[], dict[str, str]]) -> Any:
    """An MLflow run in a task, of which the artifact tells the id; the truth, the task, the run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, text in environment().items():
            patch.setenv(name, text)
        told = Told(bench.truth(), training, kfp.run(training))
    told.task("make", data="dataset")
    task = told.task("fit", [told.at("make/data")], model="model")
    truth = told.truth
    run = bench.run(truth, (told.folder / "fit" / "model").read_text())
    truth.edge(truth.node("dataset", told.at("make/data"), "x"), "INPUT", run)
    return truth, task, run


def test_a_run_in_a_task_is_joined_where_our_package_is_installed(
    bench: Bench, kfp: Local, check: Check
) -> None:
    truth, task, run = trained(bench, kfp, partial(bench.environment, ambient=True))
    truth.edge(task, "PARENT_OF", run)
    check(bench.collect(), truth)


def test_a_run_in_a_task_is_not_joined_where_nothing_tells_of_it(
    bench: Bench, kfp: Local, check: Check
) -> None:
    truth, task, run = trained(bench, kfp, bench.environment)
    truth.lost(task, "PARENT_OF", run, why="natively MLflow does not know of KFP")
    check(bench.collect(), truth)
