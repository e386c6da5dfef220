"""What bad input gets, on the real tools: one sentence and a hint, and nothing half-written."""

import hashlib
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from kfp import dsl
from sklearn.dummy import DummyRegressor

import unified_mlops as umlops
from unified_mlops.config import FILE, Config
from unified_mlops.current import use_session
from unified_mlops.errors import (
    AlreadyExistsError,
    AmbiguousPluginError,
    ArgumentError,
    ArgumentTypeError,
    BackendError,
    NotFoundError,
    PluginLoadError,
    UnifiedMLOpsError,
)
from unified_mlops.lineage import database as graph
from unified_mlops.session import Session
from unified_mlops.testing import MemoryPlugin
from unified_mlops_mlflow.plugin import MlflowPlugin

BIN = Path(sys.executable).parent
DAY, NOON = timedelta(days=1), datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
ROWS = pd.DataFrame({"wind": [1.0, 2.0]})
PATIENCE = 35
"""Seconds after which a locked store must have been given up."""
FEATURES = """\
from datetime import timedelta
from pathlib import Path
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

airport = Entity(name="airport", join_keys=["code"], value_type=ValueType.STRING)
source = FileSource(path=str(Path(__file__).with_name("weather.parquet")), timestamp_field="time")
weather = FeatureView(
    name="weather",
    entities=[airport],
    ttl=timedelta(days=3),
    schema=[Field(name="wind", dtype=Float64)],
    source=source,
)
"""


@dsl.component(base_image="python:3.11")
def train(rate: float) -> float:
    return rate


@dsl.pipeline(name="training")
def training(rate: float) -> None:
    train(rate=rate)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float


