"""Credentials stand in native records everywhere; none of them is kept, shown or logged."""

from __future__ import annotations

import logging
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from tests.stories.lineage.native import Bench
from tests.stories.lineage.test_features import SALES
from tests.stories.lineage.test_tracking import FRAME

pytestmark = pytest.mark.story

SECRET = "hunter2XYZ"


def plant_in_mlflow(bench: Bench) -> str:
    """A credential wherever MLflow lets one write; the id of the run."""
    frame = pd.DataFrame(FRAME)[["a"]]
    with mlflow.start_run(run_name=f"postgresql://u:{SECRET}@db/x", description=SECRET) as run:
        mlflow.log_params({"password": SECRET, "dsn": f"postgresql://u:{SECRET}@db/x"})
        mlflow.log_params({"a_url": f"https://host/?token={SECRET}", "api_key": SECRET})
        mlflow.set_tags({"note": f"password={SECRET}", "model": f"models:/m?token={SECRET}"})
        mlflow.set_tag("feast.entity_df_query", f"SELECT '{SECRET}'")
        for number, uri in enumerate(
            [
                f"s3://AKIA:{SECRET}@bucket/k.parquet",
                f"https://u:{SECRET}@host/k.csv",
                f"https://host/k.csv?sig={SECRET}",
                f"abfss://c@acct.dfs.core.windows.net/k?sig={SECRET}",
            ]
        ):
            source = mlflow.data.http_dataset_source.HTTPDatasetSource(uri)
            dataset = mlflow.data.from_pandas(frame, source=source, name=f"d{number}")
            mlflow.log_input(dataset, tags={"key": SECRET})
        mlflow.sklearn.log_model(
            LinearRegression().fit(frame, [0, 1, 2]),
            name="m",
            signature=infer_signature(frame),
            pip_requirements=[],
            registered_model_name="delay",
            metadata={"password": SECRET},
        )
    client = mlflow.MlflowClient()
    client.update_registered_model("delay", f"password={SECRET}")
    client.update_model_version("delay", "1", f"token: {SECRET}")
    client.set_model_version_tag("delay", "1", "secret", SECRET)
    client.set_registered_model_alias("delay", "prod", "1")
    client.create_experiment(f"mysql://u:{SECRET}@db/x")
    return str(run.info.run_id)


def plant_in_feast(bench: Bench) -> None:
    """A credential in a source, a description, a tag and the settings."""
    repo = bench.feast(mlflow={"enabled": False, "tracking_uri": f"http://u:{SECRET}@host"})
    table = """
from feast import SnowflakeSource

wide = FeatureView(
    name="wide",
    entities=[customer],
    schema=[Field(name="items", dtype=Float64)],
    source=SnowflakeSource(
        name="query", query="SELECT * FROM t WHERE k = 'password=SECRET'", timestamp_field="ts"
    ),
    description="password=SECRET",
    tags={"token": "SECRET"},
    owner="postgresql://u:SECRET@db",
)
"""
    text = SALES.replace("data/sales.parquet", "s3://AKIA:SECRET@bucket/sales.parquet")
    repo.apply((text + table).replace("SECRET", SECRET), "--skip-source-validation")
    assert SECRET.encode() in (repo.path / "data" / "registry.db").read_bytes()


def written(folder: Path) -> dict[str, bytes]:
    """What our package wrote."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_secret_is_kept_or_shown(
    bench: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from click.testing import CliRunner

    from unified_mlops.cli import cli

    run_id = plant_in_mlflow(bench)
    plant_in_feast(bench)
    capfd.readouterr()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    session = bench.collect()
    session.lineage.doctor()
    shown = {"log": caplog.text}
    name = f"mlflow:run/{run_id}"
    assert session.lineage.upstream(name).nodes
    settings = bench.folder / "unified_mlops.toml"
    tables = [f"[plugins.{plugin}]" for plugin in bench.plugins]
    lines = [f'{key} = "{text}"' for own in bench.plugins.values() for key, text in own.items()]
    pairs = [line for pair in zip(tables, lines, strict=True) for line in pair]
    settings.write_text("\n".join([f'workspace = "{bench.folder}/workspace"', *pairs]))
    for form in ("tree", "json", "mermaid", "dot", "html"):
        for way in ("up", "down"):
            words = ["lineage", way, name, "--format", form]
            done = CliRunner().invoke(cli, words)
            assert done.exit_code == 0, (words, done.output, done.exception)
            shown[f"{way} {form}"] = done.output
    for words in (["lineage", "doctor"], ["lineage", "export", str(bench.folder / "out.ndjson")]):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code in (0, 1), (words, done.output, done.exception)
        shown[" ".join(words)] = done.output
    shown["output"] = "".join(capfd.readouterr())
    assert (bench.folder / "out.ndjson").stat().st_size
    kept = written(bench.folder / "workspace") | {
        "export": (bench.folder / "out.ndjson").read_bytes()
    }
    found = [place for place, text in shown.items() if SECRET in text]
    found += [place for place, content in kept.items() if SECRET.encode() in content]
    assert found == []
    things = set(session.lineage.store.nodes())
    assert {"s3://bucket/k.parquet", "s3://bucket/sales.parquet"} <= things


def test_a_registry_out_of_reach_is_named_without_its_password(bench: Bench) -> None:
    """The others are collected; what is wrong is said."""
    repo = bench.feast()
    (repo.path / "feature_store.yaml").write_text(
        "project: shop\nprovider: local\nregistry:\n  registry_type: sql\n"
        f"  path: postgresql://u:{SECRET}@127.0.0.1:1/x\n"
    )
    with mlflow.start_run() as run:
        pass
    session = bench.session()
    failures = session.lineage.collect()
    assert set(failures) == {"feast"}
    assert "127.0.0.1" in str(failures["feast"]) and SECRET not in repr(failures) + str(failures)
    assert f"mlflow:run/{run.info.run_id}" in session.lineage.store.nodes()
