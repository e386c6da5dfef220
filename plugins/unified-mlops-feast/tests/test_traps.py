"""The traps of Feast's own lineage: first the native defect, then what we tell."""

import json
import re
import shutil
import time

import pytest

from unified_mlops_feast.names import fingerprint
from unified_mlops_feast.stored import read, read_settings

STREAM = """
from feast import KafkaSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
topic = KafkaSource(
    name="topic", kafka_bootstrap_servers="b:9092,a:9092", topic="gusts",
    message_format=JsonFormat("code string, gust double"), batch_source=weather.batch_source,
    timestamp_field="observed",
)
gusts = StreamFeatureView(
    name="gusts", entities=[airport], ttl=timedelta(hours=1), source=topic,
    timestamp_field="observed", schema=[Field(name="sum_wind_3600s", dtype=Float64)],
    aggregations=[Aggregation(column="wind", function="sum", time_window=timedelta(hours=1))],
)
"""


@pytest.fixture
def versions(plugin, repo):
    """Feast's own versions of a view, by number."""

    def listed(view):
        store = plugin._repo.open(fresh=True).store
        return [
            each["version"]
            for each in store.registry.list_feature_view_versions(view, store.project)
        ]

    return listed


def stored(repo):
    settings = read_settings(repo)
    return read(settings).registry(settings)


def live(plugin, name):
    return {view.name: view.ref.uri for view in plugin.mlops_list_features()}[name]


@pytest.fixture
def logged(plugin, repo, edit, tmp_path):
    """A repo that logs its retrievals to MLflow, and a view of 250 features."""
    import mlflow

    edit(
        "delay = Feat",
        "names = [f'a_feature_with_a_long_name_{n:03d}' for n in range(250)]\ndelay = Feat",
    )
    text = (repo / "definitions.py").read_text()
    wide = (
        'wide = FeatureView(name="wide", entities=[tail], source=planes.batch_source,'
        " schema=[Field(name=name, dtype=Float64) for name in names])\n"
        'all_of_it = FeatureService(name="all_of_it", features=[wide])\n'
    )
    (repo / "definitions.py").write_text(text + wide)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    settings = repo / "feature_store.yaml"
    settings.write_text(
        settings.read_text() + f"mlflow: {{enabled: true, tracking_uri: '{uri}'}}\n"
    )
    plugin.mlops_apply_features()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield mlflow
    mlflow.set_tracking_uri(before)


def test_traps_03_and_04_what_feast_writes_on_a_run_is_a_phantom_cut_overwritten_and_a_guess(
    plugin, logged, repo, watch
):
    store = plugin._repo.open(fresh=True).store
    wide = [f"wide:a_feature_with_a_long_name_{n:03d}" for n in range(250)]
    import pandas as pd

    with logged.start_run() as run:
        store.mlflow.log_feature_retrieval(
            feature_refs=wide[:60],
            entity_count=1,
            duration_seconds=0.1,
            feature_service_name=store._resolve_feature_service_name(wide[:60]),
        )
        guess = logged.get_run(run.info.run_id).data.tags
        store.mlflow.log_feature_retrieval(feature_refs=wide, entity_count=1, duration_seconds=0.2)
        store.mlflow.log_training_dataset(pd.DataFrame({"x": [1.0]}))
    found = logged.get_run(run.info.run_id)
    assert guess["feast.feature_service"] == "all_of_it", "asked for 60 of its 250 features"
    tags = found.data.tags
    assert tags["feast.feature_service"] == "all_of_it", "of the first retrieval"
    refs = tags["feast.feature_refs"].split(",")
    assert tags["feast.feature_count"] == "250" and len(refs) < 160 and refs[-1].endswith("...")
    times = logged.MlflowClient().get_metric_history(run.info.run_id, "feast.job_submission_sec")
    assert len(times) == 2, "the only trace of the first retrieval"
    (dataset,) = found.inputs.dataset_inputs
    assert dataset.dataset.source_type == "local"
    assert json.loads(dataset.dataset.source) == {"uri": "feast.get_historical_features"}

    watcher = watch(plugin)
    watcher.look()
    now = time.time()
    (whole,) = watcher.meant(f"feast-features:{fingerprint(wide)}", now)
    assert watcher.meant("feast-service:all_of_it", now) == [whole]
    assert watcher.meant(f"feast-features:{fingerprint(wide[:60])}", now) == []
    assert "feast.get_historical_features" not in repr(watcher.seen)


