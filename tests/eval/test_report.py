"""The report: one offline page that is safe, tables, figures, and what it says in words."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.compare.comparison import read_comparison
from eval.compare.schema import json_schema
from eval.metrics.formats import percent
from eval.report.latex import latex
from eval.report.narrative import headline_answers
from eval.report.page import _told, write_report
from eval.report.table_format import TableCell, markdown
from eval.report.tables import comparison_tables
from eval.report.transcripts import script_json, transcript, transcripts
from fama.agents.runs.run_config import COMPARISON
from fama.cli import main
from fama.episodes.records import Episode, LedgerRow, Status
from fama.intervals import Interval
from tests.support.browsing import BROWSER, needs_browser, opened_browser
from tests.support.comparisons import comparison
from tests.support.eval_builders import build, write_episodes

ARMS: dict[str, tuple[tuple[str, ...], str]] = {
    "none": ((), "0010000000"),
    "prompted": (("DCE",), "0111100000"),
    "learned": (("DCE", "TSA"), "1111111110"),
}

ROOT = Path(__file__).resolve().parents[2]


def arm_episodes(arm: str, subset: tuple[str, ...], outcomes: str, trial: int = 0) -> list[Episode]:
    status: dict[str, Status] = {"0": "failure", "1": "success", "e": "error"}
    cost = {"subset": subset, "agent": 100 + 10 * len(subset), "selector": 50 if arm == "prompted" else 0}
    return [build(f"t{i}", arm, status[sign], trial, **cost) for i, sign in enumerate(outcomes)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    episodes = {arm: arm_episodes(arm, *rest) for arm, rest in ARMS.items()}
    write_episodes(out / "episodes.jsonl", [episode for group in episodes.values() for episode in group])
    (out / COMPARISON).write_text(comparison(episodes).model_dump_json(), encoding="utf-8")
    assert main(["report", str(out)]) == 0
    return out


class Reader(HTMLParser):
    """Collects tags, and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


def read(folder: Path) -> tuple[str, Reader]:
    text = (folder / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    return text, reader


def test_the_page_is_offline_and_holds_to_its_policy(folder: Path) -> None:
    text, reader = read(folder)
    assert not re.search(r"https?://|//cdn|@import|url\((?!#)", text)
    policy = next(a["content"] for tag, a in reader.tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    for _, attributes in reader.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)
        assert not {"src", "srcset", "data"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("xlink:href") or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_text_of_episodes_cannot_become_markup(folder: Path) -> None:
    text, reader = read(folder)
    assert len(reader.scripts) == 2 and "<x>" not in text
    data = json.loads(reader.scripts[0])
    assert set(data["tasks"]) == {f"t{i}" for i in range(10)} and len(data["episodes"]) == 30
    assert "alert(1)" not in text  # it stood in the policy, which pages do not show
    assert script_json({"a": "</script><!--&\u2028"}) == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028"}'


def test_the_first_screen_answers_four_questions(folder: Path) -> None:
    text, _ = read(folder)
    assert "learned solves 90.0 % of the episodes, 80.0 points more than none, for 20 % more tokens" in text
    assert "a clear difference" in text and "a claim needs at least 4" in text and "simulated" in text
    assert "learned against prompted: +50.0 [" in text and "at 0.75 times its tokens" in text
    for question in ("Which selector", "How much better", "At what cost", "How sure"):
        assert question in text


def test_transcripts_show_turns_notes_and_rejections(folder: Path) -> None:
    found = transcripts(folder / "episodes.jsonl", {"learned-t0-0"})
    (episode,) = found.values()
    assert [turn["role"] for turn in episode["turns"]] == [
        *("user", "selection", "note", "note", "rejected", "assistant", "tool", "assistant")
    ]
    assert episode["turns"][5]["calls"] == [{"name": "look_up", "arguments": '{"order": "A1"}'}]
    assert episode["turns"][4]["reason"] == "no such tool" and episode["tokens"] == {"agent": "120"}
    assert transcripts(folder / "episodes.jsonl", {"learned-t0-0"}, limit=10) == {}


def test_tokens_that_nobody_reported_are_no_zero_in_a_transcript() -> None:
    rows = [LedgerRow(role=role, model="m", input_tokens=tokens) for role, tokens in (("agent", 1200), ("user", None))]
    assert transcript(build("t0", "none", ledger=tuple(rows)))["tokens"] == {"agent": "1,200", "user": "–"}
    script = (ROOT / "eval" / "report" / "templates" / "report.js").read_text(encoding="utf-8")
    assert "fact(`${role} tokens`, tokens)" in script  # as it is: Number(null) is 0


def test_transcripts_say_wherever_the_subset_changes() -> None:
    first, second = build("t0", "x", subset=("DCE",)).decisions
    for later, times in ((second, 1), (second.model_copy(update={"subset": ()}), 2)):
        turns = transcript(build("t0", "x", decisions=(first, later)))["turns"]
        said = [turn["text"] for turn in turns if turn["role"] == "selection"]
        assert said == ["DCE", "no helper"][:times]


def test_marks_of_significance_and_effect_sizes(folder: Path) -> None:
    """Learned solves nine of ten and none one: eight tasks differ, all one way, p = 2 / 2^8, doubled by Holm."""
    table = (folder / "tables" / "differences.tex").read_text(encoding="utf-8")
    line = next(line for line in table.splitlines() if line.startswith("learned"))
    assert line.startswith("learned & \\textbf{+80.0} {\\scriptsize {[}") and "}$^{*}$ & 0.016 & 1.85 &" in line
    assert "$^{*}$" not in next(line for line in table.splitlines() if line.startswith("prompted"))
    assert "\\* |" in (folder / "report.md").read_text(encoding="utf-8") and "<sup>*</sup>" in read(folder)[0]


def test_a_clear_loss_has_its_stars_but_is_not_marked_as_the_best() -> None:
    outcomes = {"none": "1" * 10, "all": "0" * 10}
    found = comparison({arm: arm_episodes(arm, (), told) for arm, told in outcomes.items()})
    table = next(table for table in comparison_tables(found) if table.name == "differences")
    loss = table.rows[1][1]
    assert loss.text.startswith("−100.0 [") and loss.mark == "**" and not loss.best
    assert "−100.0 \\[" in markdown(table) and "**−100.0" not in markdown(table)


def test_the_file_keeps_to_its_published_schema(folder: Path) -> None:
    import jsonschema

    published = (Path(__file__).resolve().parents[2] / "docs/comparison.schema.json").read_text(encoding="utf-8")
    assert published == json_schema(), "run python -m eval.compare.schema > docs/comparison.schema.json"
    written = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
    jsonschema.validate(written, json.loads(published))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "tasks": "ten"}, json.loads(published))