def run(*command: str | Path, folder: Path | None = None, **variables: str) -> Done:
    start = time.monotonic()
    environment = {**os.environ, "COLUMNS": "250", **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


def cli(*words: str, folder: Path | None = None, **variables: str) -> Done:
    return run(BIN / "umlops", *words, folder=folder, **variables)


def is_clear(text: str, fact: str) -> None:
    """One sentence in lower case that says `fact`, one hint, and nothing else."""
    sentence, hint = text.strip().split("\n")
    assert fact in sentence
    assert not sentence[0].isupper()
    assert re.fullmatch("Hint: .+", hint)


def is_refused(done: Done, fact: str) -> None:
    assert (done.code, done.out) == (2, "")
    is_clear(done.err.removeprefix("umlops: "), fact)


@contextmanager
def refuses(kind: type[UnifiedMLOpsError], fact: str, folder: Path) -> Iterator[None]:
    """The block raises this error and leaves everything in the folder as it was."""
    before = kept(folder)
    with pytest.raises(kind) as caught:
        yield
    is_clear(str(caught.value), fact)
    assert kept(folder) == before


def kept(folder: Path) -> Mapping[str, str]:
    """What files and databases hold; a database's own journal is not looked at."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in folder.rglob("*")
        if not path.name.endswith(("-wal", "-shm", "filler"))
    }


def _content(path: Path) -> str:
    if path.is_dir():
        return "folder"
    data = path.read_bytes()
    if data.startswith(b"SQLite format 3"):
        try:
            with closing(sqlite3.connect(path, timeout=0.1)) as database:
                data = "\n".join(database.iterdump()).encode()
        except sqlite3.Error:
            pass  # corrupted or locked: its bytes are all there is
    return hashlib.sha256(data).hexdigest()


def corrupt(path: Path, how: str = "overwritten") -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        if how == "cut off":
            file.truncate(size // 2)
        else:
            file.write(b"this was a database once " * (size // 25 + 1))


@contextmanager
def locked(path: Path, readers_too: bool = False) -> Iterator[None]:
    """Another process holds an exclusive transaction."""
    mode = "PRAGMA locking_mode=EXCLUSIVE" if readers_too else "SELECT 1"
    program = (
        "import sqlite3, sys\n"
        f"database = sqlite3.connect({str(path)!r}, isolation_level=None)\n"
        f"database.execute({mode!r}), database.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True), sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        yield
        assert holder.poll() is None
        holder.kill()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that every store of the real tools is part of."""
    folder = tmp_path_factory.mktemp("home")
    (folder / FILE).write_text('workspace = "workspace"\nexperiment = "delay"\n')
    session = Session(Config(workspace=folder / "workspace", experiment="delay"))
    with umlops.start_run("first", session=session) as first:
        first.log_params({"depth": 4})
        model = first.log_model(DummyRegressor().fit(ROWS, [1, 2]), example=ROWS)
    model.register_model("delay")
    repo = folder / "workspace" / "feature_repo"
    repo.mkdir()
    (repo / "features.py").write_text(FEATURES)
    weather = ROWS.assign(code=["JFK", "LGA"], time=NOON)
    weather.to_parquet(repo / "weather.parquet", coerce_timestamps="us")
    store = umlops.FeatureStore(session=session)
    store.apply()
    store.sync(NOON - DAY, NOON + DAY)
    assert session.lineage.collect() == {}
    for path in (folder / "workspace").rglob("*.db"):
        if path.read_bytes().startswith(b"SQLite"):
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def copy(home: Path, folder: Path) -> Path:
    """A project of one's own."""
    return shutil.copytree(home, folder, ignore=shutil.ignore_patterns("*-wal", "*-shm"))


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, which the test works in, in a session of its own."""
    folder = copy(home, tmp_path / "project")
    monkeypatch.chdir(folder)
    use_session(Session())
    return folder


# --- commands that wait for a lock, all the while the other tests run ------------------------

TRAIN = """\
import time
import mlflow
import unified_mlops as umlops
start = time.monotonic()
try:
    umlops.start_run("second")
finally:
    print(time.monotonic() - start)
"""
DECLARE = """\
from unified_mlops import Session
Session().lineage.declare(["a.csv"], ["b.csv"])
"""
COLLECT = (BIN / "umlops", "lineage", "collect")
WAITING: Mapping[str, tuple[str, bool, tuple[str | Path, ...]]] = {
    "a command whose graph is locked": ("lineage.db", False, COLLECT),
    "a script whose graph is locked": ("lineage.db", False, (sys.executable, "-c", DECLARE)),
    "a collector that cannot read": ("mlflow/mlflow.db", True, COLLECT),
    "a script that cannot write": ("mlflow/mlflow.db", False, (sys.executable, "-c", TRAIN)),
}


@pytest.fixture(scope="module", autouse=True)
def waiting(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Each command that meets a locked store, as a future; true if it left the store alone."""
    folder = tmp_path_factory.mktemp("waiting")

    def wait(what: str) -> tuple[Done, bool]:
        path, readers_too, command = WAITING[what]
        plugins = "tensorboard" if path == "lineage.db" else "tensorboard,mlflow"
        place = copy(home, folder / what) / "workspace"
        before = kept(place)
        with locked(place / path, readers_too):
            done = run(*command, folder=place, UNIFIED_MLOPS_PLUGINS=plugins)
        after = kept(place)
        return done, after[path] == before[path] and after.keys() == before.keys()

    with ThreadPoolExecutor(len(WAITING)) as pool:
        yield {what: pool.submit(wait, what) for what in WAITING}


# --- settings and plugins --------------------------------------------------------------------

SETTINGS = {
    "an unknown key": ('workspaces = "w"', "unknown key 'workspaces' in"),
    "a value of the wrong type": ("workspace = 3", "'workspace' in"),
    "what is not TOML": ("workspace = ", "is not valid TOML"),
    "an unknown noun": ('[providers]\nruns = "mlflow"', "unknown key 'runs' in [providers]"),
    "an unknown key of a plugin": ("[plugins.mlflow]\nuri = 1", "unknown key 'uri' in"),
    "a value that a plugin refuses": ("[plugins.evidently]\nsample = -1", "sample is -1"),
    "settings that are no table": ("[plugins]\nmlflow = 3", "'mlflow' below [plugins] in"),
    "a missing provider": ('[providers]\nrun = "mlfow"', "no plugin 'mlfow' is loaded"),
    "settings of a missing plugin": ("[plugins.wandb]\nkey = 1", "no plugin 'wandb' is loaded"),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_settings_that_cannot_be_used_are_named(what: str, tmp_path: Path) -> None:
    text, fact = SETTINGS[what]
    (tmp_path / FILE).write_text(text)
    is_refused(cli("doctor"), fact)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_traceback_is_shown_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("workspaces = 1")
    assert "Traceback" not in cli("lineage", "collect").err
    asked = cli("--traceback", "lineage", "collect")
    assert (asked.code, "Traceback" in asked.err) == (2, True)


def test_an_error_that_nobody_catches_ends_a_script_with_fact_and_hint(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("workspaces = 1")
    done = run(sys.executable, "-c", "import unified_mlops\nunified_mlops.init()")
    assert done.code == 1
    fact, hint = done.err.strip().split("\n")[-2:]
    assert fact.startswith("unified_mlops.errors.ConfigError: unknown key 'workspaces' in")
    assert hint.startswith("Hint: did you mean 'workspace'?")


def test_a_plugin_that_raises_at_import_is_reported_and_the_others_work(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[unified_mlops.plugins]\nbroken = broken:Plugin\n")
    (tmp_path / "site" / "broken.py").write_text("raise RuntimeError('no licence [2024]')\n")
    found = cli("doctor", PYTHONPATH=str(tmp_path / "site"))
    assert (found.code, found.err) == (1, "")
    assert re.search("broken .*'broken' could not be loaded.*no licence .2024.", found.out)
    assert "Hint: pip install" in found.out
    assert found.out.count(" ok ") == 6
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with umlops.start_run("beside", session=Session()) as beside:
        assert beside.state == "RUNNING"
    asked = Session(Config(workspace=project / "workspace", providers={"run": "broken"}))
    with refuses(PluginLoadError, "plugin 'broken' could not be loaded", project):
        umlops.start_run("again", experiment="delay", session=asked)


def test_two_plugins_for_one_noun_are_told_apart_by_the_line_in_the_hint(project: Path) -> None:
    config = Config(workspace=project / "workspace", experiment="two")
    plugins = {"memory": MemoryPlugin, "mlflow": MlflowPlugin}
    both = Session(config, plugins=plugins)
    with refuses(AmbiguousPluginError, "'memory' and 'mlflow' both serve 'run'", project):
        umlops.start_run("a", session=both)
    told = Session(config.with_settings(providers={"run": "memory"}), plugins=plugins)
    umlops.start_run("a", session=told).end_run()


# --- calls -----------------------------------------------------------------------------------


def features(*names: str, code: str = "code") -> Any:
    return umlops.FeatureStore().fetch_feature_values(names, [{code: "JFK"}])


def job(**values: Any) -> umlops.PipelineJob:
    return umlops.PipelineJob("job", training, parameter_values=values)


LONG = "x" * 7000

CALLS: Mapping[str, tuple[Callable[[], Any], type[UnifiedMLOpsError], str]] = {
    "a param of the wrong type": (
        lambda: umlops.log_params({"depth": 4, "layers": [1, 2]}),  # type: ignore[dict-item]
        ArgumentTypeError,
        "param 'layers' is [1, 2], a list",
    ),
    "params without names": (
        lambda: umlops.log_params(["depth"]),  # type: ignore[arg-type]
        ArgumentTypeError,
        "params are ['depth'], a list",
    ),
    "a param that is too long, which TensorBoard would have kept": (
        lambda: umlops.log_params({"depth": 4, "note": LONG}),
        ArgumentError,
        "param 'note' has 7000 characters",
    ),
    "a metric that is text": (
        lambda: umlops.log_metrics({"loss": 0.1, "kind": "low"}),  # type: ignore[dict-item]
        ArgumentTypeError,
        "metric 'kind' is 'low', a str",
    ),
    "a run name in use": (
        lambda: umlops.start_run("first"),
        AlreadyExistsError,
        "experiment 'delay' has a run 'first'",
    ),
    "a missing run": (
        lambda: umlops.start_run("frist", resume=True),
        NotFoundError,
        "no run in experiment 'delay' named 'frist'",
    ),
    "an unknown pipeline parameter": (
        lambda: job(rate=0.1, depth=4),
        ArgumentError,
        "unknown pipeline parameter 'depth'",
    ),
    "a pipeline parameter of the wrong type": (
        lambda: job(rate="high"),
        ArgumentTypeError,
        "'rate'",
    ),
    "a missing feature": (
        lambda: features("weather:rain"),
        NotFoundError,
        "no feature 'weather:rain' is defined",
    ),
    "a missing feature view": (
        lambda: features("wether:wind"),
        NotFoundError,
        "no feature view 'wether'",
    ),
    "a missing key of an entity": (
        lambda: features("weather:wind", code="airport"),
        ArgumentError,
        "has no 'code'",
    ),
    "a missing model": (
        lambda: umlops.Model("dealy"),
        NotFoundError,
        "no registered model 'dealy'",
    ),
    "a missing model version": (
        lambda: umlops.Model("delay@7"),
        NotFoundError,
        "no version of model 'delay' called '7'",
    ),
    "a missing model alias": (
        lambda: umlops.Model("delay@champion"),
        NotFoundError,
        "no version of model 'delay' called 'champion'",
    ),
}


@pytest.fixture(scope="module")
def busy(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Session]:
    """A project and its session, in which a run goes on."""
    folder = copy(home, tmp_path_factory.mktemp("busy") / "project")
    session = Session(Config(workspace=folder / "workspace", experiment="delay"))
    umlops.start_run("going-on", session=session)
    session.close()
    return folder, session


@pytest.mark.parametrize("what", CALLS)
def test_a_call_that_cannot_be_served_changes_nothing(
    what: str, busy: tuple[Path, Session]
) -> None:
    call, kind, fact = CALLS[what]
    folder, session = busy
    use_session(session)
    with refuses(kind, fact, folder):
        try:
            call()
        finally:
            umlops.active_run().flush()
            session.close()
    assert (umlops.active_run().name, umlops.active_run().state) == ("going-on", "RUNNING")


@pytest.mark.parametrize(
    "look",
    [
        lambda: umlops.ExperimentRun("first", "delay"),
        lambda: umlops.get_experiment_df("delay"),
        lambda: umlops.Model("delay"),
        lambda: umlops.ModelRegistry("delay").list_versions(),
        lambda: umlops.FeatureView("weather"),
        lambda: umlops.FeatureStore().apply(),
    ],
)
def test_looking_where_there_is_nothing_yet_makes_nothing(
    look: Callable[[], Any], tmp_path: Path
) -> None:
    with refuses(NotFoundError, "", tmp_path):
        look()


def test_asking_for_the_lineage_of_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    is_refused(cli("lineage", "up", "b.csv"), "the graph does not know 'b.csv'")
    assert list(tmp_path.iterdir()) == []


# --- stores that are corrupted ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["overwritten", "cut off"])
def test_a_corrupted_mlflow_database_is_named_and_left_alone(how: str, project: Path) -> None:
    path = project / "workspace" / "mlflow" / "mlflow.db"
    corrupt(path, how)
    with refuses(BackendError, f"the MLflow store {str(path)!r} is corrupted", project):
        umlops.start_run("second")
    with refuses(BackendError, "is corrupted", project):
        umlops.Model("delay")


def test_a_collector_with_a_corrupted_store_is_named_and_the_others_go_on(project: Path) -> None:
    path = project / "workspace" / "mlflow" / "mlflow.db"
    corrupt(path)
    (project / "workspace" / "lineage.db").unlink()
    before = path.read_bytes()
    found = cli("lineage", "collect", UNIFIED_MLOPS_PLUGINS="mlflow,tensorboard")
    assert found.code == 1
    is_clear(found.err, f"not collected: mlflow: the MLflow store {str(path)!r} is corrupted")
    assert int(found.out.split()[0]) > 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["overwritten", "cut off"])
def test_a_corrupted_graph_is_mended_by_what_the_hint_says(how: str, project: Path) -> None:
    path = project / "workspace" / "lineage.db"
    corrupt(path, how)
    before = kept(project)
    for words in (("collect",), ("up", "first"), ("rebuild",)):
        found = cli("lineage", *words, UNIFIED_MLOPS_PLUGINS="tensorboard")
        is_refused(found, f"the lineage database {str(path)!r} is corrupted")
    assert kept(project) == before
    hint = found.err.partition("Hint: ")[2].strip()
    path_too = {"PATH": f"{BIN}:{os.environ['PATH']}", "UNIFIED_MLOPS_PLUGINS": "tensorboard"}
    for command in hint.split(", and then: "):
        assert run("sh", "-c", command, **path_too).code == 0
    assert path.with_name("lineage.db.bad").exists()


def test_a_script_whose_graph_is_corrupted_is_told_at_its_end(project: Path) -> None:
    corrupt(project / "workspace" / "lineage.db")
    before = kept(project)
    done = run(sys.executable, "-c", DECLARE)
    assert (done.code, done.out) == (0, "")
    is_clear(done.err, "is corrupted")
    assert kept(project) == before


@pytest.mark.parametrize(
    ("file", "fact"),
    [("registry.db", "the registry of"), ("online_store.db", "the online store of")],
)
def test_corrupted_stores_of_feast_are_named_and_mended_by_what_the_hint_says(
    file: str, fact: str, project: Path
) -> None:
    repo = project / "workspace" / "feature_repo"
    corrupt(repo / "data" / file)
    with refuses(BackendError, f"{fact} {str(repo)!r} is corrupted", project):
        features("weather:wind")
    with refuses(BackendError, "is corrupted", project):
        umlops.FeatureStore().sync(NOON - DAY, NOON + DAY, views=["weather"])
    (repo / "data" / "registry.db").unlink()
    (repo / "data" / file).unlink(missing_ok=True)
    umlops.FeatureStore().apply()
    umlops.FeatureStore().sync(NOON - DAY, NOON + DAY)
    assert features("weather:wind") == [{"wind": 1.0}]


# --- stores that are locked ------------------------------------------------------------------


def test_a_locked_online_store_is_given_up_and_works_again(project: Path) -> None:
    path = project / "workspace" / "feature_repo" / "data" / "online_store.db"
    start = time.monotonic()
    with locked(path), refuses(BackendError, "is locked by another process", project):
        features("weather:wind")
    assert time.monotonic() - start < PATIENCE
    assert features("weather:wind") == [{"wind": 1.0}]


def test_a_locked_graph_keeps_what_waits_until_it_can_be_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "WAIT", 0.2)
    path, lineage = project / "workspace" / "lineage.db", umlops.current_session().lineage
    lineage.declare(["a.csv"], ["b.csv"])
    with locked(path), refuses(BackendError, "is locked by another process", project):
        lineage.flush()
    assert len(lineage.upstream("b.csv").nodes) == 2


def waited(waiting: Mapping[str, Future[tuple[Done, bool]]], what: str) -> Done:
    done, unchanged = waiting[what].result()
    assert unchanged
    return done


def test_a_command_whose_graph_is_locked_is_refused(waiting: Any) -> None:
    done = waited(waiting, "a command whose graph is locked")
    is_refused(done, "is locked by another process")
    assert done.seconds < PATIENCE


def test_a_script_whose_graph_is_locked_is_told_at_its_end(waiting: Any) -> None:
    done = waited(waiting, "a script whose graph is locked")
    assert (done.code, done.out) == (0, "")
    is_clear(done.err, "is locked by another process")
    assert done.seconds < PATIENCE


def test_a_collector_whose_store_is_locked_is_named_and_the_others_go_on(waiting: Any) -> None:
    done = waited(waiting, "a collector that cannot read")
    assert done.code == 1
    assert int(done.out.split()[0]) > 0
    is_clear(done.err, "not collected: mlflow: the MLflow store")
    assert "is locked by another process" in done.err
    assert done.seconds < PATIENCE


def test_a_script_whose_store_is_locked_ends_with_fact_and_hint(waiting: Any) -> None:
    done = waited(waiting, "a script that cannot write")
    assert done.code == 1
    fact, hint = done.err.strip().split("\n")[-2:]
    assert re.search("errors.BackendError: the MLflow store .* is locked by another process", fact)
    assert hint == "Hint: end that process, or try again"
    assert float(done.out) < PATIENCE


# --- a full disk -----------------------------------------------------------------------------


class Disk(NamedTuple):
    """A small disk: a memory file system of its own, or a limit where one cannot be mounted."""

    folder: Path
    mounted: bool

    @contextmanager
    def full(self, spare: int = 0) -> Iterator[None]:
        """Leave so many bytes of it."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        filler = self.folder / "filler"
        try:
            if self.mounted:
                _fill(filler, spare)
            else:
                resource.setrlimit(resource.RLIMIT_FSIZE, (spare, before[1]))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            filler.unlink(missing_ok=True)


def _fill(filler: Path, spare: int) -> None:
    with filler.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        file.truncate(file.tell() - spare)


@pytest.fixture
def disk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A small disk with a project on it, whose session is the current one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder)
    mounted = shutil.which("mount") is not None and run(*mount).code == 0
    try:
        monkeypatch.chdir(copy(home, folder / "project"))
        use_session(Session())
        yield Disk(folder, mounted)
    finally:
        monkeypatch.chdir(tmp_path)
        if mounted:
            assert run("umount", "--lazy", folder).code == 0


LARGE = {f"param-{number}": "x" * 500 for number in range(90)}


def test_a_full_disk_keeps_a_run_as_it_was_and_it_goes_on_later(disk: Disk) -> None:
    run = umlops.start_run("second", experiment="other")
    run.log_params({"depth": 4})
    run.log_artifact(disk.folder / "project" / FILE)
    umlops.current_session().close()
    file = disk.folder / "large.bin"
    file.write_bytes(b"x" * 300_000)
    calls = {4096: lambda: run.log_params(LARGE), 100_000: lambda: run.log_artifact(file)}
    for spare, call in calls.items():
        with disk.full(spare), refuses(BackendError, "disk", disk.folder):
            call()
    for call in calls.values():
        call()
    assert run.get_params() == {"depth": 4, **LARGE}


def test_a_full_disk_keeps_no_half_of_a_model(disk: Disk) -> None:
    run = umlops.start_run("second", experiment="other")
    small, large = (DummyRegressor().fit(ROWS, [1, 2]) for _ in range(2))
    large.weights = np.arange(40_000.0)
    run.log_model(small, "small", example=ROWS)
    before = kept(disk.folder)
    with disk.full(spare=200_000), pytest.raises(BackendError) as caught:
        run.log_model(large, "large", example=ROWS)
    is_clear(str(caught.value), "disk")
    changed = {path for path, content in kept(disk.folder).items() if before.get(path) != content}
    assert changed == {"project/workspace/mlflow/mlflow.db"}  # keeps what is deleted, out of sight
    assert models_of(run) == ["small"]
    run.log_model(large, "large", example=ROWS)
    assert models_of(run) == ["large", "small"]


def models_of(run: umlops.ExperimentRun) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run.session.config.workspace}/mlflow/mlflow.db")
    found = client.search_logged_models([run.native.info.experiment_id])
    return sorted(model.name for model in found)


def test_a_full_disk_keeps_features_as_they_were_and_they_are_served_on(disk: Disk) -> None:
    project, store = disk.folder / "project", umlops.FeatureStore()
    rows = pd.DataFrame({"code": ["JFK"], "event_timestamp": [NOON]})
    with disk.full(), refuses(BackendError, "disk", project):
        store.sync(NOON - DAY, NOON + DAY)
    with disk.full(), refuses(BackendError, "disk", project):
        store.fetch_historical_feature_values(["weather:wind"], rows, project / "training.parquet")
    assert features("weather:wind") == [{"wind": 1.0}]
    store.sync(NOON - DAY, NOON + DAY)
    assert features("weather:wind") == [{"wind": 1.0}]


def test_a_full_disk_lets_no_pipeline_begin(disk: Disk) -> None:
    project = disk.folder / "project"
    bare = Session(Config(workspace=project / "workspace", providers={"task": "kfp"}))
    job = umlops.PipelineJob("job", training, parameter_values={"rate": 0.1}, session=bare)
    with disk.full(), refuses(BackendError, "disk", project):
        job.run()
    job.run()
    assert job.state == "PIPELINE_STATE_SUCCEEDED"


def test_a_full_disk_refuses_commands(disk: Disk) -> None:
    project = disk.folder / "project"
    before = kept(project)
    with disk.full():
        for words in (("init", "new"), ("lineage", "rebuild"), ("demo", "--folder", "flights")):
            is_refused(cli(*words), "disk")
    assert kept(project) == before
    assert cli("lineage", "rebuild").code == 0


def test_an_answer_that_cannot_be_written_is_refused(project: Path) -> None:
    words = ("lineage", "up", "first", "--format", "html", "--output", "nowhere/first.html")
    before = kept(project)
    found = cli(*words, UNIFIED_MLOPS_PLUGINS="tensorboard")
    is_refused(found, "the file 'nowhere/first.html' cannot be used: No such file")
    assert kept(project).keys() == before.keys()
