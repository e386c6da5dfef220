"""Dataset inputs: how a dataset stands on a run, and how it is read back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import LineageError
from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord
from unified_mlops_mlflow.context import CWD_TAG
from unified_mlops_mlflow.convert import COLUMNS_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, Run

URI_TAG = "unified_mlops.uri"
"""The true URI of an input: MLflow shows the first source that an equal frame ever came from."""
CONTEXT_TAG = "mlflow.data.context"
PHANTOM = "feast.get_historical_features"
"""What Feast writes as the file that a frame came from: there is no such file."""
WHOLE_FRAME = ""
"""Stands among the columns of a dataset for what all of it was made by."""
CHUNK = 5000
"""Characters per tag: MLflow 3 keeps 8,000 and older servers 5,000; the rest they cut silently."""
WHOLE = 256 * 2**20
"""Bytes up to which a file is hashed; above, its size and time stand for it."""
_COLSPEC = "mlflow_colspec"
_TYPES = {
    "bool": "boolean",
    "int32": "integer",
    "int64": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "binary": "binary",
}


@dataclass(frozen=True, slots=True)
class Input:
    """A dataset as a run read it; `uri` is None where it cannot be told.

    `retrieved` says that Feast logged it: it came from no file but from feature views.
    """

    name: str
    digest: str
    source_type: str
    uri: str | None
    context: str
    columns: tuple[str, ...]
    retrieved: bool


def make_input(run: Run, dataset: DatasetRecord, context: str) -> DatasetInput | None:
    """The input to log on a run, or None where it stands there already.

    MLflow ignores a second input of equal name and digest, so a frame that the same run reads
    from another place, or for another purpose, gets a digest of its own.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest, method = _digest(dataset.ref.uri)
    for old in read_inputs(run):
        if (old.uri, old.context, old.name) == (dataset.ref.uri, context, dataset.name):
            return None
        if (old.name, old.digest) == (dataset.name, digest):
            digest = _hash(f"{digest} {dataset.ref.uri} {context}")
    native = Dataset(
        name=dataset.name,
        digest=digest,
        source_type="local" if _local(dataset.ref.uri) else dataset.ref.uri.partition(":")[0],
        source=json.dumps({"uri": dataset.ref.uri}),
        schema=json.dumps({_COLSPEC: _columns(dataset)}),
        profile=json.dumps({"num_rows": dataset.rows, "digest": method}),
    )
    tags = {CONTEXT_TAG: context, URI_TAG: dataset.ref.uri}
    return DatasetInput(native, [InputTag(key, value) for key, value in tags.items()])


def log_input(client: MlflowClient, run_id: str, native: DatasetInput) -> None:
    """Log an input, also where another run logs the same new dataset at this very moment.

    MLflow looks a dataset up and then inserts it: the second of two such inserts fails, and finds
    it there when it tries again.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.log_inputs(run_id, [native])
    except MlflowException as error:
        if not any(words in str(error).lower() for words in ("unique constraint", "duplicate")):
            raise
        client.log_inputs(run_id, [native])


def column_tags(dataset: DatasetRecord) -> dict[str, str]:
    """The tags that say which columns each column of a dataset was made from."""
    derived = {name: sources for name, sources in dataset.columns.items() if sources}
    text = json.dumps(derived) if derived else ""
    label = _label(dataset.name, dataset.ref.uri)
    starts = range(0, len(text), CHUNK)
    return {f"{label}.{n}": text[at : at + CHUNK] for n, at in enumerate(starts)}


def read_columns(run: Run, name: str, uri: str) -> dict[str, list[str]]:
    """What `column_tags` wrote for a dataset of a run."""
    tags, label = run.data.tags, _label(name, uri)
    parts: list[str] = []
    while (part := tags.get(f"{label}.{len(parts)}")) is not None:
        parts.append(part)
    try:
        found: dict[str, list[str]] = json.loads("".join(parts) or "{}")
    except json.JSONDecodeError:  # a chunk is being written, or was cut
        return {}
    return found


def read_inputs(run: Run) -> Iterator[Input]:
    """The datasets that a run read, whoever logged them."""
    for item in run.inputs.dataset_inputs if run.inputs else ():
        base = folder(run) if item.dataset.source_type == "local" else None
        tags = {tag.key: tag.value for tag in item.tags}
        uri = tags.get(URI_TAG) or _source_uri(item.dataset)
        retrieved = (uri or "").rpartition("/")[2] == PHANTOM
        yield Input(
            name=item.dataset.name,
            digest=item.dataset.digest,
            source_type=item.dataset.source_type,
            uri=canonical(uri, base) if uri and not retrieved else None,
            context=tags.get(CONTEXT_TAG, ""),
            columns=_column_names(item.dataset.schema),
            retrieved=retrieved,
        )


def folder(run: Run) -> Path | None:
    """The folder that a run's relative paths start from, where the run recorded it."""
    recorded = Path(run.data.tags.get(CWD_TAG, ""))
    return recorded if recorded.is_absolute() else None


def canonical(uri: str, base: Path | None = None) -> str | None:
    """The canonical form of a URI, or None where it cannot be told or is no URI at all."""
    if "://" not in uri and urn.without_secrets(uri) != uri:  # such as `Server=h;Password=p`
        return None
    try:
        return urn.canonical(uri, base)
    except LineageError:
        return None


def _source_uri(dataset: Dataset) -> str | None:
    source = _object(dataset.source)
    found = next((source[key] for key in ("uri", "path", "url") if source.get(key)), None)
    return found if isinstance(found, str) else None


def _column_names(schema: str | None) -> tuple[str, ...]:
    columns = _object(schema).get(_COLSPEC)
    if not isinstance(columns, list):
        return ()
    return tuple(str(each["name"]) for each in columns if isinstance(each, dict) and "name" in each)


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError:  # a schema that MLflow cut
        return {}
    return found if isinstance(found, dict) else {}


def _columns(dataset: DatasetRecord) -> list[dict[str, Any]]:
    path = _local(dataset.ref.uri)
    types = _parquet_types(path) if path and path.suffix == ".parquet" else {}
    names = list(dataset.columns) or list(types)
    return [{"name": n, "type": types.get(n, "any"), "required": False} for n in names]


def _parquet_types(path: Path) -> dict[str, str]:
    """The types of a file's columns, with MLflow's names."""
    if not path.is_file():
        return {}
    import pyarrow.parquet

    fields = pyarrow.parquet.read_schema(path)
    types = {field.name: str(field.type) for field in fields}
    return {
        name: "datetime" if kind.startswith("timestamp") else _TYPES.get(kind, "any")
        for name, kind in types.items()
    }


def _digest(uri: str) -> tuple[str, str]:
    """The digest of a dataset, and what it was taken from."""
    path = _local(uri)
    if path is None or not path.exists():
        return _hash(uri), "its URI"
    if path.is_dir() or path.stat().st_size > WHOLE:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return _hash(repr(stats)), "sizes and times"
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest()[:16], "sha256 of the file"


def _local(uri: str) -> Path | None:
    return urn.path_of(uri) if uri.startswith("file://") else None


def _label(name: str, uri: str) -> str:
    """Two datasets of one name may stand on one run, so the URI has a part in the tag."""
    safe = re.sub(r"[^\w-]+", "_", name)[:100]
    return f"{COLUMNS_TAG}{safe}.{_hash(uri)[:8]}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