def test_every_table_is_written_in_all_forms(folder: Path) -> None:
    names = {path.stem for path in (folder / "tables").glob("*.tex")}
    built = {"success", "differences", "cost", "selection", "health"}
    assert names == built | {f"{name}-column" for name in built}
    success = (folder / "tables" / "success.tex").read_text(encoding="utf-8")
    assert r"\toprule" in success and r"\textbf{90.0} {\scriptsize {[}" in success and r"success, \%" in success
    notes = (folder / "report.md").read_text(encoding="utf-8")
    assert "| learned | **90.0 \\[" in notes and "![Success over tokens](figures/success_over_tokens.png)" in notes
    figures = {path.name for path in (folder / "figures").iterdir()}
    drawn = ("success_over_tokens", "success_over_new_tokens", "differences")
    assert figures == {f"{n}.{kind}" for n in drawn for kind in ("png", "pdf")}
    assert (folder / "figures" / "differences.png").read_bytes().startswith(b"\x89PNG")


def test_what_an_earlier_report_had_and_this_one_has_not_is_removed(folder: Path) -> None:
    before = {path: path.read_bytes() for kind in ("tables", "figures") for path in (folder / kind).iterdir()}
    earlier = [folder / "tables" / "curves.tex", folder / "figures" / "curves.pdf"]
    earlier[0].write_bytes(before[folder / "tables" / "cost.tex"])
    earlier[1].write_bytes(before[folder / "figures" / "differences.pdf"])
    own = [folder / "tables" / "mine.tex", folder / "figures" / "mine.pdf", folder / "tables" / "success.csv"]
    for path in own:
        path.write_text("of somebody else", encoding="utf-8")
    write_report(folder)
    left = {path for kind in ("tables", "figures") for path in (folder / kind).iterdir()}
    assert left == {*before, *own} and not left & {*earlier}


