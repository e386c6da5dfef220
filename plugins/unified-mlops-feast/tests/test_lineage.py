"""Lineage from the registry."""

from unified_mlops.lineage import urn
from unified_mlops_feast.plugin import FeastPlugin


def drawn(collection):
    return {
        (edge.source, edge.kind, edge.target)
        for observation in collection.observations
        for edge in observation.edges
    }


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
    comfort, service = views["comfort"].ref.uri, f"{root}/featureService/delay"
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
    keys = [observation.key for observation in found]
    assert len(set(keys)) == len(keys)


def test_applying_again_changes_nothing_and_an_edit_does(plugin, edit):
    first = plugin.mlops_collect_lineage(cursor=None)
    plugin.mlops_apply_features()
    again = plugin.mlops_collect_lineage(cursor=first.cursor)
    assert (again.observations, again.cursor) == ((), first.cursor)
    assert plugin.mlops_collect_lineage(cursor=None) == first
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    changed = plugin.mlops_collect_lineage(cursor=first.cursor)
    old = {observation.key: observation for observation in first.observations}
    new = [item.key for item in changed.observations if old[item.key] != item]
    assert "featureView/weather" in new and "featureView/planes" not in new


def test_collecting_runs_none_of_the_repos_python(plugin, repo):
    (repo / "definitions.py").write_text("raise SystemExit('imported')")
    found = FeastPlugin(workspace=repo.parent).mlops_collect_lineage(cursor=None)
    assert "featureView/comfort" in [observation.key for observation in found.observations]


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
