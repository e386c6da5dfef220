"""`umlops run` of a program that knows Feast, MLflow and pandas, and nothing of ours.

It trains on two retrievals of 250 features each, whose origins neither Feast nor MLflow can hold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unified_mlops import instrument
from unified_mlops_feast.definition import views_of
from unified_mlops_feast.names import Names
from unified_mlops_feast.stored import read, read_settings

SETTINGS = """\
project: shop
provider: local
registry: registry.db
online_store: {{type: sqlite, path: online.db}}
offline_store: {{type: duckdb}}
entity_key_serialization_version: 3
mlflow: {{enabled: true, tracking_uri: "{uri}", auto_log: true}}
"""
PROGRAM = """
import json, sys, warnings
from datetime import timedelta
import mlflow
import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

when = pd.Timestamp("2024-01-01", tz="UTC")
store = FeatureStore("repo")
plane = Entity(name="plane", join_keys=["tail"], value_type=ValueType.STRING)
refs, things = {}, [plane]
for name in ("a", "b"):
    names = [f"{name}_feature_with_a_long_name_{n}" for n in range(250)]
    frame = pd.DataFrame({"tail": ["N1", "N2"], "at": [when] * 2, **dict.fromkeys(names, 0.5)})
    frame.to_parquet(f"{name}.parquet", coerce_timestamps="us")
    source = FileSource(path=f"{name}.parquet", timestamp_field="at")
    fields = [Field(name=each, dtype=Float64) for each in names]
    things.append(FeatureView(name=name, entities=[plane], schema=fields, source=source))
    refs[name] = [f"{name}:{each}" for each in names]
some = things[1][["a_feature_with_a_long_name_0"]]
things.append(FeatureService(name="both", features=[some]))
store.apply(things)
rows = pd.DataFrame({"tail": ["N1", "N2"], "event_timestamp": [when + timedelta(hours=1)] * 2})

native = FeatureStore.get_historical_features.__wrapped__
found = {"native": native(store, rows, refs["a"][:2]).to_df().attrs}
first = store.get_historical_features(rows, refs["a"][:3]).to_df()  # before any run
first.to_parquet("first.parquet")
found["first"] = pd.read_parquet("first.parquet").attrs
with mlflow.start_run() as run:
    mlflow.log_input(mlflow.data.from_pandas(pd.read_parquet("first.parquet"), "first.parquet"))
    job = store.get_historical_features(rows, features=refs["a"], full_feature_names=True)
    left = job.to_df()
    table = store.get_historical_features(entity_df=rows, features=refs["b"]).to_arrow()
    pq.write_table(table, "table.parquet")
    service = store.get_feature_service("both")
    served = store.get_historical_features(rows, service).to_df()
    job.to_df(), job.to_arrow()  # once more, of the same retrieval
found |= {
    "left": left.attrs, "columns": list(left.columns), "rows": len(left),
    "table": pd.read_parquet("table.parquet").attrs, "served": served.attrs,
}

# --- what a collector sees ---
from unified_mlops_mlflow import datasets
run = mlflow.get_run(run.info.run_id)
found["feast"] = run.data.tags["feast.feature_refs"]
found["inputs"] = [
    [item.uri, item.context, len(item.columns), datasets.read_columns(run, item.name, item.uri)]
    for item in datasets.read_inputs(run)
]
json.dump(found, open("found.json", "w"))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="module")
def found(place: Path) -> dict[str, Any]:
    """What the program saw."""
    (place / "repo").mkdir()
    uri = f"sqlite:///{place}/mlflow.db"
    (place / "repo" / "feature_store.yaml").write_text(SETTINGS.format(uri=uri))
    (place / "train.py").write_text(PROGRAM)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "FEAST_USAGE": "False"}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=place,
        env=instrument.environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "not recorded" not in done.stderr
    assert "umlops run" not in done.stderr
    answer: dict[str, Any] = json.loads((place / "found.json").read_text())
    return answer


@pytest.fixture(scope="module")
def names(found: dict[str, Any], place: Path) -> Names:
    return read_settings(place / "repo").names


@pytest.fixture(scope="module")
def live(names: Names, place: Path) -> dict[str, str]:
    """The URN of the definition of each view, as the collector of the registry says it."""
    settings = read_settings(place / "repo")
    views = views_of(read(settings).registry(settings), names)
    return {name: names.view(name, view.version) for name, view in views.items()}


def feature(view: str, number: int) -> str:
    return f"{view}_feature_with_a_long_name_{number}"


def test_a_frame_from_feast_says_nothing_natively_and_its_definitions_instrumented(
    found: dict[str, Any], live: dict[str, str]
) -> None:
    assert found["native"] == {}
    stamp = found["left"]["unified_mlops"]
    assert "@" in live["a"]
    assert stamp["columns"] == {
        f"a__{feature('a', n)}": [f"{live['a']}#{feature('a', n)}"] for n in range(250)
    }


def test_the_users_frame_is_otherwise_feasts_own(found: dict[str, Any]) -> None:
    assert found["rows"] == 2
    assert len(found["columns"]) == 252


@pytest.mark.parametrize("kind", ["first", "table"])
def test_the_stamp_survives_parquet_from_a_frame_and_from_an_arrow_table(
    found: dict[str, Any], live: dict[str, str], kind: str
) -> None:
    view = {"first": "a", "table": "b"}[kind]
    columns = found[kind]["unified_mlops"]["columns"]
    assert columns[feature(view, 2)] == [f"{live[view]}#{feature(view, 2)}"]


def test_a_feature_service_is_resolved_to_its_features(
    found: dict[str, Any], live: dict[str, str]
) -> None:
    name = feature("a", 0)
    assert found["served"]["unified_mlops"]["columns"] == {name: [f"{live['a']}#{name}"]}


def test_trap_04_a_run_keeps_all_references_of_two_retrievals_where_feasts_tag_keeps_some_of_one(
    found: dict[str, Any], live: dict[str, str]
) -> None:
    # Feast's own tag: what the last retrieval wrote over the others, here the service's
    assert found["feast"].count(":") < 250
    kept = [columns for *_, columns in found["inputs"]]
    every = {source for columns in kept for sources in columns.values() for source in sources}
    assert {f"{live[v]}#{feature(v, n)}" for v in ("a", "b") for n in range(250)} <= every


def test_each_retrieval_is_one_input_of_the_run_under_a_urn_of_its_own(
    found: dict[str, Any], names: Names
) -> None:
    retrievals = [each for each in found["inputs"] if each[0].startswith(names.root)]
    stamped = [found[kind]["unified_mlops"]["uri"] for kind in ("left", "table", "served")]
    assert sorted(uri for uri, *_ in retrievals) == sorted(stamped)
    assert all(uri.startswith(f"{names.root}/retrieval/") for uri in stamped)
    assert [context for _, context, *_ in retrievals] == ["retrieval"] * 3


def test_a_frame_read_back_from_parquet_is_logged_with_its_origins_under_its_own_path(
    found: dict[str, Any], place: Path, live: dict[str, str]
) -> None:
    (mine,) = [each for each in found["inputs"] if each[0].endswith("first.parquet")]
    uri, _, columns, origins = mine
    assert uri == f"file://{place}/first.parquet"
    assert columns == 5
    (retrieval,) = origins.pop("")
    assert "/retrieval/" in retrieval
    assert origins == {feature("a", n): [f"{live['a']}#{feature('a', n)}"] for n in range(3)}