def test_trap_05_a_changed_path_or_time_to_live_is_a_definition_of_its_own(
    plugin, repo, edit, versions, watch
):
    watcher, first, old = watch(plugin), time.time(), live(plugin, "planes")
    watcher.look()
    edit("planes.parquet", "moved.parquet")
    shutil.copy(repo.parent / "planes.parquet", repo.parent / "moved.parquet")
    plugin.mlops_apply_features()
    moved = live(plugin, "planes")
    edit("entities=[tail],\n", "entities=[tail],\n    ttl=timedelta(days=9),\n")
    plugin.mlops_apply_features()
    watcher.look()
    assert versions("planes") == ["v0"], "Feast made a version"
    new = live(plugin, "planes")
    assert len({old, moved, new}) == 3
    assert watcher.meant("feast:planes", first) == [old]
    assert watcher.meant("feast:planes", time.time()) == [new]
    assert watcher.into(old) == {f"file://{repo.parent}/planes.parquet"}
    assert watcher.into(new) == {f"file://{repo.parent}/moved.parquet"}
    assert watcher.into(f"{new}#seats") == {f"file://{repo.parent}/moved.parquet#seats"}


def test_trap_06_applying_again_and_describing_anew_change_nothing_of_meaning(
    plugin, repo, edit, versions
):
    (repo / "definitions.py").write_text((repo / "definitions.py").read_text() + STREAM)
    plugin.mlops_apply_features()
    before = {view.name: view.ref.uri for view in plugin.mlops_list_features()}
    body = stored(repo).on_demand_feature_views[0].spec.feature_transformation
    edit("from datetime", "# a line more\nfrom datetime")
    edit('description="hourly weather"', 'description="by the hour", owner="me"')
    edit("@on_demand_feature_view(", '@on_demand_feature_view(description="calm or not", ')
    plugin.mlops_apply_features()
    again = stored(repo)
    assert versions("gusts") != ["v0"], "Feast made a version of nothing"
    moved = again.on_demand_feature_views[0].spec.feature_transformation.user_defined_function
    assert moved.body != body.user_defined_function.body, "the line number is in it"
    dropped = [v.spec.batch_source for v in again.feature_views if v.spec.name == "weather"]
    assert not dropped[0].data_source_class_type, "dropped without a change of the source"
    assert {view.name: view.ref.uri for view in plugin.mlops_list_features()} == before
    edit('inputs["wind"] <=', 'inputs["wind"] <')
    plugin.mlops_apply_features()
    after = {view.name: view.ref.uri for view in plugin.mlops_list_features()}
    assert {name for name in after if after[name] != before[name]} == {"comfort"}


def test_trap_07_feasts_apply_event_joins_every_source_with_every_view(plugin, tmp_path, watch):
    from feast.openlineage import FeastOpenLineageEmitter, OpenLineageConfig

    store = plugin._repo.open().store
    file = tmp_path / "events.json"
    config = OpenLineageConfig(
        transport_type="file", additional_config={"log_file_path": str(file), "append": True}
    )
    objects = [
        *store.list_data_sources(),
        *store.list_feature_views(),
        *store.list_on_demand_feature_views(),
    ]
    FeastOpenLineageEmitter(config).emit_apply(objects, store.project)
    events = [json.loads(line) for line in file.read_text().splitlines()]
    job = next(each for each in events if each["job"]["name"].startswith("feast_feature_views"))
    read_by_all = {each["name"] for each in job["inputs"]}
    assert {"weather_file", "planes_file"} <= read_by_all or len(read_by_all) >= 3
    assert len(job["outputs"]) == 3, "one job, so each input reaches each view"

    watcher = watch(plugin)
    watcher.look()
    weather, planes = live(plugin, "weather"), live(plugin, "planes")
    assert not watcher.into(weather) & watcher.into(planes)
    assert len(watcher.into(weather)) == len(watcher.into(planes)) == 1


def test_trap_09_features_of_one_name_stay_apart_and_a_service_takes_what_it_projects(
    plugin, repo, watch
):
    from feast.lineage.registry_lineage import RegistryLineageGenerator

    relations, _ = RegistryLineageGenerator().generate_lineage(stored(repo))
    winds = {
        r.target.name
        for r in relations
        if (r.source.type.value, r.source.name) == ("feature", "wind")
    }
    assert winds >= {"weather", "planes"}, "one feature `wind` of two views"
    native = [r for r in relations if r.target.name == "delay"]
    assert {r.source.type.value for r in native} == {"featureView"}, "no word of its projection"

    watcher = watch(plugin)
    watcher.look()
    (service,) = watcher.meant("feast-service:delay", time.time())
    weather, planes = live(plugin, "weather"), live(plugin, "planes")
    assert watcher.into(service) == {weather, planes}
    assert watcher.into(f"{service}#weather:wind") == {f"{weather}#wind"}
    assert watcher.into(f"{service}#planes:wind") == {f"{planes}#wind"}
    fields = {
        e.target
        for each in watcher.seen
        for e in each.edges
        if (e.source, e.kind) == (service, "FIELD")
    }
    assert fields == {
        f"{service}#{name}" for name in ("weather:wind", "planes:wind", "planes:seats")
    }


