"""Training sets: every row once, in order, with what was known at its time."""

import random
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

from unified_mlops.errors import ArgumentError, ArgumentTypeError, BackendError, NotFoundError
from unified_mlops_feast.plugin import FeastPlugin

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
FEATURES = ["planes:seats", "weather:wind", "weather:temperature"]


def hours(*offsets):
    return [START + timedelta(hours=offset) for offset in offsets]


def write(frame, path):
    frame.to_parquet(path, coerce_timestamps="us")


def history(plugin, features, entities, path):
    views = [view for view in plugin.mlops_list_features() if view.source]
    record = plugin.mlops_read_history(
        views=views, features=features, entities=entities, destination=path
    )
    return record, pd.read_parquet(path)


def known(facts, key, time, ttl):
    """The oracle: the newest fact not after `time` and not older than the time to live."""
    seen = [
        fact
        for fact in facts
        if fact[0] == key and fact[1] <= time and (ttl is None or time <= fact[1] + ttl)
    ]
    return max(seen, key=lambda fact: fact[1])[2] if seen else None


@pytest.mark.parametrize("store", ["duckdb", "dask"])
def test_each_row_comes_back_once_in_order_with_what_was_known_at_its_time(repo, tmp_path, store):
    rng = random.Random(7)
    times = {"a": rng.sample(range(0, 120), 40), "b": rng.sample(range(0, 120), 40)}
    facts = [
        (key, START + timedelta(minutes=m), n) for key in times for n, m in enumerate(times[key])
    ]
    columns = ["origin", "observed", "temp_c"]
    frame = pd.DataFrame(facts, columns=columns).assign(wind=0.0)
    write(frame.assign(created=frame["observed"]), repo / "data" / "weather.parquet")
    source = (repo / "definitions.py").read_text()
    (repo / "definitions.py").write_text(source.replace("hours=3", "minutes=4"))
    planes = [("N1", START + timedelta(minutes=30), 30), ("N1", START + timedelta(minutes=60), 60)]
    frame = pd.DataFrame(planes, columns=["tailnum", "observed", "seats"])
    write(frame.assign(wind=0.0), tmp_path / "planes.parquet")
    plugin = FeastPlugin(workspace=tmp_path)
    plugin.mlops_apply_features()
    settings = repo / "feature_store.yaml"
    settings.write_text(settings.read_text().replace("duckdb", store))
    rows = [
        (
            rng.choice("abc"),
            rng.choice(["N1", "N2"]),
            START + timedelta(minutes=rng.randrange(-5, 125)),
        )
        for _ in range(200)
    ]
    rows += rows[:50]
    entities = pd.DataFrame(rows, columns=["code", "tailnum", "event_timestamp"])
    entities = entities.assign(label=range(250), note=[f"row {n}" for n in range(250)])
    entities.index = range(1000, 1250)
    _, got = history(plugin, FEATURES, entities, tmp_path / "set.parquet")
    assert got["label"].tolist() == list(range(250))
    assert got["note"].tolist() == entities["note"].tolist()
    assert got["event_timestamp"].tolist() == entities["event_timestamp"].tolist()
    seats = [known(planes, tail, time, None) for _, tail, time in rows]
    degrees = [known(facts, code, time, timedelta(minutes=4)) for code, _, time in rows]
    assert 0 < sum(value is None for value in degrees) < 250
    assert [None if pd.isna(v) else v for v in got["planes__seats"]] == seats
    assert [None if pd.isna(v) else v for v in got["weather__temperature"]] == degrees


def test_columns_stand_in_the_order_asked_and_of_equal_times_the_last_created_wins(
    plugin, tmp_path
):
    entities = pd.DataFrame({"code": ["LGA"], "tailnum": ["N2"], "event_timestamp": hours(1.5)})
    _, got = history(plugin, ["weather:wind", "planes:wind"], entities, tmp_path / "set.parquet")
    assert list(got) == ["code", "tailnum", "event_timestamp", "weather__wind", "planes__wind"]
    assert got.iloc[0, 3:].tolist() == [7.0, 0.5]


def test_naive_times_are_utc_and_other_zones_are_turned_into_it(plugin, tmp_path):
    naive = pd.DataFrame({"code": "JFK", "event_timestamp": [pd.Timestamp("2024-01-01 02:00")]})
    zoned = naive.assign(event_timestamp=pd.Timestamp("2024-01-01 03:00+01:00"))
    for entities in (naive, zoned, naive.astype({"event_timestamp": str})):
        _, got = history(plugin, ["weather:temperature"], entities, tmp_path / "set.parquet")
        assert got["weather__temperature"].tolist() == [103]
        assert got["event_timestamp"].tolist() == hours(2)


