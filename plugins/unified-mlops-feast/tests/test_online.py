"""Materialising, and reading online."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

from unified_mlops.errors import ArgumentError, BackendError, NotFoundError
from unified_mlops_feast.plugin import FeastPlugin

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def read(plugin, features, entities):
    views = plugin.mlops_list_features()
    return plugin.mlops_read_online(views=views, features=features, entities=entities)


def test_materialising_is_silent_and_recorded_per_view_and_together(plugin, capfd):
    views = [view for view in plugin.mlops_list_features() if view.source]
    end = START + timedelta(days=1)
    record = plugin.mlops_materialize_features(views=views, start=START, end=end)
    assert capfd.readouterr() == ("", "")
    assert record.views == ("planes", "weather")
    assert (record.start, record.end) == (START, end)
    span = "2024-01-01T00:00:00+00:00--2024-01-01T23:59:59.999999+00:00"
    assert record.ref.uri.endswith(f"/materialization/planes+weather/{span}")
    found = plugin.mlops_collect_lineage(cursor=None).observations
    native = {node.uri for item in found for node in item.nodes if node.kind == "materialization"}
    assert native == {edge.target for edge in record.edges}
    single = plugin.mlops_materialize_features(views=views[:1], start=START, end=end)
    assert single.ref.uri in native and not single.edges


def test_nanosecond_times_as_pandas_writes_them_are_materialised(plugin, repo):
    frame = pd.read_parquet(repo / "data" / "weather.parquet")
    frame.astype({"observed": "datetime64[ns, UTC]"}).to_parquet(repo / "data" / "weather.parquet")
    weather = plugin.mlops_list_features()[2]
    end = START + timedelta(days=1)
    plugin.mlops_materialize_features(views=[weather], start=START, end=end)
    assert read(plugin, ["weather:temperature"], [{"code": "LGA"}]) == [{"temperature": 109}]


def test_values_at_the_end_of_the_interval_stay_out(plugin):
    weather = plugin.mlops_list_features()[2]
    end = START + timedelta(hours=2)
    plugin.mlops_materialize_features(views=[weather], start=START, end=end)
    assert read(plugin, ["weather:temperature"], [{"code": "LGA"}]) == [{"temperature": 107}]


def test_materialising_refuses_no_view_an_unknown_view_and_an_empty_interval(plugin):
    view, end = plugin.mlops_list_features()[2], START + timedelta(hours=1)
    with pytest.raises(ArgumentError):
        plugin.mlops_materialize_features(views=[], start=START, end=end)
    with pytest.raises(ArgumentError, match="not before"):
        plugin.mlops_materialize_features(views=[view], start=end, end=START)
    gone = type(view)(**{**vars(view), "name": "gone"})
    with pytest.raises(NotFoundError):
        plugin.mlops_materialize_features(views=[gone], start=START, end=end)


def test_rows_follow_the_entities_and_hold_the_features_in_the_order_asked(materialized):
    features = ["weather:temperature", "planes:seats"]
    entities = [{"code": code, "tailnum": "N1", "other": 1} for code in ("LGA", "XXX", "JFK")]
    rows = read(materialized, features, entities)
    assert rows == [
        {"temperature": 109, "seats": 30},
        {"temperature": None, "seats": 30},
        {"temperature": 104, "seats": 30},
    ]
    assert [list(row) for row in rows] == [["temperature", "seats"]] * 3
    assert list(read(materialized, features[::-1], entities)[0]) == ["seats", "temperature"]
    assert read(materialized, features, []) == ()


def test_a_name_that_two_views_share_carries_its_view(materialized):
    features = ["planes:wind", "weather:wind", "planes:seats"]
    (row,) = read(materialized, features, [{"code": "JFK", "tailnum": "N2"}])
    assert row == {"planes__wind": 0.5, "weather__wind": 4.0, "seats": 20}


def test_an_on_demand_view_takes_its_request_data(materialized):
    (row,) = read(materialized, ["comfort:calm"], [{"code": "JFK", "limit": 5.0}])
    assert row == {"calm": 1}


def test_unknown_features_and_missing_keys_are_refused(materialized):
    with pytest.raises(NotFoundError, match="'planes:seat'") as caught:
        read(materialized, ["planes:seat"], [{"tailnum": "N1"}])
    assert "'planes:seats'" in caught.value.hint
    with pytest.raises(ArgumentError, match="has no 'tailnum'"):
        read(materialized, ["planes:seats"], [{"tailnum": "N1"}, {"tail": "N1"}])


def test_threads_may_read_at_once(materialized):
    def one(number):
        return read(materialized, ["planes:seats"], [{"tailnum": f"N{number % 2 + 1}"}])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(200)))
    assert answers == [[{"seats": 20 if number % 2 else 30}] for number in range(200)]


def test_a_corrupted_online_store_is_a_broken_store(materialized, repo):
    (repo / "data" / "online_store.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(BackendError):
        read(FeastPlugin(workspace=repo.parent), ["planes:seats"], [{"tailnum": "N1"}])
