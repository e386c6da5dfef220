"""What a name meant when: looks between changes, deletions, services, materialisations."""

import time
from datetime import datetime, timedelta, timezone

import pytest

from unified_mlops_feast.names import fingerprint

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def live(plugin, name):
    return {view.name: view.ref.uri for view in plugin.mlops_list_features()}[name]


@pytest.fixture
def on_sql(repo):
    """The same repo on a SQL registry."""
    (repo / "feature_store.yaml").write_text(
        "project: feature_repo\nprovider: local\noffline_store: {type: duckdb}\n"
        "entity_key_serialization_version: 3\n"
        "registry: {registry_type: sql, path: 'sqlite:///data/registry.sqlite'}\n"
        "online_store: {type: sqlite, path: data/online.db}\n".replace("///data", f"///{repo}/data")
    )


def test_a_look_between_two_changes_tells_them_apart(plugin, edit, watch):
    watcher, old = watch(plugin), live(plugin, "weather")
    first = time.time()
    watcher.look()
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    middle, second = live(plugin, "weather"), time.time()
    watcher.look()
    edit("hours=4", "hours=5")
    plugin.mlops_apply_features()
    third, now = live(plugin, "weather"), time.time()
    watcher.look()
    meant = [watcher.meant("feast:weather", at) for at in (first, second, now)]
    assert meant == [[old], [middle], [third]]
    assert watcher.meant(old.rpartition("@")[0], now) == [third]
    assert watcher.look() == []


def test_a_change_back_to_an_earlier_definition_is_a_change(plugin, edit, watch):
    watcher, old = watch(plugin), live(plugin, "weather")
    watcher.look()
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    watcher.look()
    second = time.time()
    edit("hours=4", "hours=3")
    plugin.mlops_apply_features()
    watcher.look()
    assert watcher.meant("feast:weather", second - 0.001) != [old]
    assert watcher.meant("feast:weather", time.time()) == [old]


def test_a_deleted_view_means_nothing_any_more_and_its_definition_stays(plugin, edit, watch):
    watcher, old = watch(plugin), live(plugin, "planes")
    first = time.time()
    watcher.look()
    edit('delay = FeatureService(name="delay", features=[weather[["wind"]], planes])', "del planes")
    plugin.mlops_apply_features()
    watcher.look()
    now = time.time()
    for name in ("feast:planes", old.rpartition("@")[0]):
        assert watcher.meant(name, first) == [old]
        assert watcher.meant(name, now) == []
    assert watcher.meant("feast-service:delay", now) == []
    assert old in {node.uri for each in watcher.seen for node in each.nodes}


def test_a_service_is_known_by_its_references_and_follows_its_views(plugin, edit, watch):
    watcher = watch(plugin)
    watcher.look()
    first, weather = time.time(), live(plugin, "weather")
    taken = f"feast-features:{fingerprint(['planes:seats', 'planes:wind', 'weather:wind'])}"
    (service,) = watcher.meant("feast-service:delay", first)
    assert watcher.meant(taken, first) == [service]
    assert weather in watcher.into(service)
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    watcher.look()
    (followed,) = watcher.meant(taken, time.time())
    assert followed != service and weather not in watcher.into(followed)
    edit('weather[["wind"]], planes', 'weather[["wind"]].with_name("air"), planes[["seats"]]')
    plugin.mlops_apply_features()
    watcher.look()
    now = time.time()
    assert watcher.meant(taken, now) == []
    renamed = f"feast-features:{fingerprint(['planes:seats', 'air:wind'])}"
    assert watcher.meant(renamed, now) == watcher.meant("feast-service:delay", now)
    assert watcher.meant("feast:air", now) == [live(plugin, "weather")]


def test_two_services_with_the_same_features_are_both_told(plugin, edit, watch):
    edit(
        "delay = Feat",
        'twin = FeatureService(name="twin", features=[weather[["wind"]], planes])\ndelay = Feat',
    )
    plugin.mlops_apply_features()
    watcher = watch(plugin)
    watcher.look()
    taken = f"feast-features:{fingerprint(['planes:seats', 'planes:wind', 'weather:wind'])}"
    both = watcher.meant(taken, time.time())
    assert sorted(uri.partition("/featureService/")[2][:4] for uri in both) == ["dela", "twin"]


def test_a_materialisation_is_of_the_definition_that_was_live_or_of_several_if_in_doubt(
    plugin, edit, watch
):
    watcher, old = watch(plugin), live(plugin, "weather")
    views = [view for view in plugin.mlops_list_features() if view.name == "weather"]
    hours = [START + timedelta(hours=n) for n in range(4)]
    plugin.mlops_materialize_features(views=views, start=hours[0], end=hours[1])
    watcher.look()
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    new = live(plugin, "weather")
    watcher.look()
    plugin.mlops_materialize_features(views=views, start=hours[1], end=hours[2])
    watcher.look()
    late = watch(plugin)
    late.look()
    sources = {
        (name, hour): {
            edge.source
            for each in seen
            for edge in each.edges
            if edge.kind == "INPUT"
            and f"/materialization/weather/{hour.isoformat()}" in edge.target
        }
        for name, seen in (("watched", watcher.seen), ("late", late.seen))
        for hour in hours[:2]
    }
    assert sources["watched", hours[0]] == {old} and sources["watched", hours[1]] == {new}
    assert sources["late", hours[0]] == sources["late", hours[1]] == {old, new}
    edges = [e for each in late.seen for e in each.edges if e.kind == "INPUT"]
    assert {edge.level for edge in edges} == {"inferred"}
    (copied,) = watcher.meant("feast-online:weather", time.time())
    assert f"/{hours[1].isoformat()}--" in copied


def test_a_sql_registry_tells_the_same_as_a_file(repo, edit, on_sql, watch):
    from unified_mlops_feast.plugin import FeastPlugin

    plugin = FeastPlugin(workspace=repo.parent)
    plugin.mlops_apply_features()
    watcher, old = watch(plugin), live(plugin, "weather")
    assert watcher.look()
    first = time.time()
    assert watcher.look() == []
    edit('Field(name="seats", dtype=Int64), ', "")
    edit("hours=3", "hours=4")
    plugin.mlops_apply_features()
    watcher.look()
    new, now = live(plugin, "weather"), time.time()
    assert watcher.meant("feast:weather", now) == [new] != [old]
    assert watcher.meant("feast:planes", now) == [live(plugin, "planes")]
    late = watch(plugin)
    late.look()
    assert set(late.meant("feast:weather", first)) == {old, new}, "Feast keeps no time of it"
    assert len(late.meant("feast:planes", first)) == 1, "Feast keeps this one"
    assert late.meant("feast:planes", first) != late.meant("feast:planes", now)
