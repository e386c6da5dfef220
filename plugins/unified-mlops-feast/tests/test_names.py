"""Physical sources: one table, file or topic has one URN, and a query none."""

import json
from pathlib import Path

import pytest

from unified_mlops_feast.names import Names

PLACES = {
    "snowflake": {"account": "ORG-Acct", "database": "WH"},
    "bigquery": {"project_id": "proj"},
    "redshift": {"cluster_id": "c1", "region": "eu-west-1", "database": "dev"},
    "athena": {"data_source": "AwsDataCatalog", "region": "us-east-1", "database": "lake"},
    "trino": {"host": "T.example", "port": "8081", "catalog": "hive"},
    "postgres": {"host": "DB.example", "database": "w"},
    "kafka": {},
    "kinesis": {},
}


def made(options="", class_type="", **values):
    from feast.protos.feast.core.DataSource_pb2 import DataSource

    source = DataSource(name="s", data_source_class_type=class_type)
    if options:
        getattr(source, f"{options}_options").SetInParent()
    for name, value in values.items():
        setattr(getattr(source, f"{options}_options"), name, value)
    return source


def postgres(**asked):
    kind = "feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source"
    configuration = json.dumps(asked).encode()
    return made("custom", f"{kind}.PostgreSQLSource", configuration=configuration)


def named(source, kind):
    return Names("store", "p", Path("/repo"), PLACES[kind]).source(source)


@pytest.mark.parametrize(
    ("kind", "values", "uri"),
    [
        ("snowflake", {"table": "T", "schema": "S"}, "snowflake://org-acct/WH.S.T"),
        ("snowflake", {"table": "T", "schema": "S", "database": "D"}, "snowflake://org-acct/D.S.T"),
        ("bigquery", {"table": "proj.set.t"}, "bigquery:proj.set.t"),
        ("bigquery", {"table": "proj:set.t"}, "bigquery:proj.set.t"),
        ("bigquery", {"table": "set.t"}, "bigquery:proj.set.t"),
        ("redshift", {"table": "t"}, "redshift://c1.eu-west-1:5439/dev.public.t"),
        ("redshift", {"table": "t", "schema": "s"}, "redshift://c1.eu-west-1:5439/dev.s.t"),
        (
            "athena",
            {"table": "t"},
            "awsathena://athena.us-east-1.amazonaws.com/AwsDataCatalog.lake.t",
        ),
        ("trino", {"table": "s.t"}, "trino://t.example:8081/hive.s.t"),
        ("trino", {"table": "other.s.t"}, "trino://t.example:8081/other.s.t"),
        ("kafka", {"kafka_bootstrap_servers": "B:9092, a:9092", "topic": "t"}, "kafka://a:9092/t"),
        ("kinesis", {"region": "eu-1", "stream_name": "t"}, "kinesis://eu-1/t"),
    ],
)
def test_a_table_or_topic_is_known_by_where_it_is(kind, values, uri):
    assert named(made(kind, **values), kind) == uri


@pytest.mark.parametrize("table", ["planes", "public.planes", '"public"."planes"'])
def test_a_table_in_postgresql_is_qualified_by_the_offline_store(table):
    assert (
        named(postgres(table=table), "postgres") == "postgresql://db.example:5432/w/public.planes"
    )


def test_what_cannot_be_qualified_is_known_by_its_name_and_its_text():
    one = named(postgres(query="SELECT 1"), "postgres")
    other = named(postgres(query="SELECT 2"), "postgres")
    assert one != other
    assert {uri.rpartition("@")[0] for uri in (one, other)} == {"feast://store/p/dataSource/s"}
    assert "@" in named(made("trino", table="t"), "trino")
    assert "@" in named(made("snowflake", table="T", schema="S"), "kafka")
    pushed = made()
    pushed.type = pushed.PUSH_SOURCE
    assert named(pushed, "kafka") == "feast://store/p/dataSource/s"


def test_files_and_objects_are_known_by_their_path():
    paths = {
        "data/../x.parquet": "file:///repo/x.parquet",
        "s3a://key:secret@b/k//X": "s3://b/k//X",
    }
    assert {path: named(made("file", uri=path), "kafka") for path in paths} == paths
    assert named(made("spark", path="s3://b/k"), "kafka") == "s3://b/k"
