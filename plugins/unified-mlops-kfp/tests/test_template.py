"""Compiled pipelines from a file, a package or an address."""

import io
import json
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kfp import dsl
from kfp.compiler import Compiler

from unified_mlops.errors import ArgumentError
from unified_mlops_kfp import template
from unified_mlops_kfp.plugin import KfpPlugin


@dsl.component(base_image="python:3.11")
def say(text: str) -> str:
    return text


@dsl.pipeline(name="said")
def said(text: str = "hi"):
    say(text=text)


@pytest.fixture
def compiled(tmp_path):
    path = tmp_path / "said.yaml"
    Compiler().compile(said, str(path))
    return path


@pytest.fixture
def load(tmp_path):
    return KfpPlugin(workspace=tmp_path / "w").mlops_load_pipeline


def test_a_package_holds_one_pipeline(compiled, load, tmp_path):
    known = load(compiled).ref
    with zipfile.ZipFile(tmp_path / "said.zip", "w") as package:
        package.write(compiled, "pipeline.yaml")
    with tarfile.open(tmp_path / "said.tar.gz", "w:gz") as package:
        package.add(compiled, "pipeline.yaml")
    assert load(str(tmp_path / "said.zip")).ref == known
    assert load(tmp_path / "said.tar.gz").ref == known


def test_a_package_with_two_pipelines_and_one_that_is_none_are_refused(compiled, load, tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as package:
        package.write(compiled, "a.yaml")
        package.write(compiled, "b.yaml")
    with pytest.raises(ArgumentError, match="holds 2 pipelines instead of one"):
        load(tmp_path / "two.zip")
    (tmp_path / "none.tar.gz").write_bytes(b"no package")
    with pytest.raises(ArgumentError, match=r"none\.tar\.gz' cannot be read"):
        load(tmp_path / "none.tar.gz")


def test_a_pipeline_is_read_from_an_address(compiled, load):
    handler = partial(SimpleHTTPRequestHandler, directory=str(compiled.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert load(f"{address}/said.yaml").ref == load(compiled).ref
        with pytest.raises(ArgumentError, match="404"):
            load(f"{address}/other.yaml")
    finally:
        server.shutdown()
        server.server_close()


def test_a_store_is_read_through_fsspec_and_json_as_well(compiled, load):
    import fsspec
    import yaml

    with fsspec.open("memory://pipelines/said.json", "w") as file:
        json.dump(yaml.safe_load(compiled.read_text()), file)
    assert load("memory://pipelines/said.json").ref == load(compiled).ref


def test_no_password_of_an_address_is_told(load):
    with pytest.raises(ArgumentError) as caught:
        load("http://user:s3cret@127.0.0.1:9/x.yaml?token=s3cret")
    assert "s3cret" not in str(caught.value)


def test_what_is_too_large_is_not_read(load, tmp_path, monkeypatch):
    monkeypatch.setattr(template, "LARGEST", 10)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("a.yaml", io.BytesIO(b"0" * 10**6).read())
    with pytest.raises(ArgumentError, match="larger than 10 bytes"):
        load(tmp_path / "bomb.zip")
