"""Will this departure be late? The whole story, from raw files to a retrained model."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
import urllib.request
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.resolve()
os.environ["PYTHONPATH"] = str(HERE)  # tasks and trials import models.py and sources.py too
os.environ["OMP_NUM_THREADS"] = "1"  # trials share the machine's cores
os.chdir(HERE)

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

import unified_mlops as umlops  # noqa: E402
from unified_mlops.hookspecs import PluginHooks  # noqa: E402
from unified_mlops.lineage import render  # noqa: E402

NAME = "departure-delay"
WATCHED = {
    "weather__temp": 0.3,
    "weather__dewp": 0.3,
    "weather__pressure": 0.3,
    "delays__late_rate_24h": 0.3,
    "carrier": 0.3,
}
console = Console()
umlops.init()


@contextmanager
def chapter(title: str) -> Iterator[None]:
    """Say what is going on and how long it took."""
    console.print(f"[bold]{title}")
    start = time.monotonic()
    yield
    console.print(f"  [dim]{time.monotonic() - start:.1f} s")


def period(first: date, last: date, days: int | None) -> tuple[date, date]:
    """A period, or its first few days."""
    return first, last if days is None else min(last, first + timedelta(days=days - 1))


def prepare() -> None:
    """Sources to parquet, definitions to Feast."""
    from sources import DELAY_COLUMNS, prepare

    with chapter("1  sources to parquet, feature views to Feast"), console.status("reading"):
        paths = prepare(HERE / "data")
        flights, delays = paths["flights"], paths["delays"]
        columns = {
            f"{delays}#{name}": [f"{flights}#{source}" for source in sources]
            for name, sources in DELAY_COLUMNS.items()
        }
        umlops.current_session().lineage.declare([flights], [delays], columns)
        for view in umlops.FeatureStore().apply():
            console.print(f"  {view.name}: {', '.join(view.features)}")


def train(training: tuple[date, date], later: tuple[date, date], every: int) -> umlops.PipelineJob:
    """One run of the pipeline: two tuned families, compared on later flights."""
    from pipeline import departure_delay

    job = umlops.PipelineJob(
        "departure delay",
        departure_delay,
        parameter_values={
            "flights": str(HERE / "data/flights.parquet"),
            "train_first": str(training[0]),
            "train_last": str(training[1]),
            "later_first": str(later[0]),
            "later_last": str(later[1]),
            "every": every,
            "name": NAME,
        },
    )
    job.run()
    console.print(f"  {job.outputs['best']}: {job.outputs['reason']}")
    return job


def deploy() -> tuple[umlops.Endpoint, str]:
    """The champion and the other model behind one endpoint, asked in process and over HTTP."""
    champion = umlops.Model(NAME)
    others = [m for m in umlops.ModelRegistry(NAME).list_versions() if m.uri != champion.uri]
    endpoint = umlops.Endpoint.create(NAME)
    endpoint.deploy(champion)
    endpoint.deploy(others[-1], traffic_percentage=20)
    console.print(f"  traffic {dict(endpoint.traffic_split)}")
    noon, store = datetime(2013, 7, 2, 16, tzinfo=timezone.utc), umlops.FeatureStore()
    store.sync(noon - timedelta(days=1), noon)
    store.sync(datetime(2013, 1, 1, tzinfo=timezone.utc), noon, views=["plane"])
    instances = online(store, noon)
    asked = track(instances, "asking", console=console, transient=True)
    answers = [endpoint.predict([instance]) for instance in asked]
    late = sum(int(answer.predictions[0]) for answer in answers)
    console.print(f"  {late} of {len(answers)} departures on July 2 will be late")
    over_http(endpoint, instances[:2])
    return endpoint, answers[0].ref.id


def online(store: umlops.FeatureStore, noon: datetime) -> list[dict[str, Any]]:
    """The departures of one afternoon as requests, with the newest features."""
    from models import COLUMNS, FEATURES, REQUEST
    from sources import departures

    day = noon.date()
    flights = departures(HERE / "data/flights.parquet", day, day)
    soon = flights[flights.event_timestamp >= noon].head(100)
    keys = soon[["origin", "tailnum"]].to_dict("records")
    values = store.fetch_feature_values(FEATURES, keys)
    known = [dict(zip(COLUMNS, row.values(), strict=False)) for row in values]
    asked = soon[REQUEST].to_dict("records")
    return [{**features, **request} for features, request in zip(known, asked, strict=True)]


def over_http(endpoint: umlops.Endpoint, instances: Sequence[Mapping[str, Any]]) -> None:
    """The same question over HTTP on loopback, as Vertex's REST clients ask it."""
    server = endpoint.serve()
    body = json.dumps({"instances": instances}).encode()
    url = f"{server.url}/v1/endpoints/{NAME}:predict"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")) as answer:
            found = json.load(answer)
    finally:
        server.stop()
    console.print(f"  over HTTP: {found['predictions']} by model {found['deployedModelId']}")


