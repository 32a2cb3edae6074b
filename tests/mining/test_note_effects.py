"""Effects of single notes, counted by hand; intervals over tasks; the folder beside which the form stands."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.publish import repairs_table
from fama import cli
from fama.cli import main
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Note
from fama.errors import BadInput
from fama.intervals import wilson_interval
from fama.mining.mined_folder import RepairFolder, read_repairs
from fama.mining.note_effects import NoteEffects, note_effects
from fama.mining.records import REPAIRS, Intervention, Placed, ProbeOutcome, Repair
from fama.mining.settings import MineSettings
from fama.settings import HelperSettings, ModelSettings

POOL = ("Alpha", "Beta")


def tried(helper: str, *outcomes: ProbeOutcome, **changes: Any) -> list[Intervention]:
    """One note of a helper at each decision, in order."""
    return [
        Intervention(
            decision=turn,
            members=(helper,),
            notes=() if outcome == "no note" else (Note(helper=helper, text="x", tokens=1),),
            outcome=outcome,
            **{"before": "a", "after": "a" if outcome == "same action" else "b", **changes},
        )
        for turn, outcome in enumerate(outcomes)
    ]


def repair(task: str, kind: str, *interventions: Intervention, **changes: Any) -> Repair:
    tree = {
        "episode_id": f"e-{task}-{kind}",
        "benchmark": "b",
        "domain": "d",
        "task_id": task,
        "trial": 0,
        "split": "train",
        "backbone": "m",
        "strategy": "react",
        "pool": POOL,
        "kind": kind,
        "verdict": "mapped" if kind == "solved" else "repaired",
        "interventions": interventions,
        "complete": True,
        "calls": 1,
        "tokens": 1,
        "seconds": 0.0,
    }
    return Repair.model_validate({**tree, **changes})


def folder(tmp_path: Path, name: str, *records: Repair, **helpers: Any) -> Path:
    out = tmp_path / name
    store = RecordStore(out / REPAIRS, Repair)
    for record in records:
        store.append(record)
    settings = {
        **MineSettings().model_dump(mode="json"),
        "model": ModelSettings().model_dump(mode="json"),
        "helpers": HelperSettings.model_validate({"pool": POOL, **helpers}).model_dump(mode="json"),
        "mined": "hash",
    }
    (out / "config.json").write_text(json.dumps({"settings": settings}), encoding="utf-8")
    return out


def effects(*folders: Path) -> dict[tuple[str, str, str | None, str], NoteEffects]:
    found = note_effects([read_repairs(one) for one in folders])
    return {(one.group.helper, one.group.form, one.group.domain, one.group.kind): one for one in found}


def test_counts_by_helper_form_domain_and_kind(tmp_path: Path) -> None:
    first = repair("1", "failed", *tried("Alpha", "success", "same action", "failure", "no note"))
    later = tried("Alpha", "success", given=(Placed(decision=0, members=("Beta",)),))
    joint = Intervention(decision=1, members=POOL, outcome="success")
    second = repair("2", "failed", *tried("Alpha", "error", "same action", "not run"), *later, joint)
    solved = repair("3", "solved", *tried("Beta", "success", "failure", "failure", "same action"))
    found = effects(folder(tmp_path, "one", first, second, solved, forms={"Beta": "llm"}))
    alpha = found.pop(("Alpha", "template", "d", "failed"))
    assert (alpha.asked, alpha.notes, alpha.tasks) == (7, 6, 2)
    assert (alpha.flipped, alpha.changed, alpha.same, alpha.unknown) == (1, 1, 2, 2)
    assert alpha.flipped_share.value == pytest.approx(1 / 4)
    assert (alpha.same_share.value, alpha.same_share.n) == (0.5, 2)
    beta = found.pop(("Beta", "llm", "d", "solved"))
    assert (beta.notes, beta.flipped, beta.changed, beta.same) == (4, 2, 1, 1)
    assert (beta.flipped_share.value, beta.flipped_share.low, beta.flipped_share.n) == (0.5, None, 1)
    assert found == {}


def test_domains_can_be_counted_together(tmp_path: Path) -> None:
    records = [repair("1", "failed", *tried("Alpha", "success")), repair("2", "failed", *tried("Alpha", "failure"))]
    one = folder(tmp_path, "one", records[0], records[1].model_copy(update={"domain": "e"}))
    (over_both,) = note_effects([read_repairs(one)], by_domain=False)
    assert over_both.group.domain is None
    assert (over_both.notes, over_both.tasks, over_both.flipped) == (2, 2, 1)
    assert len(note_effects([read_repairs(one)])) == 2


@pytest.mark.parametrize("changes", [{"backbone": "other"}, {"benchmark": "c"}, {"arm": "all"}])
def test_published_rows_never_stand_for_other_backbones_benchmarks_or_arms(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    one = repair("1", "failed", *tried("Alpha", "success"))
    folders = [folder(tmp_path, "one", one), folder(tmp_path, "two", one.model_copy(update=changes))]
    for table in (repairs_table.effects, repairs_table.effects_in_short):
        assert "Alpha" in table(folders[:1])
        with pytest.raises(BadInput, match="more than one benchmark, backbone, arm or version of its texts; tabulate"):
            table(folders)


def test_notes_of_two_versions_of_a_helpers_texts_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = repair("1", "failed", *tried("Alpha", "success", "failure"))
    folders = [folder(tmp_path, name, record, form="llm") for name in ("second", "third")]
    for version, one in zip("23", folders, strict=True):
        config = json.loads((one / "config.json").read_text())
        prompts = {"helpers/template": "5", "helpers/alpha.v1": "a", f"questions/alpha.v{version}": "b"}
        (one / "config.json").write_text(json.dumps({**config, "prompts": prompts}))
    found = note_effects(map(read_repairs, folders))
    assert [(one.group.texts, one.notes, one.flipped) for one in found] == [("2", 2, 1), ("3", 2, 1)]
    table = repairs_table.effects_of_questions(folders)
    assert "| Alpha | 2 | 2 of 2 | 1 of 2: 50 % | – | – |" in table and "| Alpha | 3 |" in table
    assert main(["effects", *map(str, folders)]) == 0
    assert "texts: version of" in capsys.readouterr().out
    assert main(["effects", str(folders[0])]) == 0
    assert "texts" not in capsys.readouterr().out


def test_one_note_a_task_has_wilsons_interval(tmp_path: Path) -> None:
    records = [repair(str(n), "failed", *tried("Alpha", "success" if n < 3 else "same action")) for n in range(12)]
    (found,) = effects(folder(tmp_path, "one", *records)).values()
    # the ratio's variance over 12 tasks is p(1-p)/11, so the effective size is 11
    assert found.flipped_share == wilson_interval(0.25, 11.0, 12)
    assert found.flipped_share.low is not None and 0.05 < found.flipped_share.low < 0.1
    assert found.changed_share.value == 0.0
    assert found.changed_share.high is not None and 0.2 < found.changed_share.high < 0.35


def test_folders_of_several_forms_are_apart_and_the_same_decision_counts_once(tmp_path: Path) -> None:
    record = repair("1", "failed", *tried("Alpha", "success", "failure"))
    template = folder(tmp_path, "template", record)
    llm = folder(tmp_path, "llm", record, form="llm")
    found = effects(template, llm, template)
    assert {key[1]: (one.flipped, one.notes) for key, one in found.items()} == {"template": (1, 2), "llm": (1, 2)}
    stated = repair("1", "failed", *tried("Alpha:llm", "success"), pool=("Alpha:llm", "Alpha"))
    pool = {"pool": ["Alpha:llm", "Alpha"]}
    assert [key[:2] for key in effects(folder(tmp_path, "both", stated, **pool))] == [("Alpha:llm", "llm")]


def test_a_note_whose_effect_one_folder_knows_is_known(tmp_path: Path) -> None:
    """The first folder's budget ended before the run; it counted as unknown although the second one tells."""
    cut = folder(tmp_path, "cut", repair("1", "failed", *tried("Alpha", "not run", "failure")))
    whole = folder(tmp_path, "whole", repair("1", "failed", *tried("Alpha", "success", "not run")))
    (found,) = effects(cut, whole).values()
    assert (found.flipped, found.changed, found.unknown) == (1, 1, 0)


