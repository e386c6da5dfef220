"""A workspace, a plugin on it, and two small datasets whose distances are known."""

import pandas as pd
import pytest
from evidently.sdk.models import ProjectModel
from evidently.ui.workspace import Workspace

from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord, Record, Ref
from unified_mlops_evidently.plugin import EvidentlyPlugin


@pytest.fixture
def plugin(tmp_path):
    return EvidentlyPlugin(tmp_path / "workspace")


@pytest.fixture
def subject():
    uri = "mlflow://0a1b/registered/delay/3"
    return Record(ref=Ref("mlflow", "model_version", "delay/3", uri))


@pytest.fixture
def dataset(tmp_path):
    """Writes columns to a parquet file and returns its record."""

    def write(name, columns):
        path = tmp_path / f"{name}.parquet"
        pd.DataFrame(columns).to_parquet(path)
        return DatasetRecord(ref=Ref("files", "dataset", name, urn.canonical(path)), name=name)

    return write


@pytest.fixture
def pair(dataset):
    """A reference and current data: `distance` 1.0, `carrier` 0.5, `month` and `late` 0.0 apart."""
    shared = {"month": [1, 2, 3, 4], "late": [True, False, True, False]}
    return (
        dataset("train", {"distance": [1.0] * 4, "carrier": ["AA", "AA", "UA", "UA"]} | shared),
        dataset("july", {"distance": [2.0] * 4, "carrier": ["AA", "AA", "B6", "B6"]} | shared),
    )


@pytest.fixture
def workspace(tmp_path):
    """An Evidently workspace where the plugin has its own, made by Evidently alone."""
    return Workspace(str(tmp_path / "workspace" / "evidently"))


@pytest.fixture
def project(workspace):
    return workspace.add_project(ProjectModel(name="by hand"))
