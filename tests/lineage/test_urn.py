import os
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from unified_mlops.errors import LineageError
from unified_mlops.lineage.urn import (
    canonical,
    column,
    definition,
    feature_set,
    is_column,
    owner,
    path_of,
    without_secrets,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
KEYS = st.text(alphabet="aA/.%b ?:@+~=&", min_size=1)
SECRET = "hunter2SECRET"


# --- files -------------------------------------------------------------------------------------


def test_every_spelling_of_a_file_is_one_urn(tmp_path: Path) -> None:
    file = tmp_path / "a b.parquet"
    file.touch()
    (tmp_path / "link").symlink_to(file)
    spellings = [
        str(file),
        f"/{file}",
        f"file://{file}",
        f"file://localhost{file}",
        f"file://LOCALHOST{file}",
        f"file:{file}",
        f"file:{file}?cache=no",
        str(tmp_path / "x" / ".." / "a b.parquet"),
        f"{tmp_path}//.//a b.parquet",
        str(tmp_path / "link"),
        f"FILE://{str(file).replace(' ', '%20')}",
    ]
    assert {canonical(spelling) for spelling in spellings} == {f"file://{file}"}
    assert canonical("a b.parquet", tmp_path) == f"file://{file}"
    assert canonical("file:a%20b.parquet", tmp_path) == f"file://{file}"
    assert canonical(file) == f"file://{file}"
    assert path_of(canonical(file)) == file


@pytest.mark.parametrize("spelling", ["data/x.parquet", "file:data/x.parquet", "C:/x", "~/x", "."])
def test_a_relative_path_without_a_base_is_refused(spelling: str) -> None:
    with pytest.raises(LineageError, match="relative"):
        canonical(spelling)


def test_a_relative_path_below_a_relative_base_is_refused() -> None:
    with pytest.raises(LineageError, match="relative"):
        canonical("x.parquet", Path("data"))


@pytest.mark.parametrize(
    "nothing", ["", "a\0b", "file:", "file://", "sqlite://", "sqlite:///:memory:"]
)
def test_text_that_names_no_lasting_thing_is_refused(nothing: str) -> None:
    with pytest.raises(LineageError):
        canonical(nothing, Path("/base"))


def test_a_file_of_another_machine_is_no_file_of_ours() -> None:
    with pytest.raises(LineageError, match="another machine"):
        canonical("file://far/data/x.parquet")


def test_a_path_with_a_colon_is_a_path() -> None:
    path = Path("/base/2024-01-01 10:00:00/x.parquet")
    assert canonical(str(path)) == canonical(path) == f"file://{path}"
    assert canonical("2024-01-01 10:00:00/x.parquet", Path("/base")) == canonical(path)


def test_a_file_name_of_any_bytes_survives() -> None:
    path = os.fsdecode(b"/base/\xff\xfe#%?")
    assert canonical(canonical(path)) == canonical(path)
    assert str(path_of(canonical(path))) == path


@given(TEXT)
@example("%41")
@example("a#b?c=d%2F")
def test_a_file_has_one_urn_whether_written_as_path_or_as_uri(name: str) -> None:
    path = f"/base/{name}"
    assert canonical(path) == canonical(f"file://{quote(path)}") == canonical(Path(path))
    assert path_of(canonical(path)) == Path(os.path.realpath(path))


@given(TEXT)
@example(" ")
@example("x:y:z")
@example("s3://a?b=c")
@example("sqlite:////x%41.db")
@example("sqlite:///x#table=a b")
@example("file:///x#a%20b#c")
@example("postgresql://u:p@@h?x#y")
@example("jdbc:oracle:thin:u/p@h:1521:x")
def test_canonical_is_idempotent_for_any_text(text: str) -> None:
    try:
        once = canonical(text, Path("/base"))
    except LineageError:
        assume(False)
    assert canonical(once) == once


# --- objects, databases, streams ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("urn", "spellings"),
    [
        ("s3://Bucket/Key//x/../y", ["s3a://Bucket/Key//x/../y", "S3N://k:s@Bucket/Key//x/../y"]),
        ("gs://b/k", ["gcs://b/k", "GS://b/k", "gs://b/k?generation=1"]),
        ("s3://b/what?.csv", ["s3://b/what?.csv", "s3a://b/what?.csv?versionId=1"]),
        (
            "abfs://c@acct/k/K",
            [
                *("abfss://c@acct/k/K", "abfs://c@ACCT.dfs.core.windows.net/k/K"),
                *("wasbs://c@acct.blob.core.windows.net/k/K", "wasb://c@acct/k/K?sig=x"),
                "abfss://user:password@c@acct/k/K",
            ],
        ),
        ("abfs://acct/k", ["abfs://user:password@acct/k"]),
        (
            "postgresql://host:5432/db",
            [
                *("postgresql+psycopg://u:secret@Host/db", "postgres://HOST:5432/db#"),
                *("jdbc:postgresql://host/db?user=u&password=p", "postgresql://u@host:/db"),
                "postgresql:///db?host=Host&user=u",
            ],
        ),
        ("postgresql://localhost:5433/db", ["postgresql:///db?host=/run/pg&port=5433"]),
        ("postgresql://host:5433/db/s.T", ["postgresql://u:secret@host:5433/db/s.T?sslmode=on"]),
        ("mysql://h:3306/db", ["mysql+pymysql://u:p@h/db", "jdbc:mysql://H:3306/db"]),
        ("oracle://h:1521/s", ["jdbc:oracle:thin:u/p@//h:1521/s", "oracle+cx_oracle://u:p@h/s"]),
        ("snowflake://org-a/db/S", ["snowflake://u:p@Org-A/db/S?warehouse=w&role=r"]),
        ("bigquery://p.D.t", ["bigquery://p/D/t", "bq://p.D.t", "bigquery://p.D.t?location=EU"]),
        ("redis://h:6379/0", ["redis://:pw@h", "redis://h:6379/", "rediss://H/0?ssl=true"]),
        (
            "kafka://a:9092,b:9093/Topic",
            ["kafka://B:9093,A/Topic", "kafka://u:p@a:9092,b:9093/Topic"],
        ),
        ("https://host/A", ["HTTPS://u:p@Host:443/A?X-Amz-Signature=s#access_token=t"]),
        ("http://host", ["http://HOST:80/", "http://host"]),
        ("hdfs://nn:8020/user=5/K", ["hdfs://me@NN:8020/user=5/K"]),
    ],
)
def test_every_spelling_of_a_remote_thing_is_one_urn(urn: str, spellings: list[str]) -> None:
    assert [canonical(spelling) for spelling in spellings] == [urn] * len(spellings)
    assert canonical(urn) == urn


