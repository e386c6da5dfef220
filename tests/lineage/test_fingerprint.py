"""Columns of equal content are told, and only those."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unified_mlops.lineage import fingerprint

FRAME = pd.DataFrame(
    {
        "number": [1, 2, 3, 4],
        "float": [0.5, None, 2.5, 3.5],
        "text": ["a", "bc", None, "ü"],
        "flag": [True, False, True, True],
        "when": pd.to_datetime(["2013-01-01", "2013-01-02", "2013-01-03", None]),
    }
)


@pytest.fixture
def written(tmp_path: Path):
    def write(frame: pd.DataFrame, name: str = "data.parquet") -> Path:
        path = tmp_path / name
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return path

    return write


def test_every_plain_column_has_its_own(written):
    found = fingerprint.columns(written(FRAME))
    assert list(found) == list(FRAME)
    assert len(set(found.values())) == len(FRAME.columns)


def test_a_copy_under_another_name_with_other_columns_agrees(written):
    copy = FRAME[["text", "number"]].rename(columns={"text": "note"})
    first, second = fingerprint.columns(written(FRAME)), written(copy, "n1: a copy.parquet")
    assert fingerprint.columns(second) == {"note": first["text"], "number": first["number"]}


def test_how_values_are_stored_does_not_matter(written, tmp_path):
    plain = fingerprint.columns(written(FRAME))
    stored = FRAME.astype({"number": "float32", "text": "category"})
    assert fingerprint.columns(written(stored, "b.parquet")) == plain
    chunks = tmp_path / "chunks.parquet"
    pq.write_table(pa.Table.from_pandas(FRAME), chunks, row_group_size=1)
    assert fingerprint.columns(chunks) == plain
    assert (
        fingerprint.columns(written(FRAME.set_index(pd.Index([7, 5, 3, 1])), "i.parquet")) == plain
    )
    table = FRAME[["number", "float"]]
    read = fingerprint.columns(written(table, "c.csv"))
    assert read == {name: plain[name] for name in table}


@pytest.mark.parametrize("other", [[1, 2, 4, 3], [1, 2, 3, 5], [1, 2, 3], [1, 2, 3, 4, 4]])
def test_another_order_value_or_length_is_another(written, other):
    first = fingerprint.columns(written(FRAME))["number"]
    second = written(pd.DataFrame({"number": other}), "other.parquet")
    assert fingerprint.columns(second)["number"] != first


def test_texts_are_not_run_together_and_nothing_is_not_empty(written):
    texts = [["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None], ["", None]]
    found = [
        fingerprint.columns(written(pd.DataFrame({"x": text}), f"{index}.parquet"))["x"]
        for index, text in enumerate(texts)
    ]
    assert len(set(found)) == 5


def test_one_value_tells_nothing(written):
    frame = pd.DataFrame({"zero": [0] * 9, "none": [None] * 9, "list": [[1], [2], [3]] * 3})
    assert fingerprint.columns(written(frame)) == {}


def test_what_is_too_large_missing_or_no_table_has_none(written, tmp_path, monkeypatch):
    path = written(FRAME)
    broken, folder = tmp_path / "broken.parquet", tmp_path / "folder.csv"
    broken.write_bytes(path.read_bytes()[:100])
    folder.mkdir()
    others = [tmp_path / "no.parquet", broken, folder, Path(__file__)]
    assert [fingerprint.columns(other) for other in others] == [{}] * 4
    monkeypatch.setattr(fingerprint, "MAX_ROWS", 3)
    assert fingerprint.columns(path) == {}
    monkeypatch.setattr(fingerprint, "MAX_ROWS", 4)
    monkeypatch.setattr(fingerprint, "MAX_BYTES", 10)
    assert fingerprint.columns(path) == {}


def test_importing_it_imports_no_pyarrow():
    script = "import sys, unified_mlops.lineage.fingerprint; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
