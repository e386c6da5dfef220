"""Artifacts that are not files of this machine: a task reads and writes copies of them.

A component sees the copy as an artifact's `path` and the place as its `uri`, as on a KFP server.
What a place may be is what fsspec can open: `s3://`, `gs://`, `abfs://`, `memory://`, `file://`, …
An artifact that is not there itself is what begins with its name and a dot, because many components
write to `model.path + ".joblib"`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError

_COPIES = ".copies"
_HINT = "see to the credentials and the address of the store, such as AWS_ENDPOINT_URL"


def path(uri: str, folder: Path) -> Path:
    """Where a task finds an artifact on its machine.

    Args:
        uri: the artifact's place; a path is itself.
        folder: the task's folder.

    Raises:
        BackendError: it leads out of the folder.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme in {"file", "local"}:
        return Path("/", rest.lstrip("/"))
    if ".." in Path(rest).parts:
        raise BackendError(f"{uri!r} leads out of its folder", hint="write it without '..'")
    return folder / _COPIES / scheme / rest


def around(executor_input: Mapping[str, Any], run: Callable[[], str]) -> str:
    """Run a component with copies of its artifacts, and bring out what it made.

    Args:
        executor_input: KFP's `ExecutorInput`; `outputFile` stands in the task's folder. The file
            has the artifacts' true places afterwards.
        run: runs the component and says what went wrong; empty for nothing.

    Returns:
        What went wrong, here or there; empty for nothing.
    """
    if not any("://" in uri for uri in _uris(executor_input)):
        return run()
    try:
        return _refusal(_fetch, executor_input) or run() or _refusal(_publish, executor_input)
    finally:
        shutil.rmtree(_folder(executor_input) / _COPIES, ignore_errors=True)


def _refusal(step: Callable[[Mapping[str, Any]], None], executor_input: Mapping[str, Any]) -> str:
    try:
        step(executor_input)
    except BackendError as error:
        return f"{error.fact}; {error.hint}"
    return ""


def executor(executor_input: Mapping[str, Any], function: Callable[..., Any]) -> Any:
    """KFP's `Executor` of a component; its artifacts have their places and the paths of the copies.

    Args:
        executor_input: KFP's `ExecutorInput`, with true places.
        function: the component.
    """
    from kfp.dsl.executor import Executor

    here = _localized(executor_input)
    made = Executor(executor_input=here, function_to_execute=function)
    for side, known in (("inputs", made.input_artifacts), ("outputs", made.output_artifacts)):
        for name, found in known.items():
            told = executor_input[side]["artifacts"][name]["artifacts"]
            for artifact, item in zip(found if isinstance(found, list) else [found], told):  # noqa: B905
                if artifact.uri != item.get("uri", ""):  # KFP brings `custom_path` to `uri` later
                    artifact.custom_path, artifact.uri = artifact.uri, item["uri"]
    return made


def _folder(executor_input: Mapping[str, Any]) -> Path:
    return Path(executor_input["outputs"]["outputFile"]).parent