@pytest.mark.parametrize(
    "urn",
    [
        *("mlflow:run/abc", "mlflow://Inst/registered/a b/1", "feast://I/p/featureView/v@1a#f%40"),
        *("kfp:pipeline/p@1", "ray://Session_1/jobs/j", "prediction:me@x", "models:/delay@prod"),
    ],
)
def test_what_is_no_place_stays_as_it_is(urn: str) -> None:
    assert canonical(urn) == urn


def test_a_table_of_a_database_file_is_a_fragment_and_the_whole_is_its_file(tmp_path: Path) -> None:
    file = tmp_path / "x y.db"
    urn = f"sqlite://{file}#table=t"
    assert canonical(urn) == canonical(f"sqlite+pysqlite:///{file}#table=t") == urn
    assert canonical(f"{urn}#col") == column(urn, "col")
    whole = [f"sqlite:///{file}", f"jdbc:sqlite:{file}", f"sqlite:///file:{file}?mode=ro&uri=true"]
    assert {canonical(spelling) for spelling in [*whole, file]} == {f"file://{file}"}
    assert canonical("sqlite:///x y.db", tmp_path) == f"file://{file}"
    with pytest.raises(LineageError, match="relative"):
        canonical("sqlite:///x y.db")


@given(KEYS, KEYS, st.sampled_from(["s3", "gs", "abfs"]))
def test_different_object_keys_stay_different(one: str, other: str, scheme: str) -> None:
    assume("?" not in one + other or "=" not in one + other)  # a query names no object
    same = canonical(f"{scheme}://b/{one}") == canonical(f"{scheme}://b/{other}")
    assert same == (one == other)


