"""What a task was given and made, as a run can hold it: params, metrics and files.

| of the task | on its run |
|---|---|
| input parameter | param `<name>` |
| output parameter that is a number | metric `output.<name>` |
| any other output parameter | param `output.<name>` |
| `system.Metrics` artifact | metric `<name>`; `<output>.<name>` where two outputs share it |
| `system.ClassificationMetrics` artifact | `<output>.roc.svg`, `<output>.confusion_matrix.svg` |
| `system.HTML`, `system.Markdown` artifact | `<output>.html`, `<output>.md` |
| log of a task that failed | `log.txt` |
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from unified_mlops.pipelines.charts import charts
from unified_mlops.records import Scalar, TaskRecord

LONGEST = 6000
"""Characters that a run keeps of a value, as JSON."""

_FOREIGN = re.compile(r"[^\w\-.: /]")
_PAGES = {"system.HTML": ".html", "system.Markdown": ".md"}


def params(task: TaskRecord) -> dict[str, Scalar]:
    """The task's inputs, and those of its outputs that are no numbers."""
    made = {key: value for key, value in task.parameters.items() if not _number(value)}
    return {**scalars(task.inputs), **scalars(made, "output.")}


def metrics(task: TaskRecord) -> dict[str, float]:
    """The task's outputs that are numbers, and what its metrics artifacts say."""
    found = {
        name(f"output.{key}"): float(value)
        for key, value in task.parameters.items()
        if _number(value)
    }
    said = [
        (output, key, float(value))
        for output, _, metadata in _artifacts(task, {"system.Metrics"})
        for key, value in metadata.items()
        if _number(value)
    ]
    uses = Counter(key for _, key, _ in said)
    for output, key, value in said:
        found[name(key if uses[key] == 1 else f"{output}.{key}")] = value
    return found


def files(task: TaskRecord, folder: Path) -> Iterator[Path]:
    """Write the task's pictures, its pages and the log of what failed.

    Args:
        task: the task.
        folder: where they are written.

    Yields:
        Each file as soon as it is there.
    """
    for output, _, metadata in _artifacts(task, {"system.ClassificationMetrics"}):
        for kind, picture in charts(metadata):
            yield _written(folder / f"{_file(output)}.{kind}.svg", picture)
    for output, artifact, _ in _artifacts(task, set(_PAGES)):
        source = _local(str(artifact.get("uri", "")))
        if source is not None and source.is_file():
            page = folder / f"{_file(output)}{_PAGES[_title(artifact)]}"
            shutil.copyfile(source, page)
            yield page
    if task.state == "FAILED":
        yield _written(folder / "log.txt", task.log or task.error)


def scalars(values: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """Values as params: what is no number or text becomes JSON, and what is too long is cut."""
    return {name(prefix + key): _scalar(value) for key, value in values.items()}


def name(text: str) -> str:
    """A name that every tool takes."""
    return _FOREIGN.sub("_", text)[:250] or "_"


def _scalar(value: Any) -> Scalar:
    if _number(value):
        return value  # type: ignore[no-any-return]
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    room = LONGEST
    while len(json.dumps(text[:room])) > LONGEST - 60:  # its quotes, escapes and the mark
        room = min(room - 1, room * (LONGEST - 80) // len(json.dumps(text[:room])))
    return text if room >= len(text) else f"{text[:room]}... [cut: {len(text)} characters]"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _artifacts(
    task: TaskRecord, titles: set[str]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """The name, the artifact and the metadata of outputs of these types; a list is numbered."""
    for output, items in task.artifacts.items():
        for at, artifact in enumerate(items):
            if _title(artifact) in titles:
                number = f".{at}" if len(items) > 1 else ""
                yield output + number, artifact, artifact.get("metadata") or {}


def _title(artifact: Mapping[str, Any]) -> str:
    return str((artifact.get("type") or {}).get("schemaTitle", ""))


def _file(output: str) -> str:
    return re.sub(r"[^\w.-]", "_", output)[:100]


def _local(uri: str) -> Path | None:
    """Where a file is on this machine; None where it is elsewhere."""
    if uri.startswith("file://"):
        return Path(unquote(uri.removeprefix("file://")))
    return None if "://" in uri or not uri else Path(uri)


def _written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8", errors="replace")
    return path