def test_equal_arms_are_both_the_best_and_the_cheaper_one_comes_first() -> None:
    """Of three trials each solves as many; the sums of their rates differ in the last bit by the order of the tasks."""
    solved = [0, 1, 1, 3, 1, 2, 3, 0, 2, 1, 3, 2, 0, 1, 3, 2, 1, 0, 2, 2]
    for seed in range(50):
        order = np.random.default_rng(seed).permutation(solved)
        if np.mean(np.array(solved) / 3) < np.mean(order / 3):
            break

    def of(arm: str, counts: list[int], agent: int) -> list[Episode]:
        return [
            build(f"t{task:02d}", arm, "success" if trial < count else "failure", trial=trial, agent=agent)
            for task, count in enumerate(counts)
            for trial in range(3)
        ]

    arms = {"none": of("none", [0] * 20, 100), "irma": of("irma", solved, 100), "all": of("all", order.tolist(), 500)}
    found = comparison(arms)
    headline = headline_answers(found).headline
    assert headline.startswith("irma solves 50.0 % of the episodes") and headline.endswith(". all solves as many.")
    assert found.frontier == ("irma",)
    rows = next(table for table in comparison_tables(found) if table.name == "success").rows
    assert [row[1].best for row in rows] == [False, True, True]


def test_pass_k_on_other_tasks_is_not_marked_as_the_best() -> None:
    """All has one trial less of the task that it fails: its pass^2 is of the other three alone."""

    def of(arm: str, outcomes: Sequence[str]) -> list[Episode]:
        return [one for trial, signs in enumerate(outcomes) for one in arm_episodes(arm, (), signs, trial)]

    arms = {"none": of("none", ["1100", "1000"]), "all": of("all", ["1110", "111e"])}
    shown = comparison_tables(comparison(arms))[0]
    assert shown.columns[:3] == ("arm", "success, %", "pass^2, %")
    assert [row[2].text[:5] for row in shown.rows] == ["25.0 ", "100.0"]
    assert [[cell.best for cell in row[1:3]] for row in shown.rows] == [[False, False], [True, False]]
    assert "None is marked as the best in pass^2, since arms have so many trials on different tasks." in shown.caption
    same = comparison_tables(comparison({**arms, "all": of("all", ["1110", "1110"])}))[0]
    assert [row[2].best for row in same.rows] == [False, True] and "None is marked" not in same.caption


def test_the_family_of_a_correction_is_the_tests_that_there_are() -> None:
    """An arm of errors alone is not tested: what is detectable and what is said are of the one test that is left."""
    found = comparison(
        {arm: arm_episodes(arm, (), outcomes) for arm, outcomes in
         {"none": "00000001", "all": "11111111", "irma": "eeeeeeee"}.items()}
    )  # fmt: skip
    versus = found.arm("all").versus_none
    assert versus is not None and versus.p == versus.p_holm and versus.detectable == versus.detectable_holm
    assert "corrected for 1 arm" in headline_answers(found).cards[1].detail


def test_one_task_is_no_test() -> None:
    found = comparison({arm: arm_episodes(arm, (), outcomes) for arm, outcomes in {"none": "0", "all": "1"}.items()})
    answers = headline_answers(found)
    assert answers.headline.endswith("not a clear difference with 1 task.")
    assert answers.cards[1].detail == "+100.0 over none; no test with one task"
    both = comparison({arm: arm_episodes(arm, (), signs) for arm, signs in {"prompted": "0", "learned": "1"}.items()})
    (line,) = headline_answers(both).duel
    assert line.startswith("learned against prompted: +100.0 points (no test with one task), at ")
    assert _told(found)[1]["told"] == "100.0 % of 1 tasks; 100 tokens per episode; +100.0 points against none"
    none = comparison({"none": arm_episodes("none", (), "e"), "all": arm_episodes("all", (), "1")})
    assert _told(none)[1]["told"] == "100.0 % of 1 tasks; 100 tokens per episode"


