"""Measure each thing ours and native in turn, print a table, write `results.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import collecting, features, lineage, metrics, pipelines, start
from benchmarks.measure import Result

RESULTS = Path(__file__).parent / "results.json"
ALL: list[Callable[[], Result | Iterable[Result]]] = [
    start.import_cpu,
    start.help_cpu,
    metrics.metrics_1000,
    features.online_read_in_run,
    lineage.lineage_ingest,
    lineage.lineage_graph_5000,
    collecting.lineage_collect_idle,
    pipelines.task_overhead,
    pipelines.chain_10,
    pipelines.loop_50,
    pipelines.loop_1000,
    lineage.lineage_1m,
]


def main() -> None:
    """Run them all."""
    results: list[Result] = []
    for measure in track(ALL, "measuring"):
        found = measure()
        results += [found] if isinstance(found, Result) else found
    table = Table("name", "ours", "native", "ratio", "native is")
    for result in results:
        table.add_row(
            result.name,
            f"{result.ours:.4g} {result.unit}",
            f"{result.native:.4g} {result.unit}",
            f"{result.ratio:.1f}",
            result.against,
        )
    Console().print(table)
    RESULTS.write_text(json.dumps([result.as_json() for result in results], indent=1))


if __name__ == "__main__":
    main()