def monitor(
    endpoint: umlops.Endpoint, job: umlops.PipelineJob, days: int | None
) -> umlops.MonitoringReport:
    """Hold each month from July to December against the training data."""
    from models import FEATURES
    from sources import ENTITY_COLUMNS, departures

    flights, store = umlops.Dataset("data/flights.parquet"), umlops.FeatureStore()
    watch = umlops.ModelMonitor(
        f"{NAME}-skew", target=endpoint, training_dataset=training_data(job), thresholds=WATCHED
    )
    names = [column.partition("__")[2] or column for column in WATCHED]
    table = Table("month", *names, title="skew against training")
    reports = []
    for month in track(range(7, 13), "months", console=console, transient=True):
        first, last = date(2013, month, 1), date(2013, month, monthrange(2013, month)[1])
        recent = departures(flights.path, *period(first, last, days))
        flights.mark(recent, ENTITY_COLUMNS)
        file = HERE / "data" / f"{first:%B}.parquet"
        current = store.fetch_historical_feature_values(FEATURES, recent, file)
        reports.append(watch.run(current))
        scores = reports[-1].scores.values()
        cells = [f"[red]{s.value:.3f}[/]" if s.drifted else f"{s.value:.3f}" for s in scores]
        table.add_row(f"{first:%B}", *cells)
    console.print(table)
    console.print(f"  {sum(len(report.alerts) for report in reports)} alerts, in red")
    return max(reports, key=lambda report: max(s.value for s in report.scores.values()))


def replace(endpoint: umlops.Endpoint, champion: umlops.Model) -> None:
    """Give a promoted champion all the traffic, and let the others go."""
    before = endpoint.record.deployments
    if champion.uri not in [deployment.model.uri for deployment in before]:
        endpoint.deploy(champion, traffic_percentage=100)
        for deployment in before:
            endpoint.undeploy(deployment.id)
    console.print(
        f"  traffic {dict(endpoint.traffic_split)}: {champion.name}@{champion.version_id}"
    )


def training_data(job: umlops.PipelineJob) -> umlops.Dataset:
    """What a job trained on."""
    return umlops.Dataset(job.task_details["training-set"].artifacts["data"][0]["uri"])


def explain(prediction: str, report: umlops.MonitoringReport, champion: umlops.Model) -> Path:
    """From the alert and a prediction down to source columns, from a source column up."""
    graph = umlops.current_session().lineage
    failures = graph.collect()
    for plugin, error in failures.items():
        console.print(f"  [red]not collected: {plugin}: {error}")
    alert = max(report.alerts, key=lambda alert: alert.score.value)
    cause = graph.upstream(alert.ref, plane="column")
    columns = cause.source_columns
    console.print(render.tree(graph.path(columns[-1].uri, alert.ref, plane="column")))
    asked = graph.upstream(f"prediction:{prediction}", plane="column")
    table = graph.upstream(f"prediction:{prediction}")
    console.print(render.tree(table))
    up = graph.downstream(columns[-1].uri)
    sections = [
        (f"alert on {alert.column}", cause),
        ("one prediction", table),
        ("its columns", asked),
        (f"from {render.title(up, up.root)}", up),
    ]
    page = HERE / "lineage.html"
    page.write_text(render.html(sections, f"{NAME}: lineage"))
    run = umlops.ExperimentRun(graph.upstream(champion.uri).of_kind("run")[0].name)
    run.log_artifact(page, "story")
    run.log_lineage()
    return page


def summary(
    jobs: Sequence[umlops.PipelineJob], report: umlops.MonitoringReport, page: Path
) -> None:
    """What came out, and how to look at it."""
    session = umlops.current_session()
    table = Table("model", "roc_auc", "average precision", "log loss", title="on later flights")
    for job in jobs:
        run = umlops.ExperimentRun(f"{job.job_id}/compare")
        metrics = run.get_metrics()
        for model in dict.fromkeys(key.partition("/")[0] for key in metrics):
            names = ("roc_auc", "average_precision", "log_loss")
            table.add_row(model, *(f"{metrics[f'{model}/{name}']:.4f}" for name in names))
        table.add_section()
    console.print(table)
    ways = Table("tool", "its own page on this workspace")
    for ui in session.tell(PluginHooks.mlops_describe_ui).answers.values():
        command = [part.replace("{port}", str(ui.port)) for part in ui.command]
        ways.add_row(ui.title, shlex.join(command))
    console.print(ways)
    champion = umlops.Model(NAME)
    console.print(f"champion {champion.name}@{champion.version_id}: {jobs[-1].outputs['reason']}")
    alert = max(report.alerts, key=lambda alert: alert.score.value)
    console.print(f"alert {alert.ref.uri}", soft_wrap=True)
    console.print(f"lineage page {page}", soft_wrap=True)
    console.print(
        f"all of them: cd {HERE} && {Path(sys.executable).parent}/umlops up", soft_wrap=True
    )


def main() -> None:
    """Tell the story."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, help="use only so many days of each period")
    parser.add_argument("--every", type=int, default=1, help="use one departure in so many")
    arguments = parser.parse_args()
    days, every = arguments.days, arguments.every
    prepare()
    with ExitStack() as stack:
        with chapter("2  start Ray; tune, fit and compare two families of models"):
            cluster = stack.enter_context(umlops.RayCluster.create(cpus=2))
            umlops.init(plugins={"ray": {"address": cluster.address}})
            first = train(
                period(date(2013, 1, 1), date(2013, 5, 31), days),
                period(date(2013, 6, 1), date(2013, 6, 30), days),
                every,
            )
        with chapter("3  deploy two models, ask them about July"):
            endpoint, prediction = deploy()
        with chapter("4  monitor July to December, retrain, promote"):
            report = monitor(endpoint, first, days)
            second = train(
                period(
                    date(2013, 1, 1) if days is None else date(2013, 6, 1), date(2013, 10, 31), days
                ),
                period(date(2013, 11, 1), date(2013, 11, 30), days),
                every,
            )
            champion = umlops.Model(NAME)
            replace(endpoint, champion)
    with chapter("5  where it all came from"):
        page = explain(prediction, report, champion)
    summary([first, second], report, page)


if __name__ == "__main__":
    main()
