"""The benchmark scripts on toy sizes: what they measure is right; how fast it is says nothing here."""

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.store import read_episodes
from fama.models.connect import connect
from fama.models.servers.llama_cpp import PROMPT_CACHE_MIB, ServerSpec
from fama.settings import ExperimentSettings, ModelSettings
from perf import capacity, helper_prompts, prefix_reuse, profiles, publish
from perf.record import RESULTS
from perf.tier import run as tier
from tests.support.fake_endpoint import Answer, Endpoint, said
from tests.support.tiny_encoder import write_tiny_encoder

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "perf"


def measured(name: str, out: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Rows of a script's file by what they measure. A limit that a busy machine passes (exit code 1) is no fault."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *arguments, "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=250,
        env=environment,
    )
    assert done.returncode in (0, 1) and "limit" in done.stdout, done.stderr
    return {row["what"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}


def test_loop_overhead(tmp_path: Path) -> None:
    rows = measured("loop_overhead", tmp_path / "out.json", "--episodes", "2", "--longest", "20", "--tau2", "0")
    assert rows["run, selector all"]["decisions"] == 30
    assert all(row["decisions per second"] > 0 for row in rows.values() if "decisions per second" in row)
    assert rows["run, selector all"]["ms of CPU per decision"] > rows["run, selector none"]["ms of CPU per decision"]
    assert rows["one episode of 20 decisions"]["decisions"] == 160


@pytest.mark.slow
def test_the_same_scripted_tasks_under_tau2(tmp_path: Path) -> None:
    pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    rows = measured("loop_overhead", tmp_path / "out.json", "--episodes", "1", "--longest", "20", "--tau2", "3")
    ours, theirs = (
        rows[f"3 scripted retail tasks, {name}"]["decisions"] for name in ("fama run", "tau2's orchestrator")
    )
    assert ours == theirs > 3
    assert rows["CPU of fama over CPU of tau2"]["ratio"] > 0


@pytest.mark.slow
def test_store_speed(tmp_path: Path) -> None:
    rows = measured("store_speed", tmp_path / "out.json", "--episodes", "200", "--single", "5")
    assert {"append 5 one by one", "append 200 together", "fama score, 20 episodes", "fama score, 200 episodes"} < set(
        rows
    )
    assert rows["SQL filter of 200 by DuckDB"]["peak MB"] > 0


@pytest.mark.slow
def test_import_speed(tmp_path: Path) -> None:
    rows = measured("import_speed", tmp_path / "out.json", "--episodes", "20")
    assert set(rows) == {"fama import tau-bench", "fama score"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "limits", "status"),
    [
        ("import_speed", "--episodes 20", {"kept", "not kept"}, 0),
        ("import_speed", "--no-such-option", {"failed"}, 1),
        ("profiles", "--quick", {"none stated"}, 0),
    ],
)
def test_the_tier_tells_limits_and_failures(
    tmp_path: Path, script: str, arguments: str, limits: set[str], status: int
) -> None:
    words = ["--folder", ".", "--out", "tier.json", "--only", script]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "tier" / "run.py"), *words, f"--arguments={arguments}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=250,
    )
    assert done.returncode == status
    (row,) = json.loads((tmp_path / "tier.json").read_text(encoding="utf-8"))["rows"]
    assert row["what"] == script and row["limits"] in limits
    assert (tmp_path / f"{script}.json").exists() == (row["limits"] != "failed")


@pytest.mark.parametrize(
    ("script", "limits"),
    [
        ("print('limits: 1 s: kept')", "kept"),
        ("print('limits: 1 s: not kept'); status = 1", "not kept"),
        ("print('no limits: shares only')", "none stated"),
        ("out.unlink(); print('limits: 1 s: kept')", "failed"),
        ("print('limits: 1 s'); status = 2", "failed"),
    ],
)
def test_the_tier_tells_what_a_script_says_of_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, limits: str
) -> None:
    (tmp_path / "perf").mkdir()
    lines = ("import pathlib, sys", "out, status = pathlib.Path(sys.argv[2]), 0", "out.write_text('{}')", script)
    (tmp_path / "perf" / "toy.py").write_text("\n".join([*lines, "sys.exit(status)"]), encoding="utf-8")
    monkeypatch.setattr(tier, "ROOT", tmp_path)
    assert tier.run_script("toy", tmp_path, [])["limits"] == limits


