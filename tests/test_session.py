import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.config import Config
from unified_mlops.current import current_session, init
from unified_mlops.errors import (
    AmbiguousPluginError,
    ArgumentError,
    BackendError,
    ConfigError,
    PluginLoadError,
    UnsupportedError,
)
from unified_mlops.hookspecs import ModelHooks, PluginHooks, RunHooks, hookimpl
from unified_mlops.records import Check, Ref, RunRecord, Scalar
from unified_mlops.session import PluginWarning, Session


class Runs(RunHooks):
    name = "one"

    def __init__(self, workspace: Path) -> None:
        self.logged: list[tuple[str, Mapping[str, Scalar]]] = []

    def mlops_get_run(self, experiment: str, name: str) -> RunRecord:
        ref = Ref(self.name, "run", name, f"test:run/{self.name}/{name}")
        return RunRecord(ref=ref, name=name, experiment=experiment, state="RUNNING")

    def mlops_list_runs(self, experiment: str) -> Sequence[RunRecord]:
        raise KeyError(experiment)

    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        self.logged.append((run.name, params))


class Other(Runs):
    name = "two"


class Failing(RunHooks):
    def __init__(self, workspace: Path) -> None: ...

    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        raise BackendError("store away")


class FailingOwner(Runs):
    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        raise BackendError("store away")


class Audit:
    def __init__(self, workspace: Path) -> None:
        self.seen: list[str] = []

    @hookimpl(wrapper=True)
    def mlops_get_run(self, name: str) -> Any:
        self.seen.append(name)
        return (yield)


def session(tmp_path: Path, providers: Mapping[str, str] | None = None, **plugins: Any) -> Session:
    return Session(Config(workspace=tmp_path, providers=providers or {}), plugins=plugins)


def plugin(session: Session, name: str) -> Any:
    return session._loaded.manager.get_plugin(name)


def test_ask_calls_the_only_plugin_that_can(tmp_path: Path) -> None:
    run = session(tmp_path, one=Runs).ask(RunHooks.mlops_get_run, experiment="e", name="r")
    assert run.ref.plugin == "one"


def test_ask_with_several_plugins_says_how_to_choose(tmp_path: Path) -> None:
    with pytest.raises(AmbiguousPluginError, match=r"'one' and 'two' both.*\n.*run = \"one\""):
        session(tmp_path, one=Runs, two=Other).ask(RunHooks.mlops_get_run, experiment="e", name="r")


def test_ask_follows_the_provider_of_the_noun(tmp_path: Path) -> None:
    two = session(tmp_path, {"run": "two"}, one=Runs, two=Other)
    assert two.ask(RunHooks.mlops_get_run, experiment="e", name="r").ref.plugin == "two"


def test_ask_of_a_record_goes_to_the_plugin_that_owns_it(tmp_path: Path) -> None:
    both = session(tmp_path, {"run": "one"}, one=Runs, two=Other)
    run = Other(tmp_path).mlops_get_run("e", "r")
    assert both.route(RunHooks.mlops_log_params, {"run": run, "params": {}}) == "two"


def test_ask_of_nobody_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no loaded plugin supports mlops_get_model"):
        session(tmp_path, one=Runs).ask(ModelHooks.mlops_get_model, name="m", version="1")


def test_unsupported_names_who_does_support_it(tmp_path: Path) -> None:
    both = session(tmp_path, {"run": "three"}, one=Runs, three=Failing)
    with pytest.raises(UnsupportedError, match="'three' does not support.*\nHint: one can"):
        both.ask(RunHooks.mlops_get_run, experiment="e", name="r")


def test_asking_a_broken_plugin_says_why_it_is_broken(tmp_path: Path) -> None:
    class Broken:
        def __init__(self, workspace: Path) -> None:
            raise RuntimeError("no licence")

    with pytest.raises(PluginLoadError, match="no licence"):
        session(tmp_path, {"run": "bad"}, bad=Broken, one=Runs).ask(
            RunHooks.mlops_get_run, experiment="e", name="r"
        )


def test_asking_what_nobody_can_names_the_broken_plugins_and_blames_none(tmp_path: Path) -> None:
    class Broken:
        def __init__(self, workspace: Path) -> None:
            raise RuntimeError("no licence")

    with pytest.raises(
        UnsupportedError, match="supports mlops_get_model\n.*bad could not be loaded"
    ):
        session(tmp_path, bad=Broken, one=Runs).ask(
            ModelHooks.mlops_get_model, name="m", version="1"
        )


