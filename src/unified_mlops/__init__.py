"""A Vertex-like facade over open-source MLOps tools, with one lineage graph over all of them.

Names are imported when they are first used, and the tools when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unified_mlops.config import Config
    from unified_mlops.current import current_session, init
    from unified_mlops.errors import UnifiedMLOpsError
    from unified_mlops.hookspecs import hookimpl
    from unified_mlops.resources.active import (
        active_run,
        end_run,
        log_artifact,
        log_input,
        log_metrics,
        log_model,
        log_params,
        log_time_series_metrics,
        start_run,
    )
    from unified_mlops.resources.clusters import RayCluster
    from unified_mlops.resources.datasets import Dataset
    from unified_mlops.resources.endpoints import Endpoint
    from unified_mlops.resources.experiments import Experiment, ExperimentRun, get_experiment_df
    from unified_mlops.resources.features import FeatureStore, FeatureView
    from unified_mlops.resources.models import ExperimentModel, Model, ModelRegistry
    from unified_mlops.resources.monitors import ModelMonitor, MonitoringReport
    from unified_mlops.resources.pipelines import PipelineJob
    from unified_mlops.resources.schedules import PipelineJobSchedule
    from unified_mlops.resources.tuning import HyperparameterTuningJob
    from unified_mlops.session import Session

__version__ = "0.1.0"

_HOMES = {
    "config": ["Config"],
    "current": ["current_session", "init"],
    "errors": ["UnifiedMLOpsError"],
    "hookspecs": ["hookimpl"],
    "resources.clusters": ["RayCluster"],
    "resources.datasets": ["Dataset"],
    "resources.endpoints": ["Endpoint"],
    "resources.active": [
        *("active_run", "end_run", "log_artifact", "log_input", "log_metrics", "log_model"),
        *("log_params", "log_time_series_metrics", "start_run"),
    ],
    "resources.experiments": ["Experiment", "ExperimentRun", "get_experiment_df"],
    "resources.features": ["FeatureStore", "FeatureView"],
    "resources.models": ["ExperimentModel", "Model", "ModelRegistry"],
    "resources.monitors": ["ModelMonitor", "MonitoringReport"],
    "resources.pipelines": ["PipelineJob"],
    "resources.schedules": ["PipelineJobSchedule"],
    "resources.tuning": ["HyperparameterTuningJob"],
    "session": ["Session"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Config",
    "Dataset",
    "Endpoint",
    "Experiment",
    "ExperimentModel",
    "ExperimentRun",
    "FeatureStore",
    "FeatureView",
    "HyperparameterTuningJob",
    "Model",
    "ModelMonitor",
    "ModelRegistry",
    "MonitoringReport",
    "PipelineJob",
    "PipelineJobSchedule",
    "RayCluster",
    "Session",
    "UnifiedMLOpsError",
    "__version__",
    "active_run",
    "current_session",
    "end_run",
    "get_experiment_df",
    "hookimpl",
    "init",
    "log_artifact",
    "log_input",
    "log_metrics",
    "log_model",
    "log_params",
    "log_time_series_metrics",
    "start_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unified_mlops' has no attribute {name!r}")
    value = getattr(import_module(f"unified_mlops.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
