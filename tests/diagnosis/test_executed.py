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


def test_what_a_label_rests_on() -> None:
    taxonomy = load_taxonomy()
    quiet = episode(user("Hi."), agent("Hello."), user("Bye."))
    assert rests_on(asyncio.run(diagnose_episode(quiet, None, taxonomy)).label) == "nothing"
    loop = episode(user("Hi."), *[call("get_order", "x", order_id="1") for _ in range(4)])
    assert rests_on(asyncio.run(diagnose_episode(loop, None, taxonomy)).label) == "dialogue"


def test_the_command_takes_mined_repairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mined = tmp_path / "mined"
    shutil.copytree(MINED, mined)
    for packed in mined.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
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
