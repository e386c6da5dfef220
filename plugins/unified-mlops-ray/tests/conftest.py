from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from unified_mlops.records import ClusterRecord
from unified_mlops_ray import cluster as clusters
from unified_mlops_ray.connect import attached
from unified_mlops_ray.plugin import RayPlugin

Members = Callable[[int], list[psutil.Process]]


@pytest.fixture(scope="session")
def members() -> Members:
    """The living processes of a session, by its leader."""

    def members(session: int) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["status"]):
            with contextlib.suppress(OSError):
                same = os.getsid(process.pid) == session
                if same and process.info["status"] != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    return members


@pytest.fixture(scope="session")
def started(members: Members, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRecord]:
    """One cluster for all tests, as Ray takes ten seconds to start; it leaves nothing behind."""
    plugin = RayPlugin(tmp_path_factory.mktemp("cluster"))
    cluster = plugin.mlops_create_cluster(cpus=2)
    head = clusters._heads[cluster.ref.id]
    with attached(cluster.address):  # all tests are one job, whose workers are warm
        yield cluster
    family = members(head.process.pid)
    assert len(family) > 4
    plugin.mlops_delete_cluster(cluster=cluster)
    assert not members(head.process.pid)
    assert not psutil.wait_procs(family, timeout=5)[1]
    assert not head.folder.exists()


@pytest.fixture
def plugin(tmp_path: Path) -> RayPlugin:
    return RayPlugin(tmp_path / "workspace")
