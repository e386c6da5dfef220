"""Lineage from the registry."""

from unified_mlops.lineage import urn
from unified_mlops_feast.plugin import FeastPlugin


def drawn(collection):
    return {
        (edge.source, edge.kind, edge.target)
        for observation in collection.observations
        for edge in observation.edges
        if edge.kind != "VERSION_OF"
    }


def keys(collection):
    return [observation.key for observation in collection.observations]


def test_sources_views_columns_and_services_are_joined_as_defined(plugin, repo):
    found = plugin.mlops_collect_lineage(cursor=None)
    views = {view.name: view for view in plugin.mlops_list_features()}
    weather, root = views["weather"].ref.uri, views["weather"].ref.uri.rpartition("/feat")[0]
    file, planes = views["weather"].source, views["planes"].source
    edges = drawn(found)
    assert {edge for edge in edges if edge[0].startswith(file) and edge[2].startswith(weather)} == {
        (file, "DERIVES", weather),
        (f"{file}#origin", "DERIVES", f"{weather}#code"),
        (f"{file}#wind", "DERIVES", f"{weather}#wind"),
        (f"{file}#temp_c", "DERIVES", f"{weather}#temperature"),
    }
    assert {edge[2] for edge in edges if edge[:2] == (file, "FIELD")} == {
        f"{file}#{name}" for name in ("observed", "created", "origin", "wind", "temp_c")
    }
    assert {edge[2] for edge in edges if edge[:2] == (weather, "FIELD")} == {
        f"{weather}#{name}" for name in ("code", "wind", "temperature")
    }
    assert {edge[2] for edge in edges if edge[:2] == (planes, "DERIVES")} == {
        views["planes"].ref.uri
    }
    comfort = views["comfort"].ref.uri
    (service,) = (key for key in keys(found) if key.startswith(f"{root}/featureService/delay@"))
    assert {edge for edge in edges if edge[2] == comfort} == {
        (weather, "DERIVES", comfort),
        (f"{root}/dataSource/asked", "DERIVES", comfort),
    }
    assert {edge for edge in edges if edge[2] == service} == {
        (weather, "DERIVES", service),
        (views["planes"].ref.uri, "DERIVES", service),
    }


def test_every_edge_has_its_nodes_and_every_node_one_kind(materialized):
    found = materialized.mlops_collect_lineage(cursor=None).observations
    kinds = {}
    for node in (node for observation in found for node in observation.nodes):
        assert kinds.setdefault(node.uri, node.kind) == node.kind
    for edge in (edge for observation in found for edge in observation.edges):
        assert edge.source in kinds and edge.target in kinds
    told = [observation.key for observation in found]
    assert len(set(told)) == len(told)


def test_applying_again_changes_nothing_and_an_edit_does(plugin, edit):
    first = plugin.mlops_collect_lineage(cursor=None)
    plugin.mlops_apply_features()
    again = plugin.mlops_collect_lineage(cursor=first.cursor)
    assert again.observations == ()
    assert plugin.mlops_collect_lineage(cursor=None).observations == first.observations
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    changed = plugin.mlops_collect_lineage(cursor=first.cursor)
    told = {key.partition("/featureView/")[2].partition("@")[0] for key in keys(changed)}
    assert "weather" in told and "planes" not in told


def test_collecting_runs_none_of_the_repos_python(plugin, repo):
    (repo / "definitions.py").write_text("raise SystemExit('imported')")
    found = FeastPlugin(workspace=repo.parent).mlops_collect_lineage(cursor=None)
    assert any("/featureView/comfort@" in key for key in keys(found))


def test_credentials_in_a_source_reach_no_node(plugin):
    registry = plugin._repo.open().store.registry
    source = registry.get_data_source("planes_file", "feature_repo")
    source.file_options.uri = "s3a://key:secret@bucket/a//Planes.parquet"
    registry.apply_data_source(source, "feature_repo")
    found = plugin.mlops_collect_lineage(cursor=None)
    uris = {node.uri for item in found.observations for node in item.nodes}
    assert "s3://bucket/a//Planes.parquet" in uris
    assert "secret" not in repr(found)
    assert urn.owner("s3://bucket/a//Planes.parquet#x") in uris


MORE = """
from feast import KafkaSource, PushSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
topic = KafkaSource(
    name="topic", kafka_bootstrap_servers="b:9092,a:9092", topic="gusts",
    message_format=JsonFormat("origin string, wind double"), batch_source=weather.batch_source,
    timestamp_field="observed", field_mapping={"origin": "code"},
)
given = dict(entities=[airport], ttl=timedelta(hours=1), timestamp_field="observed")
gusts = StreamFeatureView(
    name="gusts", source=topic, schema=[Field(name="sum_wind_3600s", dtype=Float64)],
    aggregations=[Aggregation(column="wind", function="sum", time_window=timedelta(hours=1))],
    **given,
)
pushed = PushSource(name="pushed", batch_source=weather.batch_source)
nudged = FeatureView(
    name="nudged", entities=[airport], source=pushed, schema=[Field(name="wind", dtype=Float64)]
)


@on_demand_feature_view(
    sources=[weather[["wind"]].with_join_key_map({"code": "dest"})],
    schema=[Field(name="double", dtype=Float64)],
)
def there(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"double": inputs["wind"] * 2})
"""


def test_streams_pushes_and_renamed_keys_are_joined_as_far_as_they_are_certain(plugin, repo, watch):
    (repo / "definitions.py").write_text((repo / "definitions.py").read_text() + MORE)
    plugin.mlops_apply_features()
    watcher = watch(plugin)
    watcher.look()
    views = {view.name: view.ref.uri for view in plugin.mlops_list_features()}
    root, file = (
        next(iter(views.values())).rpartition("/feat")[0],
        f"file://{repo}/data/weather.parquet",
    )
    gusts, nudged, there = views["gusts"], views["nudged"], views["there"]
    assert watcher.into(gusts) == {file, "kafka://a:9092/gusts"}
    assert watcher.into(f"{gusts}#code") == {f"{file}#origin", "kafka://a:9092/gusts#origin"}
    summed = watcher.into(f"{gusts}#sum_wind_3600s")
    assert summed == {f"{file}#wind", "kafka://a:9092/gusts#wind"}
    assert watcher.into(nudged) == {file, f"{root}/dataSource/pushed"}
    assert watcher.into(f"{nudged}#wind") == {f"{file}#wind"}
    assert watcher.into(there) == {views["weather"]}
    assert watcher.into(f"{there}#dest") == {f"{views['weather']}#code"}
    assert watcher.into(f"{there}#double") == set(), "what a function computes is not told apart"