def test_names_are_escaped_in_latex_and_markdown() -> None:
    strange = comparison({"none": arm_episodes("none", (), "01"), "best_fixed": arm_episodes("best_fixed", (), "11")})
    table = next(table for table in comparison_tables(strange) if table.name == "success")
    assert r"best\_fixed" in latex(table) and r"best\_fixed" in markdown(table)
    starred = replace(table, rows=((TableCell("*best"), *table.rows[0][1:]), *table.rows[1:]))
    assert "\n{*}best &" in latex(starred)  # else the star is that of the line break before it


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        (
            {"none": "0101", "all": "0001"},
            "none solves 50.0 % of the episodes, the most of 2 arms; it is the plain agent",
        ),
        ({"all": "0011"}, "it has no plain agent beside it"),
        ({"none": "eeee", "all": "0011"}, "it shares no verdict with none"),
        ({"none": "eeee"}, "No episode of any arm has a verdict"),
        ({"none": "0101"}, "none solves 50.0 % of the episodes; it is the plain agent itself."),
        ({"none": "0000"}, "No episode was solved: 0.0 ["),
        ({"none": "01", "all": "11", "irma": "11", "rule": "11"}, "irma solves 100.0 % of the episodes"),
        ({"none": "01", "all": "11", "irma": "11", "rule": "11"}, "rule and all solve as many."),
        ({"none": "0000", "all": "0000"}, "No episode of the 2 arms was solved: 0.0 ["),
        ({"none": "0000", "all": "0001"}, "not a clear difference with 4 tasks"),
    ],
)
def test_words_for_every_end(tmp_path: Path, arms: dict[str, str], expected: str) -> None:
    episodes = {arm: arm_episodes(arm, ("DCE",) if arm == "all" else (), outcomes) for arm, outcomes in arms.items()}
    got = comparison(episodes, (Interval(None, None, None, 0), "the do-nothing score is without 1 of 1 tasks: gone"))
    assert expected in headline_answers(got).headline
    (tmp_path / COMPARISON).write_text(got.model_dump_json(), encoding="utf-8")
    written = write_report(tmp_path)
    assert written.transcripts == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "there are no transcripts here" in page and "the do-nothing score is without 1 of 1 tasks: gone" in page


def test_wandb_logs_offline_and_inside_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    assert main(["report", str(folder), "--wandb"]) == 0
    (run,) = folder.glob("wandb/offline-run-*")
    files = {path.name.split("_")[0] for path in run.rglob("media/**/*") if path.is_file()}
    assert {"success", "differences", "cost"} <= files
    assert {name for name in os.environ if name.startswith("WANDB")} <= {"WANDB_SERVICE"}  # wandb's own, until it ends