@pytest.mark.parametrize("arm", [None, "fixed"])
def test_of_two_replies_that_could_not_be_read_nobody_knows_whether_they_are_the_same(
    arm: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unread = tried("Alpha", "failure" if arm else "same action", subset=POOL if arm else None, before=None, after=None)
    read = tried("Alpha", "no note", "same action", subset=POOL if arm else None)
    out = folder(tmp_path, "one", repair("1", "failed", *unread, *read[1:], arm=arm))
    (found,) = effects(out).values()
    assert (found.notes, found.changed, found.same, found.unknown) == (2, 0, 1, 1)
    assert (found.same_share.value, found.same_share.n) == (1.0, 1)
    assert cli.main(["effects", str(out)]) == 0
    assert "or no action could be read with and without it" in " ".join(capsys.readouterr().out.split())


def test_a_yaml_helper_has_the_name_of_its_file_s_content(tmp_path: Path) -> None:
    record = repair("1", "failed", *tried("Mine", "success"), pool=("Alpha", "Mine"))
    (key,) = effects(folder(tmp_path, "one", record, pool=["Alpha", "my/helper.yaml"]))
    assert key[:2] == ("Mine", "llm")


def test_the_command_prints_a_table_a_kind_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [repair(str(n), "failed", *tried("Alpha", "success", "not run")) for n in range(4)]
    out = folder(tmp_path, "one", *records, repair("9", "solved", *tried("Beta", "failure", "same action")))
    assert cli.main(["effects", str(out)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Alpha", "template", "d", "8", "8", "4", "4", "(100"] == lines[2][:8]
    assert ["Beta", "template", "d", "2", "2", "1", "1", "(50)", "0", "(0)", "1", "(50)"] in lines
    assert lines[1][6:] == ["fixed", "changed", "same", "action", "unknown"]
    assert cli.main(["effects", str(out), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["helper"], row["kind"], row["flipped"], row["unknown"]) for row in rows] == [
        ("Alpha", "failed", 4, 4),
        ("Beta", "solved", 1, 0),
    ]
    assert rows[0]["flipped_share"]["n"] == 4


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda out: (out / REPAIRS).unlink(), "holds no repairs.jsonl"),
        (lambda out: (out / "config.json").unlink(), "so the helpers' forms are unknown"),
        (lambda out: (out / "config.json").write_text("{}"), "not the settings of `fama mine`"),
        (lambda out: (out / REPAIRS).write_text(""), "no note was tried"),
    ],
)
def test_bad_input_is_one_line(spoil: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder(tmp_path, "one", repair("1", "failed", *tried("Alpha", "success")))
    spoil(out)
    assert cli.main(["effects", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_another_pool_than_the_settings_is_refused(tmp_path: Path) -> None:
    for number, pool in enumerate((["Alpha"], ["Beta", "Alpha"], ["Alpha", "Beta:template"])):
        out = folder(tmp_path, str(number), repair("1", "failed"), pool=pool)
        with pytest.raises(BadInput, match="the pool of repairs.jsonl is not that of config.json"):
            read_repairs(out)
    of_files = repair("1", "failed", pool=["Alpha", "own"])
    assert read_repairs(folder(tmp_path, "file", of_files, pool=["Alpha", "mine/own.yaml"])).forms["own"] == "llm"
    whole = [repair("1", "failed"), repair("2", "failed", pool=["Beta", "Alpha"])]
    with pytest.raises(BadInput, match="the pool of repairs.jsonl is not that of config.json"):
        read_repairs(folder(tmp_path, "two pools", *whole))


def test_settings_come_back_as_they_were_given(tmp_path: Path) -> None:
    found: RepairFolder = read_repairs(folder(tmp_path, "one", repair("1", "failed"), form="llm"))
    assert found.forms == {"Alpha": "llm", "Beta": "llm"}
    assert found.mine.search == "elimination" and found.mine.model.slots == 1


def test_an_arms_notes_are_apart_from_those_given_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = folder(tmp_path, "plain", repair("1", "failed", *tried("Alpha", "success", "same action")))
    beside = tried("Alpha", "failure", "same action", subset=POOL, before="a", after="b")
    arm = folder(tmp_path, "arm", repair("1", "failed", *beside, arm="fixed", episode_id="other"))
    found = note_effects([read_repairs(arm), read_repairs(plain)])
    counted = [(one.group.arm, one.asked, one.flipped, one.changed, one.same) for one in found]
    assert counted == [(None, 2, 1, 0, 1), ("fixed", 2, 0, 1, 1)]
    assert cli.main(["effects", str(arm), str(plain)]) == 0
    told = capsys.readouterr().out
    assert " arm " in told and "fixed" in told and "beside those of the arm's own helpers" in " ".join(told.split())
    assert cli.main(["effects", str(plain)]) == 0
    assert " arm " not in capsys.readouterr().out