def test_a_tier_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(script: str, folder: Path, arguments: list[str]) -> dict[str, Any]:
        asked.append(script)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return {"what": script, "seconds": 60 * len(asked), "limits": "failed" if len(asked) == 2 else "kept"}

    def start(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", "--folder", str(tmp_path), "--out", str(out), *words])
        return tier.main()

    out = tmp_path / "tier.json"
    monkeypatch.setattr(tier, "run_script", run)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert start("--only", *asked[1:], "prefix_reuse") == 0
    assert asked[1:3] == asked[3:5]
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["what"], row["seconds"] // 60, row["limits"]) for row in found["rows"]] == [
        ("import_speed", 1, "kept"),
        ("store_speed", 4, "kept"),
        ("replay_speed", 5, "kept"),
        ("prefix_reuse", 6, "kept"),
    ]
    assert found["note"] == "4 scripts, 16.0 minutes in all"


def test_the_tier_has_every_script_that_saves_a_measurement() -> None:
    saving = {path.stem for path in FOLDER.glob("*.py") if "save(" in path.read_text(encoding="utf-8")}
    assert set(tier.SCRIPTS) == saving - {"record"}


@pytest.mark.slow
def test_replay_speed(tmp_path: Path) -> None:
    rows = measured("replay_speed", tmp_path / "out.json", "--tasks", "4")
    assert set(rows) == {"fama compare", "fama report"}
    assert "800 synthetic rows of 4 tasks, 12 arms" in json.loads((tmp_path / "out.json").read_text())["note"]


@pytest.mark.slow
def test_serving_speed(tmp_path: Path) -> None:
    rows = measured("serving_speed", tmp_path / "out.json", "--quick")
    assert set(rows) == {"helpdesk-linear (linear)", "helpdesk-encoder (encoder)"}
    assert all(row["decisions"] == 3 and row["95 % ms"] >= row["median ms"] > 0 for row in rows.values())


def test_decision_speed(tmp_path: Path) -> None:
    flags = ("--episodes", "1", "--long", "60", "--rounds", "1", "--kind", "linear", "--against", str(ROOT))
    rows = measured("decision_speed", tmp_path / "out.json", *flags)
    assert list(rows) == [f"linear, {what}" for what in ("warm", "cold", "long, first", "long, next")] + [
        "linear, long, no id fits, next"
    ]
    assert rows["linear, warm"]["decisions"] == rows["linear, cold"]["decisions"] == 30
    assert all(row["95 % ms"] >= row["median ms"] > 0 and row["times faster"] > 0 for row in rows.values())


@pytest.mark.slow
def test_serve_load(tmp_path: Path) -> None:
    flags = ("--conversations", "4", "--paused", "16", "--requests", "40", "--pause", "0.05", "--reading", "patterns")
    rows = measured("serve_load", tmp_path / "out.json", *flags, "--think", "0.1", "--record")
    for arrivals in ("in a burst", "staggered"):
        assert rows[f"straight to the upstream, {arrivals}"]["median ms"] >= 50
        assert rows[f"through the endpoint, {arrivals}"]["requests"] == 16
        assert rows[f"overhead, {arrivals}"]["99 % ms"] >= rows[f"overhead, {arrivals}"]["median ms"]
    slower, faster = (rows[f"straight to the upstream, {one}"] for one in ("staggered", "in a burst"))
    assert slower["requests per second"] < faster["requests per second"]
    assert rows["an upstream that answers at once"]["requests"] == 40
    assert rows["resident memory after 40 requests"]["MB"] > 10


@pytest.mark.slow
def test_training_speed(tmp_path: Path) -> None:
    encoder = write_tiny_encoder(tmp_path / "encoder")
    tiny = (f"encoder.name={encoder}", "encoder.window=32", "encoder.lora={rank: 2, alpha: 4}")
    rows = measured("training_speed", tmp_path / "out.json", "--examples", "60", "--set", *tiny)
    assert rows["60 examples, 3 epochs"]["seconds"] > 1 and rows["60 examples, 3 epochs"]["peak MB"] > 100


