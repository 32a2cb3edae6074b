"""Tables in terminals of 60, 80 and 120 columns: who a row is can be read back, every number is whole."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.cells import cell_len

from eval.ablation.variant_runs import Ablation, AblationCell
from eval.commands import ablate
from fama.cli import main
from fama.commands import select
from fama.commands.terminal import DASH, Column, console, names, numbers, print_table
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.episodes.outcome_table import write_outcomes
from fama.episodes.records import Episode, Source
from fama.episodes.store import write_failures
from fama.intervals import Interval
from fama.selection.base import Selection
from tests.support.eval_builders import build, write_episodes
from tests.support.label_builders import CODES, label
from tests.support.outcome_rows import row
from tests.support.screens import on_screen, printed_lines, squash, whole_rows
from tests.support.toy_world import base, toy_world

WIDTHS = (60, 80, 120)
QWEN = ("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Thinking-2507", "Qwen/Qwen3-4B")
LONG = "learned-with-a-long-name"
Run = Callable[[], object]


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


def logs() -> list[Episode]:
    """Own runs and an imported log whose backbones begin alike; errors, trials of different number, wide numbers."""
    own = [
        build(f"t{task}", LONG, "success" if (task + n) % 3 else "failure", trial, agent=1_234_567 + task).model_copy(
            update={"backbone": name, "id": f"{name}-{task}-{trial}"}
        )
        for n, name in enumerate(QWEN)
        for task in range(6)
        for trial in range(1 + task % 3)
    ]
    broken = build("t9", LONG, "error", backbone=QWEN[0])
    source = Source(importer="tau-bench", file="x.json")
    foreign: dict[str, Any] = {
        "source": source,
        "ledger": (),
        "seconds": None,
        "decisions": (),
        "strategy": "react",
        "backbone": None,
        "selector": None,
    }
    rest = [build(f"t{n}", "x", "failure", id=f"f{n}").model_copy(update=foreign) for n in range(3)]
    return [*own, broken, *rest]


def scored(folder: Path) -> Run:
    write_episodes(folder / "episodes.jsonl", logs())
    return lambda: main(["score", str(folder), "--bootstrap", "200"])


def diagnosed(folder: Path) -> Run:
    write_episodes(folder / "episodes.jsonl", logs())
    command = ["diagnose", str(folder), "--out", str(folder / "labels")]
    assert main(command) == 0  # later runs label nothing again and print the same
    return lambda: main(command)


def selected(folder: Path) -> Run:
    pool = ("DCE", "Memory", "Planner", "TOR", "TSA", "Verifier")
    chosen = [
        select.SelectedDecision(
            f"e{n}",
            f"a-domain-with-a-name/task-{n // 2:04}",
            n % 2,
            Selection(pool[:n], dict.fromkeys(pool, 0.25), None, seconds=0.001),
            ("tau-bench", str(n), QWEN[n % 3], "act", "", ""),
        )
        for n in range(4)
    ]
    return lambda: select._print_table(chosen, pool)


def ran(folder: Path) -> Run:
    config = folder / "r.yaml"
    config.write_text(yaml.safe_dump(base()), encoding="utf-8")
    command = ["run", "--config", str(config), "--out", str(folder / "out"), "trials=2"]
    assert main(command) == 0
    return lambda: main(command)


def compared(folder: Path) -> Run:
    config = folder / "c.yaml"
    alpha = {"name": "fixed", "label": LONG, "options": {"subset": ["Alpha"]}}
    tree = base(arms=[{"name": "none"}, {**alpha, "label": f"{LONG}-2"}, alpha], bootstrap=200, trials=2)
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return lambda: main(["compare", "--config", str(config), "--out", str(folder / "out")])


def planned(folder: Path) -> Run:
    return lambda: main(["compare", "--plan", "tasks=60", "arms=[{name: none}, {name: all}]"])


def collected(folder: Path) -> Run:
    config = folder / "o.yaml"
    config.write_text(yaml.safe_dump(base(per_task=4)), encoding="utf-8")
    return lambda: main(["outcomes", "--config", str(config), "--out", str(folder / "out")])


def valued(folder: Path) -> Run:
    state = '{"policy": "Be kind.", "tools": [], "messages": [{"role": "user", "content": "Hello"}], "turn": 0}'
    here = {"benchmark": "helpdesk", "benchmark_version": Helpdesk().version("shop"), "domain": "shop", "state": state}
    drawn = [row(f"t{n}", subset, n % 3 == 0) for n in range(24) for subset in ("", "TSA")]
    write_outcomes(folder / "o.parquet", [one.model_copy(update=here) for one in drawn], {"synthetic": True})
    arms = f"arms=[{{name: none}}, {{name: fixed, label: {LONG}, options: {{subset: [TSA]}}}}]"
    command = ["value", f"replay={folder / 'o.parquet'}", arms, "split=train", "tasks=24", "--out", str(folder / "v")]
    return lambda: main(command)


def labelled(folder: Path, *raters: str) -> list[str]:
    rng = np.random.default_rng(1)
    codes = [str(code) for code in rng.choice(CODES, 40)]
    for place, rater in enumerate(raters):
        said = [label(i, c if i % (3 + place) else "CM", labeller=rater) for i, c in enumerate(codes)]
        write_failures(folder / f"labels-of-the-annotator-{place}.jsonl", said)
    return [str(folder / f"labels-of-the-annotator-{place}.jsonl") for place in range(len(raters))]


def agreed(folder: Path) -> Run:
    files = labelled(folder, "detectors", "judge:qwen3-4b-instruct", "a person")
    return lambda: main(["agree", *files, "--bootstrap", "200"])


def measured_against(folder: Path) -> Run:
    files = labelled(folder, "detectors", "a person")
    return lambda: main(["agree", files[0], "--reference", files[1], "--bootstrap", "200"])


def combined(folder: Path) -> Run:
    files = labelled(folder, "judge:qwen3-4b-instruct", "judge:qwen3-4b-thinking", "a person")
    return lambda: main(["combine", *files, "--out", str(folder / "out")])


def profiled(folder: Path) -> Run:
    files = labelled(folder, "a", "b")
    return lambda: main(["profile", *files])


def ablated(folder: Path) -> Run:
    measures = {f"measure {n} of it": Interval(0.123 * n, 0.1 * n, 0.2 * n, 9) for n in range(1, 8)}
    cells = [
        AblationCell(
            variant=f"router-with-a-long-name-{name}",
            kind="linear",
            train_rows=rows,
            train_tasks=9,
            test="unseen",
            test_rows=60,
            test_tasks=15,
            measures=measures,
        )
        for name in ("a", "b")
        for rows in (80, 160)
    ]
    about = {"view": "prospective", "reference": "a", "synthetic": True, "data_hash": "d", "settings_hash": "s"}
    found = Ablation.model_validate({**about, "git_commit": None, "command": "fama ablate", "cells": cells})
    return lambda: ablate._show(found)


def listed(*words: str) -> Callable[[Path], Run]:
    return lambda folder: lambda: main(words)


#: first titles of the tables
HEADS = {"benchmark", "backbone, domain, strategy", "task", "measure", "arm", "trials", "subset"}
HEADS |= {"label", "category", "annotator", "labels", "router", "name", "helper"}

#: command → (what makes its input and returns its run, columns of names, least rows)
TABLES: dict[str, tuple[Callable[[Path], Run], int, int]] = {
    "score": (scored, 5, 4),
    "diagnose": (diagnosed, 1, 4),
    "select": (selected, 4, 4),
    "run": (ran, 1, 9),
    "compare": (compared, 1, 3),
    "compare --plan": (planned, 1, 3),
    "outcomes": (collected, 1, 4),
    "value": (valued, 1, 2),
    "agree": (agreed, 1, 5),
    "agree --reference": (measured_against, 1, 5),
    "combine": (combined, 2, 6),
    "profile": (profiled, 1, 2),
    "ablate": (ablated, 2, 4),
    "models list": (listed("models", "list"), 1, 3),
    "benchmarks list": (listed("benchmarks", "list"), 2, 2),
    "helpers list": (listed("helpers", "list"), 1, 6),
}


@pytest.mark.parametrize("command", TABLES)
def test_rows_are_named_and_numbers_whole(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, identity, least = TABLES[command]
    run = prepare(tmp_path)
    run()  # what a command leaves behind it does not do again
    plain = on_screen(None, run, capsys, monkeypatch)
    rows = [cells for cells in whole_rows(plain) if len(cells) > identity and cells[0] not in HEADS]
    assert len(rows) >= least and "…" not in plain
    for width in WIDTHS:
        text = on_screen(width, run, capsys, monkeypatch)
        assert "…" not in text
        lines = printed_lines(text)
        for cells in rows:
            name = squash("".join(cells[:identity]))
            mine = [line for line in lines if line.squashed.startswith(name)]
            assert mine, (width, cells, text)
            shown = [cell for line in mine for cell in line.cells]
            words = " ".join(shown).split()
            for cell in cells[identity:]:
                wrapped = re.search(r"[^\W\d_]", cell) is not None
                folded = all(word in words for word in cell.split()) or squash(cell) in squash("".join(shown))
                assert folded if wrapped else cell in shown, (width, cell, text)


@pytest.mark.parametrize("width", (20, 40, 60, 80, 120))
def test_no_line_is_wider_than_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(name, "airline", f"{n} model", "31.2 [25.0, 38.1]", "漢字") for n, name in enumerate(QWEN)]
    columns = [*names("backbone", "domain"), Column("error", "words"), *numbers("success %", "by")]
    text = on_screen(width, lambda: print_table(console(), columns, rows, "A title"), capsys, monkeypatch)
    assert max(map(cell_len, text.splitlines())) <= width
    squashed = [line.squashed for line in printed_lines(text)]
    for name in QWEN:
        assert any(line.startswith(squash(f"{name}, airline")) for line in squashed), text


def test_each_block_repeats_who_a_row_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [*names("backbone", "strategy"), *numbers(*(f"measure-{n}" for n in range(9)))]
    rows = [(name, "act", *(f"{n}{n}.{n}" for n in range(9))) for name in QWEN]
    text = on_screen(60, lambda: print_table(console(), columns, rows), capsys, monkeypatch)
    blocks = text.split("\n\n")
    assert len(blocks) > 1
    for block in blocks:
        found = [squash(line.name) for line in printed_lines(block)]
        assert found[-3:] == [squash(f"{name}, act") for name in QWEN]
    assert [text.count(f"measure-{n}") for n in range(9)] == [1] * 9


def test_hostile_names_stay_in_their_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("[/x]\x1b[2J a\nb\tc", "1"), ("", "2")]
    text = on_screen(80, lambda: print_table(console(), [*names("arm"), *numbers("n")], rows), capsys, monkeypatch)
    assert "\x1b" not in text and "[/x]\N{REPLACEMENT CHARACTER}[2J a b c" in text
    assert any(line.split() == [DASH, "2"] for line in text.splitlines())


def test_footnotes_name_their_row_and_the_reason_of_a_dash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = on_screen(None, scored(tmp_path), capsys, monkeypatch)
    assert f"toy, shop, {QWEN[0]}, act, {LONG}: pass^1 leaves out 1 task with fewer trials" in text
    assert f"toy, shop, {QWEN[1]}, act, {LONG}: pass^2 leaves out 2 tasks with fewer trials" in text
    assert f"toy, shop, {DASH}, react, {DASH}" not in text.split("95 % intervals")[1]
    assert f"{DASH}: the log does not say (tokens, seconds)" in text
    (row_of_log,) = [cells for cells in whole_rows(text) if "react" in cells]
    assert row_of_log[:5] == ["toy", "shop", DASH, "react", DASH] and row_of_log[-3:] == [DASH] * 3


def test_own_runs_without_usage_blame_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown: dict[str, Any] = {"input_tokens": None, "output_tokens": None}
    episode = build("a", "none")
    ledger = tuple(one.model_copy(update=unknown) for one in episode.ledger)
    write_episodes(tmp_path / "episodes.jsonl", [episode.model_copy(update={"ledger": ledger})])
    text = on_screen(None, lambda: main(["score", str(tmp_path)]), capsys, monkeypatch)
    assert f"{DASH}: the server reported no usage (tokens)" in text and "the log does not say" not in text


def test_selections_come_with_the_health_of_the_router(capsys: pytest.CaptureFixture[str]) -> None:
    same = [
        select.SelectedDecision(f"e{n}", f"d/{n}", 0, Selection(("DCE",), {"DCE": 0.9}, seconds=0.01), ("b",) * 6)
        for n in range(12)
    ]
    select._print_table(same, ("DCE",))
    assert "router: chose the same subset (DCE) at all 12 selections." in " ".join(capsys.readouterr().out.split())
