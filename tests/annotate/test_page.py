"""The labelling page in a real browser: label by keyboard, reload, two annotators, then their agreement."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.records import FunctionCall, GoldAction, Message, ToolCall
from fama.episodes.store import EpisodeStore, read_failures
from tests.support.browsing import free_port, needs_browser, opened_browser, served
from tests.support.failed_episodes import failed

pytest.importorskip("nicegui", reason="NiceGUI is not installed: pip install -e '.[annotate]'")
pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
pytestmark = needs_browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five failed episodes."""
    store = EpisodeStore(tmp_path_factory.mktemp("annotate") / "run")
    told = {
        "instruction": "You want <i>two</i> seats.",
        "gold_actions": (GoldAction(name="add_seats", arguments='{"n": 2}'),),
    }
    call = ToolCall(id="c", function=FunctionCall(name="add_seats", arguments='{"n": 1}'))
    for number in range(5):
        episode = failed(number)
        messages = (*episode.messages, Message(role="assistant", tool_calls=(call,)))
        store.append(episode.model_copy(update={**told, "messages": messages}))
    return store.path.parent


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[str]:
    """The command, serving them; each test is another annotator."""
    port = free_port()
    with served([sys.executable, "-m", "fama", "annotate", str(run), "--port", str(port)], port) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened_browser(tmp_path_factory.mktemp("browser") / "profile") as driver:
        yield driver


def press(browser: Any, keys: str) -> None:
    """Press keys one after the other, each once the page shows what the one before did; 0.4 s if nothing shows."""
    for key in keys:
        before = browser.execute_script("return document.body.innerHTML")
        browser.find_element("tag name", "body").send_keys(key)
        until = time.monotonic() + 0.4
        while time.monotonic() < until and browser.execute_script("return document.body.innerHTML") == before:
            time.sleep(0.02)


def progress(browser: Any, expected: str) -> None:
    for _ in range(50):
        if browser.find_element("css selector", "[data-progress]").text == expected:
            return
        time.sleep(0.2)
    raise AssertionError(browser.find_element("css selector", "[data-progress]").text)


def test_three_labels_survive_a_reload_and_two_annotators_are_compared(
    page: str, browser: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ann", "bob"):
        browser.get(f"{page}/?annotator={name}")
        progress(browser, f"{name}: 0 of 5 labelled")
        assert "<b>bold</b>" in browser.find_element("tag name", "body").text  # a user's text is never HTML
        assert "findings for this episode" not in browser.find_element("tag name", "body").text
        for keys in ("1jjsu", "3", "4e"):
            press(browser, f"{keys}o")
        progress(browser, f"{name}: 3 of 5 labelled")
        browser.get(f"{page}/?annotator={name}")
        progress(browser, f"{name}: 3 of 5 labelled")
    files = [run / "annotations" / f"{name}.jsonl" for name in ("ann", "bob")]
    first = read_failures(files[0])
    assert [label.categories for label in first] == [("DCV",), ("CM",), ("IFU",)]
    assert [(label.step, label.blame) for label in first] == [(2, "user"), (None, "agent"), (None, "environment")]
    assert main(["agree", *map(str, files), "--bootstrap", "100"]) == 0
    assert "ann against bob" in capsys.readouterr().out


def test_the_reference_is_hidden_until_it_is_asked_for(page: str, browser: Any) -> None:
    browser.get(f"{page}/?annotator=reader")
    progress(browser, "reader: 0 of 5 labelled")
    assert "You want" not in browser.find_element("tag name", "body").text
    press(browser, "r")
    told = [one.text for one in browser.find_elements("css selector", "[data-told]")]
    assert told == ["You want <i>two</i> seats.", '1. add_seats {"n": 2}', "unknown: the log does not say it"]
    for width in (1400, 500):
        browser.set_window_size(width, 900)
        assert browser.execute_script("return document.body.scrollWidth <= window.innerWidth"), width


def test_the_form_stands_beside_the_dialogue_where_there_is_room_and_below_where_not(page: str, browser: Any) -> None:
    browser.set_window_size(1400, 900)
    browser.get(f"{page}/?annotator=looker")
    progress(browser, "looker: 0 of 5 labelled")
    corner = "return document.querySelector('{}').getBoundingClientRect().{}"
    for width, beside in ((1400, True), (500, False)):
        browser.set_window_size(width, 900)
        message = browser.execute_script(corner.format("[data-message]", "right"))
        form = browser.execute_script(corner.format("[data-progress]", "left"))
        assert (form >= message) is beside, width
    shown = browser.find_element("tag name", "body").text  # arguments are seen without a click
    assert 'calls add_seats {"n": 1}' in shown


def test_a_name_that_is_a_path_is_refused(page: str, browser: Any, run: Path) -> None:
    browser.get(f"{page}/?annotator=..%2Fevil")
    assert "letters, digits" in browser.find_element("tag name", "body").text
    assert not list(run.parent.rglob("*evil*"))