def test_a_folder_without_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "comparison.json: does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["learned_arm", "arms.1.versus_none.versus", "arms.1.versus_learned.versus"])
def test_a_comparison_that_names_an_arm_it_does_not_hold(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    told = json.loads((folder / COMPARISON).read_text())
    told["arms"][1]["versus_learned"] = told["arms"][1]["versus_none"].copy()
    *way, last = place.split(".")
    inner = told
    for part in way:
        inner = inner[int(part) if part.isdigit() else part]
    inner[last] = "gone"
    (tmp_path / COMPARISON).write_text(json.dumps(told))
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{COMPARISON}: {place}: 'gone' is none of its arms, none" in error and error.count("\n") == 1
    assert "run `fama compare` again" in error


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_sorts_a_table_and_opens_an_episode(folder: Path, tmp_path: Path) -> None:
    """Driven from a copy of the page whose policy also allows the test's own script."""
    text, _ = read(folder)
    drive = """
      document.querySelector('#table-success thead th:nth-child(2) button').click();
      const order = [...document.querySelectorAll('#table-success tbody th')].map((cell) => cell.textContent);
      document.querySelector('button.cell[data-task=t0][data-arm=learned]').click();
      const shown = document.querySelector('#episode[open] #turns').textContent;
      document.title = JSON.stringify({ order, shown, hash: location.hash });
    """
    page = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", text).replace(
        "</body>", f"<script>{drive}</script></body>"
    )
    (tmp_path / "driven.html").write_text(page, encoding="utf-8")

    def dump(path: Path, fragment: str = "") -> str:
        command = [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=2000",
            "--dump-dom",
        ]
        done = subprocess.run(
            [*command, f"{path.as_uri()}{fragment}"], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    title = re.search(r"<title>(.*?)</title>", dump(tmp_path / "driven.html"), re.DOTALL)
    assert title is not None
    seen: dict[str, Any] = json.loads(title[1].replace("&amp;", "&"))
    assert seen["order"] == ["none", "prompted", "learned"] and seen["hash"] == "#learned-t0-0"
    assert "note by DCE" in seen["shown"] and "rejected note by TSA: no such tool" in seen["shown"]
    # the page as it is, under its own policy: the address opens the episode, so script and style were let through
    assert '<dialog id="episode" aria-labelledby="episode-title" open' in dump(folder / "report.html", "#learned-t0-0")


@contextmanager
def committed_page(folder: Path) -> Iterator[Any]:
    """A browser on the report of the committed comparison of eight arms."""
    shutil.copytree(ROOT / "results" / "helpdesk" / "compare", folder / "compare")
    assert main(["report", str(folder / "compare")]) == 0
    with opened_browser(folder / "profile") as browser:
        browser.get((folder / "compare" / "report.html").as_uri())
        yield browser


@pytest.mark.slow
@needs_browser
def test_pointing_at_a_mark_tells_its_arm_and_dims_the_others(tmp_path: Path) -> None:
    told = read_comparison(ROOT / "results" / "helpdesk" / "compare")
    solved = {
        arm.arm: f"{arm.arm} {percent(arm.measures.success)} % of {arm.measures.tasks} tasks" for arm in told.arms
    }
    place = str([arm.arm for arm in told.arms].index("prompted"))
    with committed_page(tmp_path) as browser:
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.by import By

        tip = browser.find_element(By.CSS_SELECTOR, ".tip")
        assert not tip.is_displayed()
        label = browser.find_element(By.XPATH, "//*[name()='svg']//*[name()='text'][text()='prompted']")
        ActionChains(browser).move_to_element(label).perform()
        assert tip.is_displayed() and tip.text.startswith(f"{solved['prompted']}; ")
        seen = browser.execute_script(
            "return [...document.querySelectorAll(\"svg [id*='-arm.']\")].map((n) => [n.id, n.getAttribute('opacity')])"
        )
        lit = {re.sub(r"^.*-arm", "arm", name).split(".")[1] for name, opacity in seen if opacity == "1"}
        assert lit == {place} and len({name for name, _ in seen}) == len(seen) > 30
        head = browser.find_element(By.XPATH, "//table[@id='table-success']//tbody//th[text()='random']")
        ActionChains(browser).move_to_element(head).perform()
        assert tip.text.startswith(solved["random"])
        ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
        assert not tip.is_displayed()


@pytest.mark.slow
@needs_browser
def test_tables_fit_a_window_of_1400_pixels_and_heads_stand_over_their_columns(tmp_path: Path) -> None:
    board = tmp_path / "board" / "leaderboard.html"
    assert main(["report", str(ROOT / "results" / "helpdesk" / "compare"), "--leaderboard", str(board.parent)]) == 0
    with committed_page(tmp_path) as browser:
        for address in (browser.current_url, board.as_uri()):
            browser.get(address)
            for width in (1400, 500):
                browser.set_window_size(width, 900)
                assert browser.execute_script("return document.body.scrollWidth <= window.innerWidth"), (address, width)
            browser.set_window_size(1400, 900)
            hidden = browser.execute_script(
                "return [...document.querySelectorAll('.wide')].map((e) => e.scrollWidth - e.clientWidth)"
            )
            assert len(hidden) >= 2 and max(hidden) == 0, address
        gaps = browser.execute_script(
            "const end = (e) => {const r = document.createRange(); r.selectNodeContents(e);"
            " return r.getBoundingClientRect().right};"
            "const [head, row] = document.querySelectorAll('table')[0].querySelectorAll('tr');"
            "return [1, 3, 4].map((i) => Math.abs(end(head.cells[i]) - end(row.cells[i])))"
        )
        assert max(gaps) < 1, "right ends of a head's and of a cell's text"


@pytest.mark.slow
@needs_browser
def test_a_printed_page_of_eight_arms_is_as_wide_as_its_paper(tmp_path: Path) -> None:
    """A4 between margins of 1 cm is 717 CSS pixels wide."""
    with committed_page(tmp_path) as browser:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        size = {"width": 717, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        tables = browser.execute_script("return document.querySelectorAll('table').length")
    assert tables >= 6 and wide <= 717


def test_the_tokens_of_a_duel_are_of_the_same_tasks() -> None:
    """Learned ends in an error on the five dear tasks: on the five that both finish it costs as much as prompted."""

    def of(arm: str, dear: Status) -> list[Episode]:
        return [build(f"t{i}", arm, "success" if i < 5 else dear, agent=100 if i < 5 else 1000) for i in range(10)]

    found = comparison(
        {"none": of("none", "failure"), "prompted": of("prompted", "failure"), "learned": of("learned", "error")}
    )
    assert headline_answers(found).duel[0].endswith("at 1.00 times its tokens.")