# --- credentials ---------------------------------------------------------------------------------

PASSWORDS = st.text(alphabet=string.ascii_letters + "/?#+=%:!$&*-", max_size=6).map(
    lambda text: f"{text}{SECRET}{text}"
)
TOKENS = [
    "sig",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "password",
    "access_token",
    "AWSSecretKey",
]


@given(
    st.sampled_from(["s3", "gs", "abfss", "postgresql+psycopg2", "http", "kafka", "odd", "feast"]),
    PASSWORDS,
    st.sampled_from(["host/key", "c@acct/key", "host:99/a@b", "host", "a,b:1/t"]),
)
def test_no_password_survives(scheme: str, password: str, rest: str) -> None:
    assert SECRET not in canonical(f"{scheme}://user:{password}@{rest}")


@pytest.mark.parametrize("place", ["s3://b/k", "https://h/k", "postgresql://h/d"])
@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("form", ["{}?{}={}", "{}?a=1&{}={}", "{}#x?{}={}", "{}#{}={}"])
def test_no_token_survives(place: str, token: str, form: str) -> None:
    assert SECRET not in canonical(form.format(place, token, SECRET))


@pytest.mark.parametrize(
    "text",
    [
        f"user:{SECRET}@host:3306/db",
        f"data/x.csv?token={SECRET}",
        f"localhost:6379,password={SECRET},ssl=true",
        f"jdbc:sqlserver://h:1433;databaseName=d;user=sa;password={SECRET}",
        f"file://me:{SECRET}@far/x",
        f"host=h user=u password='a {SECRET}' dbname=d",
    ],
)
def test_neither_a_urn_nor_an_error_holds_a_credential(text: str) -> None:
    try:
        said = canonical(text)
    except LineageError as error:
        said = str(error)
    assert SECRET not in said


@pytest.mark.parametrize(
    "text",
    [
        f"see postgresql://me:{SECRET}@h/d, please",
        f"password={SECRET}",
        f'{{"api_key": "{SECRET}", "b": 1}}',
        f"https://h/x?X-Amz-Credential={SECRET}&b=1",
        f"git clone https://{SECRET}@h/x",
    ],
)
def test_free_text_is_cleaned(text: str) -> None:
    clean = without_secrets(text)
    assert SECRET not in clean
    assert (
        without_secrets("features/weather.parquet at 10:30") == "features/weather.parquet at 10:30"
    )


# --- names ---------------------------------------------------------------------------------------


def test_a_column_knows_its_owner() -> None:
    uri = column("file:///x.parquet", "temp")
    assert is_column(uri)
    assert owner(uri) == "file:///x.parquet"
    assert not is_column("sqlite:///x.db#table=t")
    assert is_column(column("sqlite:///x.db#table=t", "c"))


@given(TEXT)
def test_a_column_of_any_name_is_canonical(name: str) -> None:
    for thing in ("file:///x.parquet", "s3://b/k", "feast://i/p/featureView/v@1"):
        uri = column(thing, name)
        assert canonical(uri) == uri
        assert owner(uri) == thing


def test_a_definition_is_a_version_of_its_thing() -> None:
    view = "feast://i/p/featureView/v"
    assert definition(view, "1a") == f"{view}@1a" == canonical(f"{view}@1a")


def test_a_set_of_features_has_one_name_in_any_order() -> None:
    assert feature_set(["v:b", "v:a"]) == feature_set(["v:a", "v:b", "v:a"])
    assert feature_set(["v:a"]) != feature_set(["v:a", "v:b"])
    assert feature_set(["v:b", "v:a"]) == "feast-features:fd116d6228ae95be"


@pytest.mark.parametrize(
    "text", ["models:/delay@prod", "feast://i/p/featureView/v@0a1b#f", "kfp:pipeline/p@12", "a b"]
)
def test_names_of_ours_are_no_secrets(text: str) -> None:
    assert without_secrets(text) == text