def test_missing_keys_and_times_and_an_empty_frame_give_typed_nulls(plugin, tmp_path):
    entities = pd.DataFrame(
        {"code": ["JFK", None, "JFK"], "event_timestamp": [None, *hours(2, 2)], "n": [1, 2, 3]}
    )
    for frame, values in (
        (entities, [None, None, 103]),
        (entities[:2], [None] * 2),
        (entities[:0], []),
    ):
        record, got = history(plugin, ["weather:temperature"], frame, tmp_path / "set.parquet")
        assert record.rows == len(frame) and got["n"].tolist() == frame["n"].tolist()
        assert [None if pd.isna(v) else v for v in got["weather__temperature"]] == values


def test_an_on_demand_view_is_computed_from_its_view_and_the_request(plugin, tmp_path):
    entities = pd.DataFrame(
        {"code": "JFK", "limit": [1.0, 9.0], "event_timestamp": hours(2, 2), "more": 1}
    )
    _, got = history(plugin, ["comfort:calm"], entities, tmp_path / "set.parquet")
    assert got["comfort__calm"].tolist() == [0, 1]


def test_the_record_and_the_file_itself_say_where_each_column_came_from(plugin, tmp_path):
    entities = pd.DataFrame({"code": "JFK", "tailnum": "N1", "event_timestamp": hours(9), "y": 0})
    record, got = history(plugin, FEATURES, entities, tmp_path / "new" / "set.parquet")
    uri = f"file://{tmp_path}/new/set.parquet"
    planes, weather = (v.ref.uri for v in plugin.mlops_list_features() if v.source)
    assert (record.ref.kind, record.ref.uri, record.name, record.rows) == ("dataset", uri, "set", 1)
    assert record.columns["y"] == ()
    assert record.columns["weather__temperature"] == (f"{weather}#temperature",)
    drawn = {(edge.source, edge.kind, edge.target) for edge in record.edges}
    assert drawn == {
        (planes, "DERIVES", uri),
        (weather, "DERIVES", uri),
        (f"{planes}#seats", "DERIVES", f"{uri}#planes__seats"),
        (f"{weather}#wind", "DERIVES", f"{uri}#weather__wind"),
        (f"{weather}#temperature", "DERIVES", f"{uri}#weather__temperature"),
    }
    assert {edge.level for edge in record.edges} == {"declared"}
    stamped = got.attrs["unified_mlops"]["columns"]
    assert stamped == {name: list(sources) for name, sources in record.columns.items()}


def test_bad_input_is_refused_before_anything_is_written(plugin, tmp_path):
    good = pd.DataFrame({"code": "JFK", "event_timestamp": hours(2)})
    path = tmp_path / "folder" / "set.parquet"

    def refused(entities, features, error, match, hint=""):
        with pytest.raises(error, match=match) as caught:
            history(plugin, features, entities, path)
        assert hint in caught.value.hint

    ask = ["weather:wind"]
    refused(good.drop(columns="event_timestamp"), ask, ArgumentError, "no column 'event_timestamp'")
    refused(good.drop(columns="code"), ask, ArgumentError, "no column 'code'", "'event_timestamp'")
    refused(good, ["weather:wnd"], NotFoundError, "'weather:wnd'", "'weather:wind'")
    refused(good, [], ArgumentError, "no feature")
    refused(good, ask * 2, ArgumentError, "twice")
    refused(good.assign(weather__wind=1), ask, ArgumentError, "'weather__wind' is doubled")
    refused(good.assign(event_timestamp="soon"), ask, ArgumentError, "does not hold times")
    refused(good.assign(mixed=[object()]), ask, ArgumentError, "cannot be written")
    refused([1], ask, ArgumentTypeError, "'list'")
    assert not path.parent.exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(plugin, tmp_path):
    good = pd.DataFrame({"code": "JFK", "event_timestamp": hours(2)})
    (tmp_path / "out" / "set.parquet" / "full").mkdir(parents=True)
    with pytest.raises(BackendError):
        history(plugin, ["weather:wind"], good, tmp_path / "out" / "set.parquet")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["set.parquet"]


def test_a_source_file_that_is_gone_is_a_broken_store(plugin, repo, tmp_path):
    (repo / "data" / "weather.parquet").unlink()
    good = pd.DataFrame({"code": "JFK", "event_timestamp": hours(2)})
    with pytest.raises(BackendError, match=r"weather\.parquet"):
        history(plugin, ["weather:wind"], good, tmp_path / "set.parquet")


def test_what_the_entities_say_of_their_own_origin_is_kept(repo, tmp_path):
    plugin = FeastPlugin(workspace=tmp_path, repo=str(repo))
    plugin.mlops_apply_features()
    entities = pd.DataFrame({"code": ["a"], "late": [1], "event_timestamp": hours(1)})
    entities.attrs["unified_mlops"] = {"columns": {"late": ["file:///flights.parquet#delay"]}}
    record, frame = history(plugin, ["weather:wind"], entities, tmp_path / "out.parquet")
    assert record.columns["late"] == ("file:///flights.parquet#delay",)
    assert ("file:///flights.parquet", "DERIVES", record.ref.uri) in {
        (edge.source, edge.kind, edge.target) for edge in record.edges
    }
    assert frame.attrs["unified_mlops"]["columns"]["late"] == ["file:///flights.parquet#delay"]
