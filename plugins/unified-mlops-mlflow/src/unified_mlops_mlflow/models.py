"""Fitted models: kept as MLflow's own flavours, and brought back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unified_mlops.errors import ArgumentError, NotFoundError, UnsupportedError
from unified_mlops.records import Ref

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import Model

FLAVORS: Mapping[str, str] = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "mlflow": "pyfunc",
}
"""MLflow's flavour by the package that a model's class, or one it inherits from, comes from."""
TRUSTED = ("sklearn.", "numpy.", "scipy.")
"""Packages whose types a model may be made of and still be kept in the safe format."""


def flavor_of(model: Any) -> str:
    """The name of MLflow's flavour for a model.

    Raises:
        UnsupportedError: MLflow has none for it.
    """
    for kind in type(model).__mro__:
        flavor = FLAVORS.get(kind.__module__.partition(".")[0])
        if flavor is not None:
            return flavor
    raise UnsupportedError(
        f"MLflow has no flavour for {type(model).__name__!r}",
        hint="derive it from mlflow.pyfunc.PythonModel, or use one of: " + ", ".join(FLAVORS),
    )


def log(client: MlflowClient, run_id: str, name: str, model: Any, example: Any) -> LoggedModel:
    """Store a model as the output of a run; a failure leaves no model behind.

    Raises:
        UnsupportedError: MLflow has no flavour for it.
        ArgumentError: it cannot predict the example.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model
    from mlflow.tracking.context.registry import resolve_tags

    flavor, signature, run = flavor_of(model), _signature(model, example), client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id, name, run_id, resolve_tags(), run.data.params
    )
    try:
        with TemporaryDirectory() as folder:
            place, model_id = logged.artifact_location, logged.model_id
            meta = Model(place, run_id, signature=signature, model_id=model_id)
            path = Path(folder) / "model"
            _save(flavor, model, path, meta, _requirements(model, example))
            client.log_model_artifacts(model_id, str(path))
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        return client.finalize_logged_model(model_id, "READY")
    except BaseException:
        _discard(client, logged)
        raise


def _discard(client: MlflowClient, logged: LoggedModel) -> None:
    """Delete a model that was not stored whole: first its files, which may have filled the disk."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    place = logged.artifact_location.removesuffix("/artifacts")
    with suppress(NotImplementedError):  # a kind of artifact store that MLflow never deletes from
        get_artifact_repository(place, client.tracking_uri).delete_artifacts()
    client.delete_logged_model(logged.model_id)


def load(client: MlflowClient, model: Ref) -> Any:
    """A logged model or a model version as MLflow's generic Python model.

    Raises:
        NotFoundError: it, or its files, are gone.
    """
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    if model.kind == "model":
        location = client.get_logged_model(model.id).artifact_location
    else:
        name, _, number = model.id.rpartition("/")
        location = client.get_model_version_download_uri(name, number)
    try:
        path = fetch(client, location)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise NotFoundError(
            f"the files of model {model.id!r} are gone", hint=f"restore {location}"
        ) from error
    return Loaded(mlflow.pyfunc.load_model(path))


class Loaded:
    """MLflow's generic Python model, which takes a whole number where its signature says double.

    Rows from JSON or an online store know no other: MLflow alone refuses `3` for a double.

    Args:
        native: MLflow's model.
    """

    def __init__(self, native: Any) -> None:
        schema = native.metadata.get_input_schema()
        named = schema is not None and schema.has_input_names()
        types = schema.input_dict() if named else {}
        self._doubles = [name for name, kind in types.items() if _is_double(kind)]
        self.native = native

    def predict(self, frame: Any) -> Any:
        """The model's answers to the rows of a DataFrame."""
        whole = [name for name in self._doubles if name in frame and frame[name].dtype.kind == "i"]
        return self.native.predict(frame.astype(dict.fromkeys(whole, "float64")))


def _is_double(column: Any) -> bool:
    from mlflow.types import DataType

    return bool(column.type == DataType.double)


def signature_columns(client: MlflowClient, location: str) -> tuple[str, ...]:
    """The input columns of a stored model; none where it has no signature, or is out of reach."""
    from mlflow.exceptions import MlflowException

    try:
        return read_signature(client, location)
    except MlflowException:
        return ()


def read_signature(client: MlflowClient, location: str) -> tuple[str, ...]:
    """The input columns of a stored model; none where it has no signature, or its file is gone.

    Raises:
        MlflowException: it lies behind a server that this client does not speak to.
    """
    from mlflow.models import Model

    try:
        meta = Model.load(fetch(client, f"{location.rstrip('/')}/MLmodel"))
    except OSError:
        return ()
    inputs = meta.signature.inputs if meta.signature else None
    return tuple(map(str, inputs.input_names())) if inputs and inputs.has_input_names() else ()


def fetch(client: MlflowClient, location: str) -> str:
    """The local path of an artifact, which is downloaded where it lies elsewhere."""
    from mlflow.artifacts import download_artifacts

    uri = client.tracking_uri
    return str(download_artifacts(artifact_uri=location, tracking_uri=uri, registry_uri=uri))


def _signature(model: Any, example: Any) -> Any:
    from mlflow.models import infer_signature
    from mlflow.pyfunc import PythonModel

    predict = partial(model.predict, None) if isinstance(model, PythonModel) else model.predict
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
            return infer_signature(example, predict(example))
    except Exception as error:
        raise ArgumentError(
            f"{type(model).__name__!r} cannot predict the example: {error}",
            hint="fit it first, and give a few of the rows it was fitted on",
        ) from error


def _save(flavor: str, model: Any, path: Path, meta: Model, requirements: list[str]) -> None:
    module = import_module(f"mlflow.{flavor}")
    keywords: dict[str, Any] = {"path": str(path), "mlflow_model": meta}
    if flavor == "pyfunc":
        keywords |= {"python_model": model, "pip_requirements": requirements}
        module.save_model(**keywords)
        return
    if flavor == "sklearn":
        trusted = _skops_types(model)
        name = "cloudpickle" if trusted is None else "skops"
        keywords |= {"serialization_format": name, "skops_trusted_types": trusted}
        requirements = [*requirements, _pinned(name)]
    module.save_model(model, pip_requirements=requirements, **keywords)


def _skops_types(model: Any) -> list[str] | None:
    """The types to trust in the safe format, or None where it cannot hold the model."""
    import skops.io  # type: ignore[import-untyped]

    try:
        types = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    except Exception:  # noqa: BLE001  skops raises whatever it stumbles over
        return None
    return types if all(name.startswith(TRUSTED) for name in types) else None


def _requirements(model: Any, example: Any) -> list[str]:
    """The pinned distributions of the classes and functions that a model is made of.

    MLflow would load the model in another process to see what it imports, which takes 10 s.
    """
    import io

    import cloudpickle

    modules = {"mlflow", type(example).__module__.partition(".")[0]}

    class Spy(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, item: Any) -> None:
            owner = item if hasattr(item, "__module__") else type(item)
            modules.add(str(owner.__module__).partition(".")[0])

    Spy(io.BytesIO()).dump(model)
    names = {name for module in modules for name in _distributions().get(module, ())}
    return sorted(map(_pinned, names))


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _pinned(name: str) -> str:
    return f"{name}=={version(name)}"