def _items(executor_input: Mapping[str, Any], side: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The artifacts of one side, each with its name there."""
    for name, entry in executor_input.get(side, {}).get("artifacts", {}).items():
        for item in entry.get("artifacts", ()):
            yield name, item


def _uris(executor_input: Mapping[str, Any]) -> Iterator[str]:
    for side in ("inputs", "outputs"):
        yield from (item.get("uri", "") for _, item in _items(executor_input, side))


def _localized(executor_input: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the paths of the copies, of those artifacts that have one."""
    here: dict[str, Any] = json.loads(json.dumps(executor_input))
    folder = _folder(here)
    for side in ("inputs", "outputs"):
        for _, item in _items(here, side):
            uri = item.get("uri", "")
            if "://" in uri and (copy := path(uri, folder)).parent.is_dir():
                item["uri"] = str(copy)
    return here


# --- in ---------------------------------------------------------------------------------------


def _fetch(executor_input: Mapping[str, Any]) -> None:
    """Copy what comes in, and make room for what goes out."""
    folder = _folder(executor_input)
    for _, item in _items(executor_input, "outputs"):
        if "://" in (uri := item.get("uri", "")):
            _store(uri)
            path(uri, folder).parent.mkdir(parents=True, exist_ok=True)
    for uri in {item.get("uri", "") for _, item in _items(executor_input, "inputs")}:
        copy = path(uri, folder)
        if _COPIES in copy.parts:
            _copy_in(uri, copy)


def _copy_in(uri: str, copy: Path) -> None:
    """Copy an artifact; one that nothing here can open is left alone: KFP has `/gcs/` for it."""
    try:
        store, place = _store(uri)
    except BackendError:
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    with _told(uri, "read"):
        store.invalidate_cache()  # others write there too
        names = store.find(place) or [
            name
            for name in store.find(place.rpartition("/")[0], maxdepth=1)
            if name.startswith(f"{place}.")
        ]
        names = [name for name in names if not name.endswith("/")]
        targets = [_below(copy, name.removeprefix(place)) for name in names]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        if names:
            store.get(names, [str(target) for target in targets])


def _below(copy: Path, rest: str) -> Path:
    if ".." in Path(rest).parts:
        raise ValueError(f"a name with '..': {rest!r}")
    return Path(f"{copy}{rest}")


# --- out --------------------------------------------------------------------------------------


def _publish(executor_input: Mapping[str, Any]) -> None:
    """Bring what was made to its place, and tell the place in `executor_output.json`."""
    file = Path(executor_input["outputs"]["outputFile"])
    written = json.loads(file.read_text("utf-8")) if file.exists() else {}
    taken = {item.get("uri", "") for _, item in _items(executor_input, "inputs")}
    for name, promise in _items(executor_input, "outputs"):
        if "://" in promise.get("uri", ""):
            entry = written.setdefault("artifacts", {}).setdefault(name, {"artifacts": [{}]})
            for artifact in entry["artifacts"]:
                _bring_out(artifact, promise["uri"], taken, file.parent)
    file.write_text(json.dumps(written), "utf-8")


def _bring_out(artifact: dict[str, Any], promised: str, taken: set[str], folder: Path) -> None:
    custom, uri = artifact.pop("custom_path", ""), artifact.get("uri") or promised
    artifact["uri"] = target = uri if "://" in uri else promised
    if target in taken:  # an input that was handed on
        return
    for source in (Path(folder, custom) if custom else path(uri, folder), path(uri, folder)):
        if files := list(_files(source)):
            break
    else:
        return  # nothing was written, or by the component itself
    with _told(target, "written"):
        store, place = _store(target)
        pairs = {str(each): f"{place}{str(each)[len(str(source)) :]}" for each in files}
        pairs = {here: there for here, there in pairs.items() if here != there}
        if not store.async_impl:  # and has folders
            for there in pairs.values():
                store.makedirs(there.rpartition("/")[0], exist_ok=True)
        if pairs:
            store.put(list(pairs), list(pairs.values()))


def _files(source: Path) -> Iterator[Path]:
    """The files of an artifact."""
    if source.is_file():
        yield source
    elif source.is_dir():
        yield from (each for each in source.rglob("*") if each.is_file())
    elif source.parent.is_dir():
        for each in source.parent.iterdir():
            if each.name.startswith(f"{source.name}.") and each.is_file():
                yield each


# --- stores -----------------------------------------------------------------------------------


def _store(uri: str) -> tuple[Any, str]:
    """The file system of a place, and the place in it.

    Raises:
        BackendError: nothing here opens such places.
    """
    from fsspec.core import url_to_fs

    try:
        store, place = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise BackendError(
            f"{uri!r} cannot be opened: {error}",
            hint="pip install s3fs, gcsfs or adlfs, whichever opens such a place",
        ) from error
    return store, str(place)


@contextmanager
def _told(uri: str, done: str) -> Iterator[None]:
    """Turn what a store refuses, each in its own way, into our error."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BackendError(f"{uri!r} cannot be {done}: {said}", hint=_HINT) from error
