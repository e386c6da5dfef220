"""What it costs to import us and to ask for help."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Result, cpu_of

SCRIPTS = Path(sys.executable).parent


def import_cpu() -> Result:
    """`import unified_mlops` beside importing the six tools that it joins."""
    tools = "import mlflow, feast, evidently, kfp, ray, tensorboard"
    return Result(
        "import_cpu",
        cpu_of([sys.executable, "-c", "import unified_mlops"], 5),
        cpu_of([sys.executable, "-c", tools], 1),
        tools,
    )


def help_cpu() -> Result:
    """`umlops --help` beside `mlflow --help`."""
    return Result(
        "help_cpu",
        cpu_of([str(SCRIPTS / "umlops"), "--help"], 5),
        cpu_of([str(SCRIPTS / "mlflow"), "--help"], 2),
        "mlflow --help",
    )