def test_samples_belong_to_the_innermost_function_of_the_project() -> None:
    """Reading episodes is the work of the project's own readers, whoever they call."""
    module = profiles

    def work() -> None:
        end = time.process_time() + 0.4
        while time.process_time() < end:
            assert next(iter(read_episodes(module.EPISODES))).decisions

    seconds, found = module.sampled(work)
    assert seconds >= 0.4 and sum(found.values()) > 0.8 * seconds
    own = sum(spent for (place, _), spent in found.items() if place.startswith("fama/"))
    assert own > 0.7 * seconds
    table = module.place_rows("toy", seconds, {("a.py f", "numpy"): 0.6, ("b.py g", ""): 0.3, ("c.py h", ""): 0.1}, 2)
    assert [row["share"] for row in table] == [0.6, 0.3, 0.1]
    assert table[0]["in"] == "numpy" and table[2]["function"] == "1 more"


@pytest.mark.slow
def test_profiles(tmp_path: Path) -> None:
    """Every place is listed: which ones are the most expensive is what the script is there to tell."""
    measured("profiles", tmp_path / "out.json", "--quick", "--top", "1000")
    rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"]
    shares: dict[str, list[float]] = {}
    for row in rows:
        shares.setdefault(row["what"], []).append(row["share"])
    assert set(shares) == {"fama run, all helpers", "fama diagnose", "fama train, linear", "fama compare"}
    assert all(sum(each) == pytest.approx(1.0, abs=0.0005 * len(each)) for each in shares.values())  # three digits each
    assert any("fama/diagnosis" in row["function"] for row in rows if row["what"] == "fama diagnose")


