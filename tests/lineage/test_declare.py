import pytest

from unified_mlops.hookspecs import EndpointHooks, FeatureHooks, RunHooks
from unified_mlops.lineage.declare import declaration_of, derive_event, edge_kind
from unified_mlops.records import DatasetRecord, Edge, Ref, RunRecord

RUN = Ref("t", "run", "r", "t:run/r")
DATA = Ref("t", "dataset", "d", "file:///d")


def test_reads_and_writes_come_from_the_declaration() -> None:
    run = RunRecord(ref=RUN, name="r", experiment="e", state="RUNNING")
    data = DatasetRecord(ref=DATA, name="d")
    arguments = {"run": run, "dataset": data, "context": "training"}
    event = derive_event(RunHooks.mlops_log_input, arguments, None, None)
    assert event is not None
    assert (event.reads, event.writes) == ((DATA,), (RUN,))


def test_a_result_brings_its_finer_edges() -> None:
    edge = Edge("a", "DERIVES", "b")
    result = DatasetRecord(ref=DATA, name="d", edges=(edge,))
    arguments = {"views": [], "features": [], "entities": None, "destination": None}
    event = derive_event(FeatureHooks.mlops_read_history, arguments, result, RUN)
    assert event is not None
    assert event.edges == (edge,)
    assert event.run == RUN


def test_an_excused_hook_makes_no_event() -> None:
    assert derive_event(EndpointHooks.mlops_create_endpoint, {"name": "x"}, None, None) is None
    declaration = declaration_of(EndpointHooks.mlops_create_endpoint)
    assert declaration is not None
    assert declaration.excuse


@pytest.mark.parametrize(
    ("source", "target", "kind"),
    [
        ("dataset", "run", "INPUT"),
        ("run", "model", "OUTPUT"),
        ("model", "model_version", "DERIVES"),
        ("experiment", "run", "PARENT_OF"),
        ("task", "run", "PARENT_OF"),
        ("endpoint", "report", "OBSERVES"),
        ("column", "alert", "OBSERVES"),
        ("report", "alert", "DERIVES"),
    ],
)
def test_the_kinds_of_the_ends_decide_the_kind_of_the_edge(
    source: str, target: str, kind: str
) -> None:
    assert edge_kind(source, target) == kind
