import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lineage.graphs import graph

from unified_mlops.lineage.stitch import RULES
from unified_mlops.lineage.store import Store
from unified_mlops.records import Alias, Claim, Edge, Observation

ROOT = Path(__file__).parents[2]
NAMED = Observation("a", aliases=(Alias("name", "thing", "s"),))


def claimed(rule: str, at: float | None = None) -> Observation:
    return Observation("c", claims=(Claim("name", "DERIVES", "other", rule, at),))


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_joins_with_its_own_level_and_says_so(tmp_path: Path, rule: str) -> None:
    store = Store(tmp_path / "g.db")
    store.add("one", [claimed(rule)])
    store.add("two", [NAMED])
    assert store.edges() == [Edge("thing", "DERIVES", "other", RULES[rule].level)]
    (evidence,) = store.evidence(store.edges())["thing", "DERIVES", "other"]
    assert (evidence.collector, evidence.rule, evidence.key) == ("one", rule, "c")


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_switched_off_and_on(tmp_path: Path, rule: str) -> None:
    store = Store(tmp_path / "g.db", without=[rule])
    inside = Observation("e", edges=(Edge("a", "DERIVES", "b", "derived", rule),))
    store.add("one", [claimed(rule), NAMED, inside])
    assert store.edges() == []
    again = Store(tmp_path / "g.db")
    again.rebuild()
    assert len(again.edges()) == 2


def test_another_choice_of_rules_projects_the_graph_anew_at_the_next_write(tmp_path: Path) -> None:
    Store(tmp_path / "g.db").add("one", [claimed("model-text"), NAMED])
    store = Store(tmp_path / "g.db", without=["model-text"])
    store.add("one", [Observation("new")])
    assert store.edges() == []


def test_what_may_be_one_of_two_is_inferred_and_both_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    second = Observation("b", aliases=(Alias("name", "twin", "t"),))
    store.add("one", [claimed("model-text"), NAMED, second])
    assert {(edge.source, edge.level) for edge in store.edges()} == {
        ("thing", "inferred"),
        ("twin", "inferred"),
    }
    evidence = store.evidence(store.edges())["twin", "DERIVES", "other"]
    assert evidence[0].rule == "model-text (one of 2)"


def test_a_later_alias_takes_back_only_what_stitching_made(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    direct = Observation("e", edges=(Edge("thing", "DERIVES", "other", "recorded", "said"),))
    old = Observation("a", aliases=(Alias("name", "thing", "s", since=0),))
    store.add("one", [claimed("model-text", at=10), old, direct])
    store.add("one", [Observation("b", aliases=(Alias("name", "newer", "s", since=5),))])
    assert {(edge.source, edge.level) for edge in store.edges()} == {
        ("thing", "recorded"),
        ("newer", "derived"),
    }


def test_a_claim_on_a_name_that_nobody_gave_is_unresolved_until_somebody_does(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "g.db")
    store.add("one", [claimed("model-text")])
    assert [item["reference"] for item in store.unresolved()] == ["name"]
    assert "name" not in store.nodes()
    store.add("one", [NAMED])
    assert store.unresolved() == []


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.optional])
def test_a_claim_that_need_not_find_anything_is_no_open_question(tmp_path: Path, rule: str) -> None:
    store = Store(tmp_path / "g.db")
    store.add("one", [claimed(rule)])
    assert store.unresolved() == []


def test_what_is_claimed_for_a_while_ends_when_it_is_told_to_have_ended(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    begun = Claim("name", "DERIVES", "other", "model-text", since=5.0)
    ended = replace(begun, until=9.0)
    store.add("one", [NAMED, Observation("c", claims=(begun,), time=5.0)])
    store.add("one", [Observation("c", claims=(ended,), time=9.0)])
    assert store.edges() == [Edge("thing", "DERIVES", "other", "derived", since=5.0, until=9.0)]


def test_a_live_name_is_made_of_what_it_stood_for_while_it_did(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    live = "feast://s/p/featureView/v"
    store.add("feast", [
        Observation("1", aliases=(Alias(live, f"{live}@1", since=10),)),
        Observation("2", aliases=(Alias(live, f"{live}@2", since=30, after=20),)),
    ])  # fmt: skip
    assert set(store.edges()) == {
        Edge(f"{live}@1", "DERIVES", live, "derived", since=10, until=20),
        Edge(f"{live}@1", "DERIVES", live, "inferred", since=20, until=30),
        Edge(f"{live}@2", "DERIVES", live, "inferred", since=20, until=30),
        Edge(f"{live}@2", "DERIVES", live, "derived", since=30),
    }
    before = graph(store)
    store.rebuild()
    assert graph(store) == before


def test_every_rule_is_numbered_once_used_by_a_collector_and_documented() -> None:
    assert sorted(rule.number for rule in RULES.values()) == list(range(1, len(RULES) + 1))
    sources = [*ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("src/**/openlineage/*.py")]
    code = "".join(path.read_text() for path in sources)
    documented = (ROOT / "docs/lineage.md").read_text()
    for name, rule in RULES.items():
        assert f'"{name}"' in code, f"no collector uses {name}"
        assert re.search(rf"\| {rule.number} \| `{name}` \|", documented), name
