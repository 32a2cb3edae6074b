"""The paper's grid: each cell's command dry-runs as the page shows it, and what a plan multiplies, by hand."""

import re
import shlex
import socket
from pathlib import Path
from typing import Any

import pytest

from eval.planning.cards import CARD, SHARE, Architecture, read_backbones
from eval.planning.comparison_plan import plan_comparison
from eval.planning.expected import Range, Tokens, expect
from eval.planning.paper_grid import BASE, STRATEGIES, grid_cells
from eval.planning.sample_size import GUESS, planned_spread
from eval.planning.workload import AskedHelper, Basis, Contrast, TokenLoad, Workload, find_basis, read_workloads
from eval.publish import paper_grid as tables
from eval.stats.power import detectable_effect, planned_sd
from fama.cli import main
from fama.errors import BadInput
from fama.helpers.llm_form import REPLY_TOKENS
from fama.helpers.pool import build_pool
from fama.intervals import Interval
from fama.selection.base import SELECTORS, AnySelector, SelectorContext
from fama.selection.helper_choice import default_reply_tokens
from fama.selection.traits import SelectorTraits, declare
from fama.settings import CompareSettings
from tests.support.outcome_rows import row

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "paper-grid.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^fama (compare --config .*)$", PAGE, re.M)
TASKS = {"agent_multi_turn": 30, "airline": 50, "retail": 115, "telecom": 18, "telehealth": 20}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no checkout, no checkpoint of the grid."""

    def refuse(*_: object) -> None:
        raise AssertionError("asked the network")

    for name in ("FAMA_TAU_BENCH", "FAMA_TAU_TRAIT", "FAMA_ACEBENCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FAMA_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(ROOT)


def test_the_page_shows_every_cell_once() -> None:
    grid = list(grid_cells())
    assert len(COMMANDS) == len(grid) == len(TASKS) * len(read_backbones()) * len(STRATEGIES) == 40
    assert [f"fama {command}" for command in COMMANDS] == [cell.command for cell in grid]
    assert len({cell.out for cell in grid}) == len(grid)
    first = (ROOT / BASE).read_text(encoding="utf-8").partition("trials:")[0]
    assert all(f"{name}" in first for name in read_backbones())
    assert re.findall(r"strategy=(\w+)", first) == ["react", "fc"] and set(STRATEGIES) == {"react", "fc"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.rpartition("runs/paper/")[2].split()[0])
def test_every_cell_dry_runs(command: str, bare: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)
    out = Path(words[words.index("--out") + 1])
    already = out.exists()
    assert main([*words, "--plan"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    domain = next(cell.settings.domain for cell in grid_cells() if cell.words == words)
    tasks = TASKS[domain]
    assert f"4 arms × {tasks} tasks × 5 trials = {20 * tasks} episodes" in shown
    missing = re.findall(r"Missing before the run: (\S+ ?\w*):", shown)
    assert [one.split("/")[0].split()[0] for one in missing] == ["benchmark", "checkpoints"]
    assert out.exists() is already
    if domain == "agent_multi_turn":
        assert "about unknown tokens" in shown and "Basis: none of acebench" in shown
    else:
        assert "GPU hours at 1,000 new tokens per second and card" in shown and "logged episodes of" in shown


def test_the_plan_says_what_the_table_says(bare: None, capsys: pytest.CaptureFixture[str]) -> None:
    cell = next(cell for cell in grid_cells() if cell.settings.domain == "retail" and cell.strategy == "fc")
    plan = cell.plan()
    assert plan.expected is not None and plan.own.varying is not None and plan.own.varying.detectable is not None
    assert main([*cell.words, "--plan", "--tokens-per-second", "500"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    hours = plan.expected.hours(500)
    assert f"GPU hours at 500 new tokens per second and card: {hours.low:.2f} to {hours.high:.1f} for the" in shown
    assert hours.high == pytest.approx(2 * plan.expected.hours(1000).high)
    line = next(line for line in tables.grid().splitlines() if "| tau_bench retail | Qwen3-4B | fc |" in line)
    cells_of = [part.strip() for part in line.strip("|").split("|")]
    assert cells_of[3:5] == ["115 × 5 × 4", "2,300"] and line in PAGE
    spread = plan.spread
    assert spread.between is not None
    sd = planned_sd(spread.discordance + spread.between, 5, spread.between)
    alike, varying = (detectable_effect(one, 115, trials=5) for one in (planned_sd(spread.discordance, 5), sd))
    holm = detectable_effect(sd, 115, 0.05 / 3, 5)
    assert alike and varying and holm
    assert cells_of[11:14] == [f"{100 * one:.1f}" for one in (alike, varying, holm)]


def test_a_rate_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for rate in ("0", "-3", "nan", "inf", "many"):
        assert main(["compare", "--plan", "--tokens-per-second", rate]) == 2
        assert "tokens-per-second" in capsys.readouterr().err


def test_what_is_wrong_is_still_refused(bare: None, tmp_path: Path) -> None:
    grid = {"benchmark": "tau_bench", "domain": "airline", "split": "test", "user_model": {"name": "u"}}
    for wrong, said in (
        ({"arms": [{"name": "none"}, {"name": "nobody"}]}, "unknown selector 'nobody'"),
        ({"arms": [{"name": "none"}, {"name": "none"}]}, "two are called 'none'"),
        ({"arms": []}, "none given"),
        ({"tasks": []}, "none are named"),
        ({"arms": [{"name": "learned", "options": {"checkpoint": str(tmp_path)}}]}, "no router checkpoint"),
    ):
        with pytest.raises(BadInput, match=said):
            plan_comparison(CompareSettings.model_validate({**grid, **wrong}), tmp_path / "out")


def of(value: float, n: int = 2) -> Interval:
    return Interval(value, value, value, n)


def asked(calls: float, read: float, question: float) -> AskedHelper:
    return AskedHelper(calls=of(calls), read=of(read), question=of(question))


def workload(**changes: Any) -> Workload:
    """Ten decisions that read 1,000 tokens, 100 of them fresh, and write 50."""
    load = TokenLoad(read=of(1000), fresh=of(100), written=of(50))
    values: dict[str, Any] = {
        "benchmark": "toy",
        "domain": "d",
        "backbone": "B",
        "strategy": "fc",
        "episodes": 6,
        "decisions": of(10),
        "agent": load,
        "user": TokenLoad(read=of(40), fresh=of(20), written=of(10)),
        "helpers": {"TSA": asked(10, 1200, 200), "DCE": asked(5, 600, 100)},
        "all_helpers": asked(15, 1800, 300),
        "selection": of(300),
        "opening": 80,
        "longest": 190,
        "success": of(0.25),
        "discordance": of(0.2),
        "pairs": 30,
    }
    return Workload.model_validate({**values, **changes})


def test_expected_tokens_by_hand() -> None:
    tree: dict[str, Any] = {
        "trials": 3,
        "strategy": "fc",
        "helpers": {"pool": ["TSA", "DCE"], "form": "llm"},
        "arms": [{"name": "none"}, {"name": "all"}, {"name": "prompted"}, {"name": "learned"}],
    }
    settings = CompareSettings.model_validate(tree)
    helpers = build_pool(settings.helpers)
    subsets = {"none": (), "all": ("TSA", "DCE"), "prompted": None, "learned": None}
    basis = Basis(workload(), ())
    found = expect(settings, 2, basis, helpers, subsets)
    assert found is not None
    assert found.agent == Tokens(Range(24_000, 24_000), Range(2400, 2400), Range(1200, 1200))  # 24 episodes
    assert found.user.new == Range(24 * 30, 24 * 30)
    notes = 10 * helpers["TSA"].token_cap + 5 * helpers["DCE"].token_cap
    reply = default_reply_tokens(("TSA", "DCE"))
    # all asks both; prompted and learned ask between none and both; prompted reads its own 300 tokens once
    assert found.added.read == Range(6 * (1800 + 300), 6 * (3 * (1800 + notes) + 300))
    assert found.added.fresh == Range(6 * (300 + 300), 6 * (3 * (300 + notes + 50) + 300))
    assert found.added.written == Range(6 * (15 + 1), 6 * (3 * 15 * REPLY_TOKENS + reply))
    new = found.agent.new + found.added.new
    assert found.hours(1000).low == pytest.approx(new.low / 3.6e6)
    turn = expect(settings.model_copy(update={"cadence": "turn"}), 2, basis, helpers, subsets)
    assert turn is not None and turn.added.read.low - found.added.read.low == 6 * 9 * 300
    seldom = expect(settings.model_copy(update={"cadence": "change"}), 2, basis, helpers, subsets)
    assert seldom is not None and seldom.added.written.low == 6 * 15 and seldom.added.read.high == turn.added.read.high
    assert expect(settings, 2, None, helpers, subsets) is None
    for changed in (
        {"helpers": {"pool": ["TSA", "DCE"], "form": "separate"}},
        {"helpers": {"pool": ["TSA", "Verifier"], "form": "llm"}},  # the Verifier was not in the workload
        {"arms": [{"name": "prompted", "options": {"form": "on_prefix"}}]},
    ):
        other = CompareSettings.model_validate({**tree, **changed})
        pool = build_pool(other.helpers)
        named = {arm.arm: None for arm in other.arms}
        assert expect(other, 2, basis, pool, named) is None
    computed = CompareSettings.model_validate({**tree, "helpers": {"pool": ["TSA"]}, "arms": [{"name": "all"}]})
    template = expect(computed, 2, basis, build_pool(computed.helpers), {"all": ("TSA",)})
    assert template is not None and template.added.written == Range(0, 0)
    assert template.added.fresh == Range(0, 6 * (10 * helpers["TSA"].token_cap + 50))


def test_a_selector_of_others_may_ask_a_model_for_unknown_tokens() -> None:
    def build(context: SelectorContext, **options: object) -> AnySelector:
        return SELECTORS.load("none")(context)

    SELECTORS.add("asker", lambda context, **options: build(context))  # declares nothing
    SELECTORS.add("counter", declare(SelectorTraits(asks_model=False))(build))
    try:
        found = {}
        for name in ("asker", "counter"):
            tree = {"strategy": "fc", "helpers": {"pool": ["TSA"]}, "arms": [{"name": name}]}
            settings = CompareSettings.model_validate(tree)
            found[name] = expect(settings, 2, Basis(workload(), ()), build_pool(settings.helpers), {name: ("TSA",)})
    finally:
        SELECTORS.remove("asker")
        SELECTORS.remove("counter")
    assert found["asker"] is None
    assert found["counter"] is not None and found["counter"].added.written == Range(0, 0)


def test_the_nearest_logs_stand_for_a_cell() -> None:
    logged = read_workloads().workloads

    def nearest(domain: str, strategy: str, model: str) -> tuple[str, str, tuple[str, ...]] | None:
        about = {"benchmark": "tau_bench", "domain": domain, "strategy": strategy, "model": {"name": model}}
        basis = find_basis(CompareSettings.model_validate(about), logged)
        return basis and (basis.workload.backbone, basis.workload.strategy, basis.differs)

    assert nearest("airline", "react", "Qwen/Qwen3-4B") == ("Qwen3-4B", "react", ())
    assert nearest("airline", "fc", "gpt-4o") == ("gpt-4o", "fc", ())
    assert nearest("airline", "react", "gpt-4o") == ("Qwen3-4B", "react", ("backbone",))
    assert nearest("retail", "react", "Qwen/Qwen3-14B") == ("Qwen3-4B", "fc", ("strategy", "backbone"))
    assert nearest("hotel", "fc", "gpt-4o") is None


def test_spread_by_hand() -> None:
    about = {"benchmark": "toy", "backbone": "B", "strategies": ("fc", "act"), "tasks": 9, "discordance": 0.3}
    narrow, wide, far = (
        Contrast.model_validate({**about, "domain": domain, "between": between})
        for domain, between in (("d", 0.01), ("d", 0.02), ("elsewhere", 0.5))
    )
    spread = planned_spread([], "", Basis(workload(), ()), (narrow, wide, far))
    assert (spread.discordance, spread.between) == (0.2, 0.02)
    assert spread.source == "as two trials of one arm: 30 pairs of 6 logged episodes of B, fc, which solve 25%"
    assert planned_spread([], "", Basis(workload(domain="e"), ()), (narrow, far)).between == 0.5
    single = planned_spread([], "", Basis(workload(discordance=None, pairs=0), ("backbone",)), ())
    assert (single.discordance, single.between) == (2 * 0.25 * 0.75, None)
    assert single.source.startswith("at most, were all tasks alike: 6 logged episodes of B, fc, another backbone")
    assert planned_spread([], "", Basis(workload(discordance=of(0.0, 30)), ()), ()).discordance == 3 / 30
    assert planned_spread([], "", None, (wide,)) == (GUESS, None, planned_spread([], "", None, ()).source)
    rows = [row("a", "", True), row("a", "TSA", False)]
    assert planned_spread(rows, "t.parquet", Basis(workload(), ()), (wide,)).discordance == 1.0


def test_parameters_are_the_published_ones() -> None:
    found = {name.rpartition("/")[2]: one.parameters for name, one in read_backbones().items()}
    assert found == {
        "Qwen3-4B": 4_022_468_096,
        "Qwen3-14B": 14_768_307_200,
        "Qwen3-32B": 32_762_123_264,
        "Qwen2.5-72B-Instruct": 72_706_203_648,
    }
    tiny = Architecture(
        vocabulary=10, hidden=4, intermediate=6, layers=2, heads=2, kv_heads=1, head=3, tied=True, qk_norm=True,
        qkv_bias=True,
    )  # fmt: skip
    # a layer: q and o 24 each, k and v 12 each, biases 12, norms 6, three matrices of 24, two norms of 4
    assert tiny.parameters == 40 + 2 * (24 + 24 + 12 + 12 + 12 + 6 + 72 + 8) + 4
    assert tiny.token_bytes == 2 * 2 * 2 * 3
    large = read_backbones()["Qwen/Qwen3-32B"]
    room = int((CARD * SHARE - large.weight_bytes) / large.token_bytes)
    assert [large.cards(tokens) for tokens in (room, room + 1)] == [1, 2]
    assert large.cards(int((2 * CARD * SHARE - large.weight_bytes) / large.token_bytes) + 1) == 4
