"""Our values → TensorBoard's events and back, and errors of the file system → ours."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import ArgumentTypeError, BackendError
from unified_mlops.records import Metric, Scalar

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

RUN_TAG = "unified_mlops/run"
"""The text that says whose folder this is: the run's URN."""

_NAME = re.compile(
    r"events\.out\.tfevents\.(?P<time>\d{9,11})\."
    r"((?P<host>.+)\.(?P<pid>[1-9]\d*)\.\d+(\D.*)?$)?"
)
"""TensorFlow, Keras, torch and TensorBoard name host, process and a number; others the host."""
_CLOSE = 5
"""Seconds between the name of a file and its first record."""
_HEADER = struct.Struct("<QI")


def scalar_event(metric: Metric) -> Event:
    """A point of a time series.

    Raises:
        ArgumentTypeError: its value is no number.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    if isinstance(metric.value, bool) or not isinstance(metric.value, int | float):
        raise ArgumentTypeError(
            f"metric {metric.key!r} is {metric.value!r}, which is no number", hint="log a float"
        )
    value = Summary.Value(tag=metric.key, simple_value=metric.value)
    return Event(wall_time=metric.time, step=metric.step, summary=Summary(value=[value]))


def run_event(uri: str) -> Event:
    """The text that says which run the folder is of."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=[uri.encode()])
    return _summary(RUN_TAG, "text", b"", tensor)


def run_of(events: Iterable[Event]) -> str | None:
    """The URN that `run_event` wrote, where it is among the events."""
    for event in events:
        for value in event.summary.value:
            if value.tag == RUN_TAG and value.tensor.string_val:
                return str(value.tensor.string_val[0].decode())
    return None


@dataclass(frozen=True, slots=True)
class Origin:
    """Which process made an event file, and when."""

    time: float
    host: str
    pid: str


def made_at(name: str) -> float | None:
    """The second at which an event file of this name was made; None where it does not say so."""
    match = _NAME.match(name)
    return float(match["time"]) if match else None


def origin(name: str, events: Sequence[Event]) -> Origin | None:
    """Which process made a file, from its name, and exactly when, from its first record.

    None where the writer puts no process into names (tensorboardX), or the record is not there yet:
    the second alone would name the wrong one of two runs that followed one another in it.
    """
    match = _NAME.match(name)
    if match is None or not match["pid"] or not events:
        return None
    second, exact = float(match["time"]), events[0].wall_time
    return Origin(exact if abs(exact - second) < _CLOSE else second, match["host"], match["pid"])


def problem(path: Path) -> str:
    """What is wrong with the beginning of an event file; empty where it is not whole yet."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return ""
        length, check = _HEADER.unpack(header)
        if masked_crc32c(header[:8]) != check:
            return "is no event file, or its beginning is corrupted"
        if length + 4 > path.stat().st_size:
            return ""
        record = file.read(length + 4)
    whole = len(record) == length + 4
    if whole and masked_crc32c(record[:-4]) != int.from_bytes(record[-4:], "little"):
        return "has a first record that is corrupted"
    return ""


def params_event(params: Mapping[str, Scalar]) -> Event:
    """The hyperparameters of a run, for TensorBoard's own page."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for key, value in params.items():
        if isinstance(value, str):
            info.hparams[key].string_value = value
        else:
            info.hparams[key].number_value = value
    data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
    content = metadata.create_summary_metadata(data).plugin_data.content
    return _summary(metadata.SESSION_START_INFO_TAG, "hparams", content, metadata.NULL_TENSOR)


def params_of(events: Iterable[Event]) -> dict[str, Scalar]:
    """The hyperparameters that `params_event` wrote; whole numbers come back as floats."""
    from tensorboard.plugins.hparams import plugin_data_pb2

    found: dict[str, Scalar] = {}
    for event in events:
        for value in event.summary.value:
            content = value.metadata.plugin_data.content
            data = plugin_data_pb2.HParamsPluginData.FromString(content)
            for key, held in data.session_start_info.hparams.items():
                found[key] = getattr(held, held.WhichOneof("kind"))
    return found


@contextmanager
def native_errors(folder: Path) -> Iterator[None]:
    """Let errors of the file system leave as ours."""
    try:
        yield
    except OSError as error:
        raise BackendError(
            f"the TensorBoard folder {str(folder)!r} cannot be used: {error.strerror or error}",
            hint="free disk space, or set log_dir in [plugins.tensorboard] to another folder",
        ) from error


def _summary(tag: str, page: str, content: bytes, tensor: Any) -> Event:
    """A summary that one of TensorBoard's pages shows."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata

    plugin = SummaryMetadata.PluginData(plugin_name=page, content=content)
    metadata = SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR)
    value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
    return Event(wall_time=time.time(), summary=Summary(value=[value]))
