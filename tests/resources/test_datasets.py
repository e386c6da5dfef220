import pandas as pd
import pytest

import unified_mlops as umlops
from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.session import Session

pytestmark = pytest.mark.usefixtures("session")


def test_a_dataset_knows_its_columns_and_rows() -> None:
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet("d.parquet")
    data = umlops.Dataset("d.parquet")
    assert (list(data.record.columns), data.record.rows) == (["a", "b"], 2)
    assert list(data.to_pandas()["a"]) == [1, 2]


def test_a_mark_says_where_columns_come_from_and_parquet_keeps_it() -> None:
    pd.DataFrame({"delay": [1]}).to_parquet("source.parquet")
    source = umlops.Dataset("source.parquet")
    made = pd.DataFrame({"late": [0]})
    source.mark(made, {"late": ["delay"]})
    made.to_parquet("made.parquet")
    assert umlops.Dataset("made.parquet").record.columns == {"late": (f"{source.uri}#delay",)}


def test_a_mark_of_a_column_that_is_not_there_is_refused() -> None:
    pd.DataFrame({"delay": [1]}).to_parquet("source.parquet")
    with pytest.raises(ArgumentError, match="no column 'dely'"):
        umlops.Dataset("source.parquet").mark(pd.DataFrame({"late": [0]}), {"late": ["dely"]})


def test_a_missing_file_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no file 'gone.parquet'"):
        umlops.Dataset("gone.parquet")


def test_a_file_that_is_not_parquet_is_refused(session: Session) -> None:
    session.config.workspace.mkdir()
    path = session.config.workspace / "x.parquet"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ArgumentError, match="is not a parquet file"):
        umlops.Dataset(str(path))
