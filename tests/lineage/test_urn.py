from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_mlops.errors import LineageError
from unified_mlops.lineage.urn import canonical, column, is_column, owner, path_of


def test_every_spelling_of_a_file_is_one_urn(tmp_path: Path) -> None:
    file = tmp_path / "a b.parquet"
    file.touch()
    (tmp_path / "link").symlink_to(file)
    spellings = [
        str(file),
        f"file://{file}",
        f"file://localhost{file}",
        f"file:{file}",
        str(tmp_path / "x" / ".." / "a b.parquet"),
        str(tmp_path / "link"),
        f"FILE://{str(file).replace(' ', '%20')}",
    ]
    assert {canonical(spelling) for spelling in spellings} == {f"file://{file}"}
    assert canonical("a b.parquet", tmp_path) == f"file://{file}"
    assert path_of(canonical(file)) == file


def test_a_relative_path_without_a_base_is_refused() -> None:
    with pytest.raises(LineageError, match="relative"):
        canonical("data/x.parquet")


@pytest.mark.parametrize(
    ("spelling", "urn"),
    [
        ("s3a://Bucket/Key//x/../y", "s3://Bucket/Key//x/../y"),
        ("gcs://b/k", "gs://b/k"),
        ("abfss://c@acct/k", "abfs://c@acct/k"),
        ("postgresql+psycopg://u:secret@Host/db", "postgresql://host:5432/db"),
        ("postgresql://u:secret@host:5433/db?sslmode=on", "postgresql://host:5433/db"),
        ("s3://key:secret@bucket/k", "s3://bucket/k"),
        ("mlflow:run/abc", "mlflow:run/abc"),
        ("feast://i/p/featureView/v#f", "feast://i/p/featureView/v#f"),
    ],
)
def test_canonical_form(spelling: str, urn: str) -> None:
    assert canonical(spelling) == urn


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1))
def test_canonical_is_idempotent_for_any_file_name(name: str) -> None:
    once = canonical(name, Path("/base"))
    if once.startswith("file:"):
        assert canonical(once) == once


@given(st.text(alphabet="aA/.%b", min_size=1), st.text(alphabet="aA/.%b", min_size=1))
def test_different_object_keys_stay_different(one: str, other: str) -> None:
    same = canonical(f"s3://b/{one}") == canonical(f"s3://b/{other}")
    assert same == (one == other)


def test_a_column_knows_its_owner() -> None:
    uri = column("file:///x.parquet", "temp")
    assert is_column(uri)
    assert owner(uri) == "file:///x.parquet"
    assert not is_column("sqlite:///x.db#table=t")