def test_trap_14_a_first_look_after_a_change_reads_feasts_history_or_admits_the_doubt(
    plugin, repo, edit, versions, watch
):
    before, old = time.time() - 3600, live(plugin, "weather")
    early = time.time()
    edit('Field(name="wind", dtype=Float64), Field(name="t', 'Field(name="t')
    edit('weather[["wind"]]', "weather")
    edit('inputs["wind"] <= inputs["limit"]', 'inputs["temperature"] <= inputs["limit"]')
    plugin.mlops_apply_features()
    between, second = time.time(), live(plugin, "weather")
    edit("weather.parquet", "other.parquet")
    shutil.copy(repo / "data" / "weather.parquet", repo / "data" / "other.parquet")
    plugin.mlops_apply_features()
    third, now = live(plugin, "weather"), time.time()
    assert versions("weather") == ["v0", "v1"], "of three definitions"

    watcher = watch(plugin)
    watcher.look()
    assert watcher.meant("feast:weather", before) == []
    assert watcher.meant("feast:weather", early) == [old]
    assert set(watcher.meant("feast:weather", between)) == {second, third}
    assert watcher.meant("feast:weather", now) == [third]
    assert watcher.meant("feast:weather@v1", now) == [second]
    (comfort,) = watcher.meant("feast:comfort", now)
    assert third in watcher.into(comfort) and second not in watcher.into(comfort)


SECRETS = """
from feast import BigQuerySource, RedshiftSource, SnowflakeSource
held = [
    FileSource(name="bucket", path="s3://key:PLANTED@bucket/a.parquet", timestamp_field="ts",
               s3_endpoint_override="http://me:PLANTED@minio:9000"),
    SnowflakeSource(name="snow", database="DB", schema="S", table="T", timestamp_field="ts"),
    SnowflakeSource(name="snow_query", query="SELECT 'PLANTED'", timestamp_field="ts"),
    RedshiftSource(name="red", query="SELECT 'PLANTED'", timestamp_field="ts"),
    BigQuerySource(name="big", table="proj.set.table", timestamp_field="ts"),
]
for n, source in enumerate(held):
    globals()[f"held_{n}"] = FeatureView(name=f"held_{n}", entities=[tail], source=source,
        schema=[Field(name="x", dtype=Float64)], tags={"key": "PLANTED"}, description="PLANTED")
"""


def test_trap_15_no_credential_of_a_source_or_of_the_settings_is_told(plugin, repo, watch):
    settings = repo / "feature_store.yaml"
    text = (repo / "definitions.py").read_text()
    scope: dict = {}
    exec(compile(text + SECRETS, str(repo / "definitions.py"), "exec"), scope)
    registry = plugin._repo.open().store.registry
    for n, source in enumerate(scope["held"]):
        registry.apply_data_source(source, "feature_repo", commit=False)
        view = scope[f"held_{n}"]
        view.entity_columns = scope["planes"].entity_columns
        registry.apply_feature_view(view, "feature_repo", commit=n == 4)
    postgres = (
        "offline_store:\n  type: postgres\n  host: me:PLANTED@DB.example\n  database: w\n"
        "  user: me\n  password: PLANTED\n  account: PLANTED\n"
    )
    spelt = re.sub("offline_store:\n  type: duckdb\n", postgres, settings.read_text())
    settings.write_text(spelt.replace("  account: PLANTED\n", "  account: AC-1\n"))
    held = stored(repo)
    for name, asked in (
        ("pg_query", {"query": "SELECT 'PLANTED'"}),
        ("pg_table", {"table": "m.t"}),
    ):
        source = held.data_sources.add(name=name, project="feature_repo")
        source.data_source_class_type = "feast.postgres_source.PostgreSQLSource"
        source.custom_options.configuration = json.dumps(asked).encode()
    (repo / "data" / "registry.db").write_bytes(held.SerializeToString())
    assert b"PLANTED" in (repo / "data" / "registry.db").read_bytes(), (
        "Feast keeps what it is given"
    )

    watcher = watch(plugin)
    watcher.look()
    assert "PLANTED" not in repr(watcher.seen) and "PLANTED" not in watcher.cursor
    uris = {node.uri for each in watcher.seen for node in each.nodes}
    assert {
        "s3://bucket/a.parquet",
        "postgresql://db.example:5432/w/m.t",
        "snowflake://ac-1/DB.S.T",
        "bigquery:proj.set.table",
    } <= uris
    unknown = {text for each in watcher.seen for text in each.unresolved}
    queries = ("pg_query", "red", "snow_query")
    assert unknown == {f"the tables of data source {name!r}" for name in queries}