class Caching:
    """Answers like a server with a prefix cache of whole messages: a token is four characters.

    ``kept`` are the latest prompts that it holds; None holds all.
    """

    def __init__(self, kept: int | None = None) -> None:
        self._read: deque[str] = deque(maxlen=kept)

    def __call__(self, body: dict[str, Any]) -> Answer:
        text = "".join(f"<{message['role']}>{message['content']}" for message in body["messages"])
        cached = max((len(os.path.commonprefix([text, old])) for old in self._read), default=0)
        self._read.append(text)
        usage = {"prompt_tokens": len(text) // 4, "completion_tokens": 1}
        return said("ok", usage={**usage, "prompt_tokens_details": {"cached_tokens": cached // 4}})


async def test_prefix_reuse(endpoint: Endpoint) -> None:
    module = prefix_reuse
    endpoint.owner, endpoint.answer = "llamacpp", Caching()
    chosen = module._with_notes(module.EPISODES, 2)
    failure = next(e for e in read_episodes(module.EPISODES) if e.outcome.status == "failure")
    async with connect(ModelSettings(name="served", base_url=endpoint.base_url)) as model:
        rows = {row["what"]: row for row in await module.measure(model, chosen, failure, 2)}
    decisions = sum(len(episode.decisions) for episode in chosen)
    assert [rows[name]["calls"] for name in module.VARIANTS] == [decisions] * 3
    last, first, kept = (rows[name] for name in module.VARIANTS)
    assert last["cached share"] > 0.5 > first["cached share"]
    assert kept["input tokens"] > last["input tokens"]
    shared, apart = rows["four analysts on one prefix"], rows["four analysts, four prompts"]
    assert shared["calls"] == apart["calls"] == 4
    assert shared["cached share"] > 0.5 and apart["cached share"] < 0.1
    assert len(endpoint.asked) == 3 * decisions + 8


async def test_helper_prompts(endpoint: Endpoint) -> None:
    endpoint.owner, endpoint.answer = "llamacpp", Caching()
    tasks = ("shop-train-0004", "shop-train-0015")
    chosen = [episode for episode in read_episodes(helper_prompts.EPISODES) if episode.task_id in tasks]
    async with connect(ModelSettings(name="served", base_url=endpoint.base_url)) as model:
        rows = {row["what"]: row for row in await helper_prompts.measure(model, chosen, ExperimentSettings())}
    decisions = sum(len(episode.decisions) for episode in chosen)
    for form, selector in helper_prompts.VARIANTS:
        assert rows[f"selector, {selector}"]["calls"] == rows[f"agent beside {form}"]["calls"] == decisions
        assert rows[f"all, {form}"]["calls"] == rows[f"helper, {form}"]["calls"] + 2 * decisions
    llm, separate = rows["helper, llm"], rows["helper, separate"]
    assert separate["calls"] > 2 * decisions
    assert 0 < llm["calls"] < separate["calls"]  # a question is asked where its subject comes up
    sent = {kind: row["input tokens"] / row["calls"] for kind, row in (("llm", llm), ("separate", separate))}
    assert sent["llm"] > sent["separate"] > 5 * llm["new tokens per call"]  # longer, but nearly all cached
    ratio = rows["new tokens of helpers, separate over llm"]["ratio"]
    assert ratio == round(separate["new tokens"] / llm["new tokens"], 2)


def test_helper_prompts_on_servers_with_and_without_memory(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = []

    @contextmanager
    def served(spec: ServerSpec, api_key: str | None = None) -> Iterator[Endpoint]:
        memories.append(spec.prompt_cache_mib)
        endpoint.answer = Caching(1 if spec.prompt_cache_mib == 0 else None)
        yield endpoint

    weights, out = tmp_path / "served.gguf", tmp_path / "out.json"
    weights.touch()
    endpoint.owner = "llamacpp"
    monkeypatch.setattr(helper_prompts, "serve", served)
    monkeypatch.setattr(sys, "argv", ["helper_prompts.py", "--model", str(weights), "--out", str(out)])
    assert helper_prompts.main() == 0
    assert memories == [PROMPT_CACHE_MIB, 0]
    rows = {row["what"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}
    for what in ("all, llm", "all, separate"):
        assert rows[f"{what}; last prompt only"]["input tokens"] == rows[what]["input tokens"]
    ratio = "new tokens of an episode, separate over llm"
    assert rows[f"{ratio}; last prompt only"]["ratio"] > 2 * rows[ratio]["ratio"] > 2


def test_tables_of_the_page_are_made_from_the_measurements(tmp_path: Path) -> None:
    tables = publish
    page = "# P\n<!-- table some -->\nold\n<!-- end some -->\ntext\n<!-- table other -->\n<!-- end other -->\n"
    found: dict[str, Any] = {"note": "toy", "hardware": "one core", "versions": {"python": "3"}, "commit": None}
    found |= {
        "date": "2026-01-01",
        "command": "python some.py",
        "rows": [{"what": "a", "ms": 1.5}, {"what": "b", "ratio": 2000}],
    }
    (tmp_path / "some.json").write_text(json.dumps(found), encoding="utf-8")
    filled = tables.fill(page, tmp_path)
    assert "|  | ms | ratio |\n| --- | ---: | ---: |\n| a | 1.5 |  |\n| b |  | 2,000 |\n" in filled
    assert "old" not in filled and "Not measured yet" in filled and filled.endswith("<!-- end other -->\n")
    assert tables.fill(filled, tmp_path) == filled
    assert "commit unknown, 2026" in filled
    (tmp_path / "some.json").write_text(json.dumps({**found, "commit": "0123456789abcdef-dirty"}), encoding="utf-8")
    assert "commit 0123456789ab with changes, 2026" in tables.fill(page, tmp_path)


def test_the_pages_are_up_to_date() -> None:
    tables = publish
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.fill(text, RESULTS) == text, f"{page.name}: run python perf/publish.py"


def test_capacity_by_hand() -> None:
    """36 million tokens read at 10,000 a second and 3.6 million written at 1,000 a second: two hours."""
    assert capacity.gpu_hours(36e6, 3.6e6, 10_000, 1_000) == pytest.approx(2.0)
    found = capacity.measure_episodes()["none"]
    episodes = [e for e in read_episodes(capacity.EPISODES) if e.selector == "none"]
    assert found.count == len(episodes)
    assert found.read == pytest.approx(sum(row.input_tokens or 0 for e in episodes for row in e.ledger) / len(episodes))
    assert found.packed < found.bytes / 3
    million = capacity.capacity(decisions=found.decisions).splitlines()[-1]
    assert million.startswith("| one million episodes | 1,000,000 |")