def test_hooks_take_keywords_only(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="takes keywords only"):
        session(tmp_path, one=Runs).ask(RunHooks.mlops_get_run, "e", "r")


def test_a_native_error_passes_unchanged_with_a_note(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as caught:
        session(tmp_path, one=Runs).ask(RunHooks.mlops_list_runs, experiment="e")
    assert caught.value.__notes__ == ["plugin 'one' was asked mlops_list_runs"]


def test_tell_reaches_every_plugin_and_a_failing_guest_is_a_warning(tmp_path: Path) -> None:
    told = session(tmp_path, one=Runs, guest=Failing)
    run = Runs(tmp_path).mlops_get_run("e", "r")
    with pytest.warns(PluginWarning, match="'guest' failed.*store away"):
        told.tell(RunHooks.mlops_log_params, run=run, params={"a": 1})
    assert plugin(told, "one").logged == [("r", {"a": 1})]


def test_tell_raises_what_the_owner_raised_after_all_were_told(tmp_path: Path) -> None:
    told = session(tmp_path, one=FailingOwner, zwei=Other)
    run = Runs(tmp_path).mlops_get_run("e", "r")
    with pytest.raises(BackendError, match="store away"):
        told.tell(RunHooks.mlops_log_params, run=run, params={"a": 1})
    assert plugin(told, "zwei").logged == [("r", {"a": 1})]


def test_a_wrapper_of_another_plugin_sees_every_call(tmp_path: Path) -> None:
    audited = session(tmp_path, one=Runs, audit=Audit)
    audited.ask(RunHooks.mlops_get_run, experiment="e", name="r")
    assert plugin(audited, "audit").seen == ["r"]


def test_two_sessions_in_two_threads_share_nothing(tmp_path: Path) -> None:
    found: dict[str, Session] = {}
    barrier = threading.Barrier(2)

    def work(name: str) -> None:
        started = init(workspace=tmp_path / name, experiment=name)
        started.run = Runs(tmp_path).mlops_get_run(name, name)
        barrier.wait()
        found[name] = current_session()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["a"] is not found["b"]
    assert [found[name].config.experiment for name in "ab"] == ["a", "b"]
    assert found["a"]._loaded.manager is not found["b"]._loaded.manager
    assert found["a"].lineage.store.database.url != found["b"].lineage.store.database.url
    assert found["a"].run is None  # it was active in the other thread only


def test_init_merges_settings_over_repeated_calls(tmp_path: Path) -> None:
    init(workspace=tmp_path / "w")
    assert init(experiment="e").config.workspace == tmp_path / "w"


def test_init_creates_nothing(tmp_path: Path) -> None:
    init(workspace=tmp_path / "w", experiment="e")
    assert not (tmp_path / "w").exists()


def test_a_worker_attaches_to_its_callers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(workspace=tmp_path)
    for key, value in config.to_env({"experiment": "e", "name": "r"}).items():
        monkeypatch.setenv(key, value)
    run = Session(plugins={"one": Runs}).run
    assert run is not None
    assert (run.experiment, run.name) == ("e", "r")


def test_a_session_with_plugin_classes_of_its_own_cannot_be_rebuilt(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be rebuilt in a worker"):
        session(tmp_path, one=Runs).to_env()


def test_the_trace_variable_logs_each_call_with_its_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("UNIFIED_MLOPS_TRACE", "1")
    with caplog.at_level(logging.WARNING):
        session(tmp_path, one=Runs).ask(RunHooks.mlops_get_run, experiment="e", name="r")
    assert "mlops_get_run -> one" in caplog.text


def test_tell_without_an_owner_hands_failures_to_the_caller(tmp_path: Path) -> None:
    class Ill(PluginHooks):
        def __init__(self, workspace: Path) -> None: ...

        def mlops_check_plugin(self) -> Check:
            raise BackendError("ill")

    told = session(tmp_path, ill=Ill).tell(PluginHooks.mlops_check_plugin)
    assert not told.answers
    assert isinstance(told.failures["ill"], BackendError)
