"""All cases, by name."""

from importlib import import_module
from pathlib import Path

from tests.stories.pipelines.case import CASES

HERE = Path(__file__).parent

for module in sorted(HERE.glob("cases/[!_]*.py")):
    import_module(f"tests.stories.pipelines.cases.{module.stem}")

__all__ = ["CASES"]
