"""Every hook in memory: small and right, so that other plugins can be held against it."""

from __future__ import annotations

from unified_mlops.testing.memory.endpoints import MemoryEndpoints
from unified_mlops.testing.memory.features import MemoryFeatures
from unified_mlops.testing.memory.jobs import MemoryJobs
from unified_mlops.testing.memory.lineage import MemoryLineage
from unified_mlops.testing.memory.models import MemoryModels
from unified_mlops.testing.memory.monitors import MemoryMonitors
from unified_mlops.testing.memory.pipeline_jobs import MemoryPipelineJobs
from unified_mlops.testing.memory.pipelines import MemoryPipelines
from unified_mlops.testing.memory.runs import MemoryRuns

__all__ = ["MemoryPlugin"]


class MemoryPlugin(
    MemoryRuns,
    MemoryModels,
    MemoryFeatures,
    MemoryEndpoints,
    MemoryMonitors,
    MemoryPipelines,
    MemoryPipelineJobs,
    MemoryJobs,
    MemoryLineage,
):
    """All of it; a new instance holds nothing.

    Args:
        workspace: the session's folder.
    """
