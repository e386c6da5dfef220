"""The lineage page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from unified_mlops.lineage import render
from unified_mlops.lineage.subgraph import Subgraph
from unified_mlops.records import Edge, Node

from . import walks


class Page:
    """The page of some walks, as a reader sees and uses it."""

    def __init__(self, browser: Chrome, file: Path) -> None:
        self.browser = browser
        self.file = file

    def open(self, *sections: Subgraph) -> Page:
        titled = [(f"walk {i}", section) for i, section in enumerate(sections)]
        self.file.write_text(render.html(titled, walks.NASTY[0]))
        self.browser.get(self.file.as_uri())
        return self

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    @property
    def panel(self) -> str:
        return self.all("aside")[0].text

    @property
    def names(self) -> list[str]:
        return sorted(self.texts(".card b"))

    def box(self, name: str) -> WebElement:
        return next(card for card in self.all(".card") if card.text.endswith(name))

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def find(self, text: str) -> None:
        self.press("/", text, Keys.ENTER)

    def click(self, selector: str, text: str) -> None:
        next(one for one in self.all(selector) if text in one.text).click()

    def click_line(self, level: str) -> None:
        line = self.all(f".line.{level} .touch")[0]
        where = self.browser.execute_script(
            "const way = arguments[0], at = way.getPointAtLength(way.getTotalLength() / 2);"
            "const on = at.matrixTransform(way.getScreenCTM()); return [on.x, on.y];",
            line,
        )
        chain = ActionChains(self.browser)
        chain.w3c_actions.pointer_action.move_to_location(*map(round, where))
        chain.w3c_actions.pointer_action.click()
        chain.perform()


@pytest.fixture
def page(browser: Chrome, tmp_path: Path) -> Iterator[Page]:
    """No test may leave an error in the console, a request on the wire, or a script that ran."""
    browser.get("about:blank")
    for name in ("browser", "performance"):
        browser.get_log(name)
    page = Page(browser, tmp_path / "page.html")
    yield page
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert asked <= {page.file.as_uri()}


def test_a_node_is_found_by_search_expanded_and_its_evidence_read(page: Page) -> None:
    page.open(walks.large(600))
    assert "table 599" not in page.names
    page.find("table 28")
    assert page.panel.startswith("table 28\ndataset\nfile:///28.csv")
    assert "table 28" in page.names
    page.click("aside .act", "Expand branch (20)")
    assert "20 datasets" in page.names
    page.click("aside .row", "table 1\n")
    assert "record:file:///1.csv>file:///28.csv" in page.panel
    page.click("aside .row", "table 1\n")
    page.find("table 28")
    page.click("aside .act", "Collapse branch")
    assert "20 datasets" not in page.names


def test_search_knows_names_urns_and_kinds_and_says_when_it_finds_none(page: Page) -> None:
    page.open(walks.small())
    for text, found in (("weath", "weather"), ("file:///d", "d.csv"), ("feature view", "weather")):
        page.find(text)
        assert page.panel.startswith(found)
        page.press("/", Keys.DELETE, Keys.ESCAPE)
    page.press("/", "nothing is called so")
    assert page.texts("#found li") == ["No node is called so."]


def test_arrows_choose_among_what_was_found(page: Page) -> None:
    page.open(walks.large(60))
    page.press("/", "table 1")
    assert page.texts("#found b")[:3] == ["table 1", "table 10", "table 11"]
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    assert page.panel.startswith("table 10\n")


def test_clicking_a_line_shows_collector_rule_level_and_native_record(page: Page) -> None:
    page.open(walks.small())
    page.click_line("inferred")
    for text in ("inferred: a guess", "feast-service-tag", "test", "record:view>run", "since Sep"):
        assert text in page.panel


def test_clicking_a_node_shows_its_urn_kind_time_and_attributes(page: Page) -> None:
    page.open(walks.small())
    page.box("delay").click()
    for text in ("delay\nmodel\nmodel", "score\n0.8", "2001", "From (1)\nfit\nOUTPUT · recorded"):
        assert text in page.panel
    page.box("weather").click()
    assert "Coarse" in page.panel


def test_levels_are_counted_apart_drawn_apart_and_can_be_hidden(page: Page) -> None:
    page.open(walks.small())
    assert page.texts("#legend button") == ["declared 1", "recorded 1", "inferred 1"]
    assert "4 nodes, 2 edges and 1 inferred; truncated" in page.panel
    dashes = {
        level: page.all(f".line.{level} .ink")[0].value_of_css_property("stroke-dasharray")
        for level in ("declared", "recorded", "inferred")
    }
    assert dashes == {"declared": "none", "recorded": "none", "inferred": "0.1px, 5px"}
    page.click("#legend button", "inferred")
    assert page.names == ["d.csv", "delay", "fit"]
    page.find("weather")  # what only a hidden edge leads to is still found
    assert page.panel.startswith("weather")
    assert "weather" in page.names
    assert page.all("#legend [aria-pressed=false]") == []


def test_branches_collapse_and_open_by_pointer(page: Page) -> None:
    page.open(walks.small())
    page.box("fit").click()
    page.all(".box.on .grow")[0].click()
    assert page.names == ["delay", "fit"]
    assert "+2" in page.texts(".box.on .grow")
    page.all(".box.on .grow")[0].click()
    assert page.names == ["d.csv", "delay", "fit", "weather"]


def test_the_keyboard_alone_moves_chooses_collapses_and_goes_back(page: Page) -> None:
    page.open(walks.small())
    page.find("delay")
    page.press(Keys.ARROW_LEFT)
    assert page.panel.startswith("fit\nrun")
    page.press("-")
    assert page.names == ["delay", "fit"]
    page.press("+")
    assert len(page.names) == 4
    page.press(Keys.ARROW_RIGHT)
    assert page.panel.startswith("delay\nmodel")
    page.press(Keys.ESCAPE)
    assert page.panel.startswith("walk 0")


def test_many_alike_are_one_stack_until_they_are_drawn_each(page: Page) -> None:
    page.open(walks.large(20))
    assert page.names == ["19 datasets", "table 0"]
    page.box("19 datasets").click()
    page.click("aside .act", "Draw each")
    assert len(page.names) == 20


@pytest.mark.parametrize("name", walks.NASTY)
def test_a_hostile_name_is_text_wherever_it_stands(page: Page, name: str) -> None:
    page.open(walks.nasty(), walks.nasty())
    assert page.texts("h1") == [walks.NASTY[0]]
    page.find(name)
    assert page.texts("aside h2") == [name]
    assert name in page.texts(".card b")
    assert name in page.texts("aside dd")
    page.click("aside .row", "INPUT")
    assert walks.NASTY[0] in page.panel
    assert page.all("img") == []
    assert len(page.all("script")) == 2


def test_a_script_that_got_in_would_not_run(page: Page) -> None:
    page.open(walks.small())
    page.browser.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.hacked = 1';"
        "document.body.append(script);"
        "document.querySelector('aside').innerHTML = "
        '\'<button onclick="hacked = 1">no</button> <a href="javascript:hacked = 1">no</a>\';'
    )
    for element in page.all("aside button, aside a"):
        element.click()
    refused = [entry["message"] for entry in page.browser.get_log("browser")]
    assert len(refused) >= 3
    assert all("Content Security Policy" in message for message in refused)


def test_five_thousand_nodes_draw_only_what_is_open(page: Page) -> None:
    page.open(walks.large(5000))
    assert len(page.names) < 100
    page.find("table 4321")
    assert page.panel.startswith("table 4321\n")
    assert len(page.names) < 200
    assert page.browser.execute_script(
        "const start = performance.now(); walk.reveal('file:///4999.csv'); draw();"
        "return performance.now() - start < 2000"  # 50 ms on a quiet machine
    )


def test_a_cycle_an_edge_to_itself_and_an_edge_out_of_the_walk_are_drawn(page: Page) -> None:
    nodes = [Node(name, "dataset", name) for name in "abc"]
    edges = [Edge("a", "DERIVES", "b"), Edge("b", "DERIVES", "c"), Edge("c", "DERIVES", "a")]
    edges += [Edge("b", "DERIVES", "b"), Edge("c", "DERIVES", "left out")]
    page.open(walks.subgraph("a", "down", nodes, edges, truncated=True))
    assert page.names == ["a", "b", "c"]
    assert len(page.all(".line")) == 3
    page.box("c").click()
    assert "The graph goes on from here" in page.panel


def test_a_walk_of_nothing_says_so(page: Page) -> None:
    page.open(Subgraph("gone", "up", {}, {}))
    assert page.texts("#board") == ["Nothing to show."]
    page.press("/", "x", Keys.ENTER, Keys.ESCAPE)


def test_tabs_hold_one_walk_each_and_the_theme_can_be_changed(page: Page) -> None:
    page.open(walks.small(), walks.large(20))
    page.click("nav button", "walk 1")
    assert "table 0" in page.names
    light = page.all("body")[0].value_of_css_property("background-color")
    page.all("#theme")[0].click()
    assert page.all("body")[0].value_of_css_property("background-color") != light
