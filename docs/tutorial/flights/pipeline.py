"""The training pipeline: plain `kfp.dsl`, compiled by KFP and run wherever its file is run.

Each component is a process of its own. What it logs goes to the run of its task, by itself.
"""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="python:3.11")
def training_set(
    flights: str, first: str, last: str, every: int, data: dsl.Output[dsl.Dataset]
) -> int:
    """What was known two hours before each departure of a period, and whether it was late."""
    from datetime import date

    import unified_mlops as umlops
    from models import FEATURES
    from sources import ENTITY_COLUMNS, departures

    source = umlops.Dataset(flights)
    entities = departures(source.path, date.fromisoformat(first), date.fromisoformat(last), every)
    source.mark(entities, ENTITY_COLUMNS)
    store = umlops.FeatureStore()
    made = store.fetch_historical_feature_values(FEATURES, entities, data.path)
    umlops.log_params({"first": first, "last": last, "rows": made.record.rows or 0})
    return made.record.rows or 0


@dsl.component(base_image="python:3.11")
def train_model(
    family: str, name: str, trials: int, parallel: int, training: dsl.Input[dsl.Dataset]
) -> str:
    """Tune a family of models on Ray, fit the best one and register it: `name@version`."""
    import unified_mlops as umlops
    from models import COLUMNS, LABEL, SEARCH_SPACE, build
    from training import Trial

    run = umlops.active_run()
    data = umlops.Dataset(training.path)
    run.log_input(data)
    job = umlops.HyperparameterTuningJob(
        family,
        objective=Trial(family, training.path),
        metric_spec={"roc_auc": "maximize"},
        parameter_spec=SEARCH_SPACE[family],
        max_trial_count=trials,
        parallel_trial_count=parallel,
    )
    best = job.run(run)
    frame = data.to_pandas()
    fitted = build(family, best.params).fit(frame[COLUMNS], frame[LABEL])
    run.log_params({"family": family, **best.params})
    run.log_metrics({f"validation_{key}": value for key, value in best.metrics.items()})
    logged = run.log_model(fitted, family, example=frame[COLUMNS].head(20))
    version = logged.register_model(name, is_default_version=False, labels={"family": family})
    return f"{name}@{version.version_id}"


@dsl.component(base_image="python:3.11")
def compare(
    name: str,
    first: str,
    second: str,
    training: dsl.Input[dsl.Dataset],
    evaluation: dsl.Input[dsl.Dataset],
) -> NamedTuple("Verdict", [("best", str), ("promote", bool), ("reason", str)]):  # type: ignore[valid-type]
    """Score two challengers, the champion if there is one, and a baseline on later flights."""
    from typing import NamedTuple

    import unified_mlops as umlops
    from models import COLUMNS, LABEL, build, score

    umlops.log_input(umlops.Dataset(evaluation.path), "evaluation")
    train, later = (umlops.Dataset(item.path).to_pandas() for item in (training, evaluation))
    baseline = build("baseline", {}).fit(train[COLUMNS], train[LABEL])
    champion = umlops.Model.get(name)
    names = {first, second, *([f"{name}@{champion.version_id}"] if champion else [])}
    scores = {"baseline": score(baseline, later)}
    for model in sorted(names):
        scores[model] = score(umlops.Model(model).load().native.get_raw_model(), later)
    for model, metrics in scores.items():
        shown = model.replace("@", ":")
        umlops.log_metrics({f"{shown}/{key}": value for key, value in metrics.items()})
    best = max((first, second), key=lambda model: scores[model]["roc_auc"])
    held = f"{name}@{champion.version_id}" if champion else "baseline"
    ours, theirs = scores[best]["roc_auc"], scores[held]["roc_auc"]
    verdict = NamedTuple("Verdict", [("best", str), ("promote", bool), ("reason", str)])
    reason = f"roc_auc {ours:.4f} against {theirs:.4f} of {held} on {len(later)} later flights"
    return verdict(best, ours > theirs, reason)


@dsl.component(base_image="python:3.11")
def promote(model: str, reason: str) -> str:
    """Point the alias `default` at a version, and say why."""
    import unified_mlops as umlops

    umlops.Model(model).add_version_aliases(["default"], reason=reason)
    umlops.log_params({"model": model, "reason": reason})
    return model


@dsl.pipeline(name="departure-delay")
def departure_delay(
    flights: str,
    train_first: str,
    train_last: str,
    later_first: str,
    later_last: str,
    every: int = 1,
    trials: int = 3,
    name: str = "departure-delay",
) -> NamedTuple("Outputs", [("best", str), ("reason", str)]):  # type: ignore[valid-type]
    """Train two families on one period, compare them on a later one, promote the better."""
    training = training_set(flights=flights, first=train_first, last=train_last, every=every)
    evaluation = training_set(flights=flights, first=later_first, last=later_last, every=every)
    models = [
        train_model(
            family=family, name=name, trials=trials, parallel=1, training=training.outputs["data"]
        )
        for family in ("logistic", "boosting")
    ]
    verdict = compare(
        name=name,
        first=models[0].output,
        second=models[1].output,
        training=training.outputs["data"],
        evaluation=evaluation.outputs["data"],
    )
    with dsl.If(verdict.outputs["promote"] == True):  # noqa: E712  KFP reads the comparison
        promote(model=verdict.outputs["best"], reason=verdict.outputs["reason"])
    outputs = NamedTuple("Outputs", [("best", str), ("reason", str)])
    return outputs(verdict.outputs["best"], verdict.outputs["reason"])
