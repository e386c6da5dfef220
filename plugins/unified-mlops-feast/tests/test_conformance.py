"""The standard tests of every plugin."""

from pathlib import Path

import pandas as pd

from unified_mlops.testing import Conformance
from unified_mlops_feast.plugin import FeastPlugin

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import {types}
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
source = FileSource(name="stats", path=r"{path}", timestamp_field="event_timestamp")
view = FeatureView(
    name="driver_stats", entities=[driver], ttl=timedelta(0), source=source, schema=[{schema}]
)
"""


class TestFeast(Conformance):
    plugin_class = FeastPlugin

    def prepare_features(self, plugin, workspace, rows):
        repo = Path(workspace) / "feature_repo"
        repo.mkdir(parents=True)
        frame = pd.DataFrame(rows)
        path = repo / "stats.parquet"
        frame.to_parquet(path)
        kinds = {"rating": "Float64", "trips": "Int64", "city": "String"}
        schema = ", ".join(f"Field(name={name!r}, dtype={kind})" for name, kind in kinds.items())
        types = ", ".join(sorted(set(kinds.values())))
        (repo / "definitions.py").write_text(
            DEFINITIONS.format(types=types, path=path, schema=schema)
        )
