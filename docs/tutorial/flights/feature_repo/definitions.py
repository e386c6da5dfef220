"""What a departure is predicted from, in plain Feast: two entities, three views, one service."""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, Project, ValueType
from feast.types import Float64, Int64, String

# Absolute: the DuckDB offline store reads a relative path from where the process was started.
DATA = Path(__file__).resolve().parent.parent / "data"
OWNER = "flights@example.com"

flights = Project(name="flights", description="Will this departure be late?", owner=OWNER)

airport = Entity(
    name="airport",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="One of New York's three airports",
)
tail = Entity(
    name="plane",
    join_keys=["tailnum"],
    value_type=ValueType.STRING,
    description="A plane by its tail number",
)

weather_file = FileSource(
    name="weather_file",
    path=str(DATA / "weather.parquet"),
    timestamp_field="event_timestamp",
    description="Hourly observations, stamped with the end of their hour",
    owner=OWNER,
)
planes_file = FileSource(
    name="planes_file",
    path=str(DATA / "planes.parquet"),
    timestamp_field="event_timestamp",
    field_mapping={"year": "built"},
    description="The register of planes",
    owner=OWNER,
)
delays_file = FileSource(
    name="delays_file",
    path=str(DATA / "delays.parquet"),
    timestamp_field="event_timestamp",
    description="Rolling delays, stamped with the hour before which all of it was known",
    owner=OWNER,
)

weather = FeatureView(
    name="weather",
    entities=[airport],
    ttl=timedelta(hours=6),
    source=weather_file,
    schema=[
        Field(name="temp", dtype=Float64, description="Temperature, degrees Fahrenheit"),
        Field(name="dewp", dtype=Float64, description="Dew point, degrees Fahrenheit"),
        Field(name="humid", dtype=Float64, description="Relative humidity, per cent"),
        Field(name="wind_speed", dtype=Float64, description="Miles per hour"),
        Field(name="precip", dtype=Float64, description="Inches in the hour"),
        Field(name="pressure", dtype=Float64, description="Millibars at sea level"),
        Field(name="visib", dtype=Float64, description="Visibility, miles"),
    ],
    description="The last observed weather at the airport",
    owner=OWNER,
    tags={"owner": OWNER, "cadence": "hourly"},
)
plane = FeatureView(
    name="plane",
    entities=[tail],
    ttl=timedelta(days=3650),
    source=planes_file,
    schema=[
        Field(name="built", dtype=Float64, description="Year of manufacture"),
        Field(name="manufacturer", dtype=String),
        Field(name="seats", dtype=Int64),
        Field(name="engine", dtype=String, description="Kind of engine"),
    ],
    description="What flies: the register lacks the plane of about one departure in six",
    owner=OWNER,
    tags={"owner": OWNER, "cadence": "yearly"},
)
delays = FeatureView(
    name="delays",
    entities=[airport],
    ttl=timedelta(hours=6),
    source=delays_file,
    schema=[
        Field(name="late_rate_3h", dtype=Float64, description="Share late, last three hours"),
        Field(name="late_rate_24h", dtype=Float64, description="Share late, last day"),
        Field(name="mean_delay_3h", dtype=Float64, description="Minutes, of those that left"),
        Field(name="departed_3h", dtype=Int64, description="How many left in three hours"),
    ],
    description="How late the airport was running, from the flights known by then",
    owner=OWNER,
    tags={"owner": OWNER, "cadence": "hourly"},
)

departure_delay_v1 = FeatureService(
    name="departure_delay_v1",
    features=[weather, plane, delays],
    description="Everything looked up to say whether a departure will be late",
    owner=OWNER,
    tags={"owner": OWNER},
)
