"""Executed evidence: what mining showed outranks what was read, and a label says what it rests on."""

import asyncio
import gzip
import json
import shutil
from pathlib import Path

import pytest

from eval.commands.diagnose import executed
from fama.cli import main
from fama.diagnosis.diagnose import diagnose_episode
from fama.diagnosis.orchestrator import rests_on
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Evidence
from fama.episodes.store import read_failures
from fama.models.scripted import ScriptedModel
from tests.support.diagnosis_cases import RETURN, agent, call, episode, gold, user

MINED = Path(__file__).resolve().parents[2] / "results/helpdesk/repairs-train"
LOST = episode(user("Return item 4001."), agent("No."), user("Bye."), actions=(gold(RETURN, item_ids=["4001"]),))


def test_a_repair_gives_the_step_and_outranks_the_reference() -> None:
    shown = Evidence(source="executed:repair", category="CM", step=2, quote="with 1 note")
    taxonomy = load_taxonomy()
    read = asyncio.run(diagnose_episode(LOST, None, taxonomy)).label
    assert (read.primary, rests_on(read)) == (("IFU",), "reference")
    label = asyncio.run(diagnose_episode(LOST, None, taxonomy, executed={LOST.id: shown})).label
    assert (label.primary, label.step, label.blame, rests_on(label)) == (("CM",), 2, "agent", "executed")
    assert label.confidence is not None and label.confidence <= 1
    other = asyncio.run(diagnose_episode(LOST, None, taxonomy, executed={"another": shown})).label
    assert other == read


@pytest.mark.parametrize("use_evidence", [True, False])
def test_a_repair_outranks_a_judge(use_evidence: bool) -> None:
    shown = Evidence(source="executed:repair", category="CM", step=2, quote="with 1 note")
    told = {"reason": "r", "present": True, "step": 1, "primary": ["DCV"], "blame": "user", "rationale": "r"}
    judge = ScriptedModel("j", lambda _: json.dumps(told))
    found = diagnose_episode(LOST, judge, load_taxonomy(), executed={LOST.id: shown}, use_evidence=use_evidence)
    label, rows = asyncio.run(found)
    assert (label.primary, label.step, label.blame, rests_on(label)) == (("CM",), 2, "agent", "executed")
    assert label.labeller.startswith("judge:j") and {row.role for row in rows} == {"analyst"}
    assert any(item.source.startswith("gold:") for item in label.evidence) is use_evidence
    read = asyncio.run(diagnose_episode(LOST, judge, load_taxonomy(), use_evidence=use_evidence)).label
    assert (read.primary, read.step, read.blame) == (("DCV",), 1, "user")


def test_a_category_of_ones_own_taxonomy_is_that_of_the_helpers_it_names(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    names = ", ".join(("DCE", "TSA", "TOR", "Planner", "Verifier", "Memory"))
    own.write_text(f"version: own/1\ncategories: [{{code: LOST, name: l, definition: d, helpers: [{names}]}}]")
    found = executed(unpacked(tmp_path / "mined"), load_taxonomy(own))
    assert len(found) == 3 and {one.category for one in found.values()} == {"LOST"}


def unpacked(folder: Path) -> Path:
    shutil.copytree(MINED, folder)
    for packed in folder.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return folder


def test_what_a_label_rests_on() -> None:
    taxonomy = load_taxonomy()
    quiet = episode(user("Hi."), agent("Hello."), user("Bye."))
    assert rests_on(asyncio.run(diagnose_episode(quiet, None, taxonomy)).label) == "nothing"
    loop = episode(user("Hi."), *[call("get_order", "x", order_id="1") for _ in range(4)])
    assert rests_on(asyncio.run(diagnose_episode(loop, None, taxonomy)).label) == "dialogue"


def test_the_command_takes_mined_repairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mined = unpacked(tmp_path / "mined")
    lines = (mined / "repairs.jsonl").read_text(encoding="utf-8").splitlines()
    repaired = [r for r in map(json.loads, lines) if r["kind"] == "failed" and r["repair"]]
    found = executed(mined, load_taxonomy())
    assert found.keys() == {record["episode_id"] for record in repaired} and len(found) == 3
    assert {e.step for e in found.values()} == {record["step"] for record in repaired}
    code = main(["diagnose", str(mined / "plain"), "--out", str(tmp_path / "labels"), "--repairs", str(mined)])
    assert code == 0 and "executed 3" in " ".join(capsys.readouterr().out.split())
    labels = {label.episode_id: label for label in read_failures(tmp_path / "labels")}
    assert all(rests_on(labels[one]) == "executed" for one in found)
    assert main(["diagnose", str(mined / "plain"), "--out", str(tmp_path / "x"), "--repairs", str(tmp_path)]) == 2
