"""One thing seen from several places is one node; two things of one name are two."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import mlflow
import pandas as pd
import pytest
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench
from tests.stories.lineage.test_features import BOTH, DATA, SALES
from tests.stories.lineage.test_tracking import FRAME, train, trained

pytestmark = pytest.mark.story


@contextmanager
def mlflow_server(bench: Bench) -> Iterator[str]:
    """`mlflow server` on the bench's database, as its manual starts it; its address."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", bench.uri]
    command += ["--workers", "1", "--port", port]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (bench.folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=bench.environment() | quiet, stdout=log, stderr=log, cwd=bench.folder
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (bench.folder / "server.log").read_text()
            try:
                urlopen(f"{url}/health", timeout=2).close()
                break
            except (URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def test_the_same_model_over_http_and_from_its_database(bench: Bench, check: Check) -> None:
    """What only the server can reach, such as its artifacts, is said while nobody asked it."""
    file = bench.file("train.parquet", FRAME)
    path = bench.folder / "train.parquet"
    truth = bench.truth()
    bench.lineage["url"] = f"sqlite:///{bench.folder / 'shared.db'}"
    near = train(path, registered_model_name="delay")
    with mlflow_server(bench) as url:
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        served = mlflow.set_experiment("served")
        assert served.artifact_location.startswith("mlflow-artifacts:")
        far = train(path, registered_model_name="delay")
        mlflow.MlflowClient().set_registered_model_alias("delay", "prod", "2")
        mlflow.set_tracking_uri(bench.uri)
        for number, made in ((1, near), (2, far)):
            experiment = served.experiment_id if made is far else "0"
            truth.node("experiment", bench.experiment(experiment))
            _, model = trained(bench, truth, file, made, "a", "b", experiment=experiment)
            bench.version(truth, model, "delay", number, "a", "b")
        unresolved = bench.collect().lineage.store.unresolved()
        assert far[1].model_id in " ".join(item["reference"] for item in unresolved)
        bench.plugins["mlflow"] = {"tracking_uri": url}
        check(bench.collect(), truth)


def test_two_feast_registries_with_one_project_name(bench: Bench, check: Check) -> None:
    truth = bench.truth()
    bench.lineage["url"] = f"sqlite:///{bench.folder / 'shared.db'}"
    for name in ("north", "south"):
        repo = bench.feast(name)
        bench.plugins["feast"] = {"repo": str(repo.path)}
        file = bench.file(f"{name}/data/sales.parquet", DATA)
        repo.apply(SALES)
        repo.told(truth, "sales", file, BOTH)
        session = bench.collect()
    check(session, truth)


def test_a_name_that_two_registries_have_is_ambiguous(bench: Bench, check: Check) -> None:
    """A run's `feast.*` tags say the project and not the registry."""
    truth, views = bench.truth(), []
    bench.lineage["url"] = f"sqlite:///{bench.folder / 'shared.db'}"
    for name in ("north", "south"):
        repo = bench.feast(name, mlflow={"enabled": True, "tracking_uri": bench.uri})
        bench.plugins["feast"] = {"repo": str(repo.path)}
        file = bench.file(f"{name}/data/sales.parquet", DATA)
        repo.apply(SALES)
        views.append(repo.told(truth, "sales", file, BOTH))
        bench.collect()
    asked = pd.DataFrame({"id": [1], "event_timestamp": [DATA["ts"][0]]})
    with mlflow.start_run() as run:
        repo.store.get_historical_features(asked, features=["sales:amount"]).to_df()
    reader = bench.run(truth, run.info.run_id)
    truth.guess(views[0], "INPUT", reader, right=False)
    truth.guess(views[1], "INPUT", reader, right=True)
    check(bench.collect(), truth)


def test_a_view_of_another_project_is_not_meant(bench: Bench, check: Check) -> None:
    """The project is written on the run, so that its views alone can be meant."""
    truth, views = bench.truth(), []
    bench.lineage["url"] = f"sqlite:///{bench.folder / 'shared.db'}"
    for project in ("depot", "shop"):
        integration = {"enabled": True, "tracking_uri": bench.uri}
        repo = bench.feast(project, project, mlflow=integration)
        bench.plugins["feast"] = {"repo": str(repo.path)}
        file = bench.file(f"{project}/data/sales.parquet", DATA)
        repo.apply(SALES)
        views.append(repo.told(truth, "sales", file, BOTH))
        bench.collect()
    asked = pd.DataFrame({"id": [1], "event_timestamp": [DATA["ts"][0]]})
    with mlflow.start_run() as run:
        repo.store.get_historical_features(asked, features=["sales:amount"]).to_df()
    assert mlflow.get_run(run.info.run_id).data.tags["feast.project"] == "shop"
    truth.edge(views[1], "INPUT", bench.run(truth, run.info.run_id))
    check(bench.collect(), truth)


def test_a_file_of_feast_and_mlflow_spelt_four_ways(bench: Bench, check: Check) -> None:
    """Relative to Feast's repo, through a link, as a `file:` URI of this host, and bare."""
    repo = bench.feast()
    file = bench.file("repo/data/sales.parquet", DATA)
    path = repo.path / "data" / "sales.parquet"
    (bench.folder / "link").symlink_to(repo.path / "data")
    repo.apply(SALES)
    truth = bench.truth()
    view = repo.told(truth, "sales", file, BOTH)
    truth.node("dataset", file, *DATA)
    spelt = [str(bench.folder / "link" / path.name), f"file://localhost{path}", str(path)]
    for number, source in enumerate(spelt):
        with mlflow.start_run() as run:
            frame = pd.DataFrame(DATA)
            dataset = mlflow.data.from_pandas(frame, source=source, name=f"n{number}")
            mlflow.log_input(dataset)
        truth.edge(file, "INPUT", bench.run(truth, run.info.run_id))
    session = bench.collect()
    check(session, truth)
    assert view in session.lineage.downstream(file).nodes
