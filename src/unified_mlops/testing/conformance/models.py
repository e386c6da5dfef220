"""Standard tests of models and their registry."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unified_mlops.errors import NotFoundError, UnsupportedError
from unified_mlops.hookspecs import Hooks
from unified_mlops.records import ModelRecord, ModelVersionRecord, RunRecord
from unified_mlops.testing.conformance.checks import check_record, needs, refused
from unified_mlops.testing.conformance.kit import Kit


class ModelConformance(Kit):
    """`ModelHooks`: logged models, versions and aliases."""

    # --- log_model ---

    def test_log_model__answers_with_run_and_signature(
        self, logged_model: ModelRecord, run: RunRecord, example: Any
    ) -> None:
        check_record(logged_model, ModelRecord, "model")
        assert logged_model.name == "modell"
        assert logged_model.run == run.ref
        assert logged_model.inputs == tuple(example.columns)

    def test_log_model__refuses_what_is_no_model(
        self, hooks: Hooks, run: RunRecord, example: Any
    ) -> None:
        with refused(UnsupportedError):
            hooks.mlops_log_model(run=run, name="none", model=object(), example=example)

    # --- register_model ---

    @needs("log_model")
    def test_register_model__answers_with_the_first_version(
        self, version: ModelVersionRecord, logged_model: ModelRecord, name: str
    ) -> None:
        check_record(version, ModelVersionRecord, "model_version")
        assert (version.name, version.version) == (name, "1")
        assert {"team": "blau"}.items() <= version.labels.items()
        assert (version.run, version.inputs) == (logged_model.run, logged_model.inputs)

    @needs("log_model")
    def test_register_model__counts_the_versions_of_a_name(
        self, hooks: Hooks, version: ModelVersionRecord, logged_model: ModelRecord
    ) -> None:
        second = hooks.mlops_register_model(model=logged_model, name=version.name, labels={})
        assert second.version == "2"
        assert "team" not in second.labels
        assert second.ref != version.ref and second.ref.uri != version.ref.uri

    # --- get_model ---

    @needs("log_model", "register_model")
    def test_get_model__finds_a_version_by_number(
        self, hooks: Hooks, version: ModelVersionRecord
    ) -> None:
        found = hooks.mlops_get_model(name=version.name, version=version.version)
        check_record(found, ModelVersionRecord, "model_version")
        assert found == version

    @needs("log_model", "register_model", "update_model")
    def test_get_model__finds_a_version_by_alias(
        self, hooks: Hooks, version: ModelVersionRecord
    ) -> None:
        hooks.mlops_update_model(model=version, aliases=["default"], labels={})
        found = hooks.mlops_get_model(name=version.name, version="default")
        assert found.ref == version.ref and found.aliases == ("default",)

    def test_get_model__refuses_an_unknown_model(self, hooks: Hooks, name: str) -> None:
        with refused(NotFoundError):
            hooks.mlops_get_model(name=name, version="1")

    @needs("log_model", "register_model")
    def test_get_model__refuses_an_unknown_version(
        self, hooks: Hooks, version: ModelVersionRecord
    ) -> None:
        with refused(NotFoundError):
            hooks.mlops_get_model(name=version.name, version="99")

    @needs("log_model", "register_model")
    def test_get_model__refuses_an_unknown_alias(
        self, hooks: Hooks, version: ModelVersionRecord
    ) -> None:
        with refused(NotFoundError):
            hooks.mlops_get_model(name=version.name, version="champion")

    # --- list_models ---

    @needs("log_model", "register_model")
    def test_list_models__returns_the_oldest_first(
        self, hooks: Hooks, version: ModelVersionRecord, logged_model: ModelRecord
    ) -> None:
        for _ in range(10):
            hooks.mlops_register_model(model=logged_model, name=version.name, labels={})
        found = hooks.mlops_list_models(name=version.name)
        assert [record.version for record in found] == [str(n) for n in range(1, 12)]
        for record in found:
            check_record(record, ModelVersionRecord, "model_version")
        assert found[0] == version

    def test_list_models__refuses_an_unknown_model(self, hooks: Hooks, name: str) -> None:
        with refused(NotFoundError):
            hooks.mlops_list_models(name=name)

    # --- update_model ---

    @needs("log_model", "register_model", "get_model")
    def test_update_model__moves_an_alias_and_leaves_the_others(
        self, hooks: Hooks, version: ModelVersionRecord, logged_model: ModelRecord
    ) -> None:
        second = hooks.mlops_register_model(model=logged_model, name=version.name, labels={})
        first = hooks.mlops_update_model(model=version, aliases=["default", "old"], labels={})
        assert sorted(first.aliases) == ["default", "old"]
        moved = hooks.mlops_update_model(model=second, aliases=["default"], labels={})
        assert (moved.ref, moved.aliases) == (second.ref, ("default",))
        assert hooks.mlops_get_model(name=version.name, version="1").aliases == ("old",)
        assert hooks.mlops_get_model(name=version.name, version="default").version == "2"

    @needs("log_model", "register_model", "get_model")
    def test_update_model__adds_and_replaces_labels(
        self, hooks: Hooks, version: ModelVersionRecord
    ) -> None:
        labels = {"team": "grün", "größe": "xl"}
        answer = hooks.mlops_update_model(model=version, aliases=[], labels=labels)
        check_record(answer, ModelVersionRecord, "model_version")
        found = hooks.mlops_get_model(name=version.name, version=version.version)
        assert labels.items() <= found.labels.items()
        assert answer == found

    @needs("log_model", "register_model")
    def test_update_model__leaves_the_callers_list_alone(
        self, hooks: Hooks, version: ModelVersionRecord
    ) -> None:
        aliases = ["b", "a"]
        hooks.mlops_update_model(model=version, aliases=aliases, labels={})
        assert aliases == ["b", "a"]

    # --- load_model ---

    @needs("log_model")
    def test_load_model__predicts_as_the_fitted_model(
        self, hooks: Hooks, logged_model: ModelRecord, model: Any, example: Any
    ) -> None:
        loaded = hooks.mlops_load_model(model=logged_model.ref)
        assert list(loaded.predict(example)) == list(model.predict(example))

    @needs("log_model", "register_model")
    def test_load_model__loads_a_version_too(
        self, hooks: Hooks, version: ModelVersionRecord, model: Any, example: Any
    ) -> None:
        loaded = hooks.mlops_load_model(model=version.ref)
        assert list(loaded.predict(example)) == list(model.predict(example))

    @needs("log_model")
    def test_load_model__refuses_a_model_that_is_not_there(
        self, hooks: Hooks, logged_model: ModelRecord
    ) -> None:
        ref = logged_model.ref
        with refused(NotFoundError):
            hooks.mlops_load_model(model=replace(ref, id=f"{ref.id}0", uri=f"{ref.uri}0"))
