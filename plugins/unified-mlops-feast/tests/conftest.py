"""A real Feast repo: hourly weather by airport (renamed columns), planes, one computed view."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from unified_mlops.lineage.names import look_up, meanings
from unified_mlops.records import Claim
from unified_mlops_feast.plugin import FeastPlugin

START = datetime(2024, 1, 1, tzinfo=timezone.utc)

DEFINITIONS = """\
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

airport = Entity(name="airport", join_keys=["code"], value_type=ValueType.STRING)
tail = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
weather = FeatureView(
    name="weather",
    entities=[airport],
    ttl=timedelta(hours=3),
    schema=[Field(name="wind", dtype=Float64), Field(name="temperature", dtype=Int64)],
    source=FileSource(
        name="weather_file",
        path="data/weather.parquet",
        timestamp_field="observed",
        created_timestamp_column="created",
        field_mapping={"temp_c": "temperature", "origin": "code"},
    ),
    description="hourly weather",
    tags={"team": "ops"},
)
planes = FeatureView(
    name="planes",
    entities=[tail],
    schema=[Field(name="seats", dtype=Int64), Field(name="wind", dtype=Float64)],
    source=FileSource(name="planes_file", path=r"PLANES", timestamp_field="observed"),
)
asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])


@on_demand_feature_view(sources=[weather, asked], schema=[Field(name="calm", dtype=Int64)])
def comfort(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"calm": (inputs["wind"] <= inputs["limit"]).astype("int64")})


delay = FeatureService(name="delay", features=[weather[["wind"]], planes])
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repo with sources and definitions to which nothing was applied."""
    import pandas as pd

    folder = tmp_path / "feature_repo"
    (folder / "data").mkdir(parents=True)
    hours = [START + timedelta(hours=hour) for hour in (0, 1, 1, 2, 8)]
    weather = pd.DataFrame(
        {
            "origin": [code for code in ("JFK", "LGA") for _ in hours],
            "observed": hours * 2,
            "created": [hour + timedelta(minutes=n) for n, hour in enumerate(hours)] * 2,
            "wind": [float(n) for n in range(10)],
            "temp_c": range(100, 110),
        }
    )
    planes = pd.DataFrame(
        {
            "tailnum": ["N1", "N2", "N1"],
            "observed": hours[:1] * 2 + hours[4:],
            "seats": [10, 20, 30],
        }
    )
    write(weather, folder / "data" / "weather.parquet")
    write(planes.assign(wind=0.5), tmp_path / "planes.parquet")
    source = DEFINITIONS.replace("PLANES", str(tmp_path / "planes.parquet"))
    (folder / "definitions.py").write_text(source)
    return folder


def write(frame: object, path: Path) -> None:
    frame.to_parquet(path, coerce_timestamps="us")  # type: ignore[attr-defined]


@pytest.fixture
def plugin(repo: Path) -> FeastPlugin:
    """The plugin on a repo to which the definitions were applied."""
    made = FeastPlugin(workspace=repo.parent)
    made.mlops_apply_features()
    return made


@pytest.fixture
def materialized(plugin: FeastPlugin) -> FeastPlugin:
    """The plugin, with all views in the online store."""
    views = [view for view in plugin.mlops_list_features() if view.source]
    end = START + timedelta(days=1)
    plugin.mlops_materialize_features(views=views, start=START - timedelta(days=1), end=end)
    return plugin


@pytest.fixture
def edit(repo: Path) -> Callable[[str, str], None]:
    """Replace text in the repo's definitions."""

    def replace(old: str, new: str) -> None:
        file = repo / "definitions.py"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return replace


class Watcher:
    """Looks at a repo from time to time, and remembers what it was told."""

    def __init__(self, plugin: FeastPlugin) -> None:
        self.plugin, self.cursor, self.seen = plugin, None, []

    def look(self) -> list:
        """What is new."""
        found = self.plugin.mlops_collect_lineage(cursor=self.cursor)
        self.cursor = found.cursor
        self.seen += found.observations
        return list(found.observations)

    def meant(self, name: str, at: float) -> list[str]:
        """What a name may have meant at a moment."""
        aliases = [alias for each in self.seen for alias in each.aliases if alias.name == name]
        return look_up(Claim(name, "INPUT", "run", "feast-references", at), meanings(aliases))

    def into(self, uri: str, kind: str = "DERIVES") -> set[str]:
        """The things directly upstream of one."""
        edges = (edge for each in self.seen for edge in each.edges)
        return {edge.source for edge in edges if (edge.target, edge.kind) == (uri, kind)}


@pytest.fixture
def watch() -> type[Watcher]:
    """Looks at a repo from time to time."""
    return Watcher
