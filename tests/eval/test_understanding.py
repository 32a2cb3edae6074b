"""The user's understanding against labels: counts by hand, the draw, and the committed labels on their episodes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval.understanding import __main__ as command
from eval.understanding import sample
from eval.understanding.hearing import HeardReply, hear
from eval.understanding.hearing_tables import hearing_errors, lookup_table
from eval.understanding.labelled_replies import (
    DATA,
    LABELS,
    AgentAct,
    LabelledReply,
    ReadReply,
    ReplyPlace,
    read_reply_labels,
)
from eval.understanding.measure import HearingCount, counts, measure_hearing
from fama.envs.helpdesk.tasks import build_task, generator_of
from fama.envs.helpdesk.user.recognition import Heard
from fama.envs.helpdesk.user.scripted_user import ScriptedUser
from fama.errors import BadInput

NOTHING = Heard((), False, False, (), (), False, False, False, False)
OWN = frozenset({"email", "postcode", "order", "item"})


def one(
    task: str,
    heard: Heard,
    asked: tuple[str, ...] = (),
    implied: tuple[str, ...] = (),
    acts: tuple[AgentAct, ...] = (),
    maybe: tuple[AgentAct, ...] = (),
) -> HeardReply:
    place = ReplyPlace(file="f", episode="e", message=2)
    reply = ReadReply(
        place=place,
        backbone="m",
        domain="shop",
        user="",
        text=task,
        asked=asked,
        implied=implied,
        acts=acts,
        maybe=maybe,
    )
    return HeardReply(reply, task, heard, OWN)


def hearing(asked: tuple[str, ...] = (), proposal: bool = False, refusing: tuple[str, ...] = ()) -> Heard:
    return Heard(asked, proposal, False, refusing, (), False, False, False, False)


def test_slots_by_hand() -> None:
    found = counts(one("a", hearing(("email", "order", "item")), asked=("identity", "variant"), implied=("order",)))
    # identity is e-mail and postcode; this user has no variant; the order is implied, so only the item is wrong
    assert found["asked slots"] == HearingCount(hits=1, wrong=1, missed=1)
    assert found["implied slots"] == HearingCount(hits=1, wrong=0, missed=0)
    both = counts(one("a", hearing(("order",)), asked=("order",), implied=("order", "item")))
    assert both["asked slots"] == HearingCount(1, 0, 0) and both["implied slots"] == HearingCount(0, 0, 1)


def test_acts_by_hand() -> None:
    rows = [
        one("a", hearing(proposal=True), acts=("proposal",)),
        one("a", hearing(proposal=True)),
        one("b", hearing(), acts=("proposal",)),
        one("b", hearing(proposal=True), acts=("proposal",)),
        one("c", hearing(proposal=True), maybe=("proposal",)),
        one("c", hearing(refusing=("no",)), acts=("refusal",)),
    ]
    found = {row.row: row for row in measure_hearing(rows)}
    proposal, refusal, report = found["proposal"], found["refusal"], found["report"]
    assert (proposal.said, proposal.heard) == (3, 3)
    assert proposal.precision is not None and proposal.precision.value == pytest.approx(2 / 3)
    assert proposal.recall.value == pytest.approx(2 / 3) and proposal.recall.n == 2
    assert (refusal.recall.value, refusal.recall.n, refusal.recall.low) == (1.0, 1, None)
    assert (report.said, report.heard, report.recall.value) == (0, 0, None)
    assert found["implied slots"].precision is None


def test_what_went_wrong_is_listed() -> None:
    rows = [
        one("is it?", hearing(("order",)), acts=("proposal",)),
        one("lost", hearing(("order",)), implied=("order",), acts=("not_found",)),
    ]
    assert hearing_errors(rows).splitlines() == [
        "asked slots, wrong: m, shop: is it? (heard: order)",
        "proposal, missed: m, shop: is it?",
    ]
    assert lookup_table(rows).splitlines()[-1] == "| m, shop | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"
    assert lookup_table([one("lost", NOTHING, acts=("not_found",))]).endswith("| 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 1 |")


def test_the_draw_is_in_proportion() -> None:
    cells = [(False, False), (False, True), (True, False)]
    assert sample.shares(dict(zip(cells, (50, 30, 20), strict=True)), 4) == dict(zip(cells, (2, 1, 1), strict=True))
    assert sample.shares(dict(zip(cells, (2, 1, 1), strict=True)), 9) == dict(zip(cells, (2, 1, 1), strict=True))
    assert sample.wording("Order W123, a.b@c.example?") == sample.wording("order W9, x@y.example?") == "order #, @?"
    assert sample.cell("Which order?") == (False, True)


def test_a_draw_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.main(["--data", str(tmp_path)]) == 2
    assert "no *episodes.jsonl.gz with replies" in capsys.readouterr().err
    assert sample.main(["--number", "0"]) == 2
    assert capsys.readouterr().err == "--number 0: nothing to draw; give 1 or more\n"


def test_the_committed_labels_are_of_the_committed_draw(capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.main([]) == 0
    drawn = [LabelledReply.model_validate_json(line) for line in capsys.readouterr().out.splitlines()]
    names = set(LabelledReply.model_fields)
    assert drawn == [LabelledReply(**reply.model_dump(include=names)) for reply in read_reply_labels(DATA / LABELS)]


async def test_users_are_played_again_up_to_the_reply() -> None:
    labels = [r for r in read_reply_labels(DATA / LABELS) if r.place.file == "saas-dev/episodes.jsonl.gz"][:5]
    heard = await hear(labels, DATA)
    assert [one.reply for one in heard] == labels and all(one.task.startswith("saas-dev") for one in heard)
    other = labels[0].model_copy(update={"text": "Sure."})
    with pytest.raises(BadInput, match=r"episode \w+, message \d+: other words than those that were labelled"):
        await hear([other], DATA)
    other = labels[0].model_copy(update={"user": "Hello."})
    with pytest.raises(BadInput, match="other words"):
        await hear([other], DATA)
    other = labels[0].model_copy(update={"place": ReplyPlace(file=labels[0].place.file, episode="x", message=2)})
    with pytest.raises(BadInput, match="no episode x; give the data that were labelled"):
        await hear([other], DATA)


async def test_hearing_changes_nothing() -> None:
    domain, task = generator_of("shop").domain, build_task("shop", "shop-dev-0000")
    plain, listening = ScriptedUser(domain, task, 3), ScriptedUser(domain, task, 3)
    for text in ("Please tell me your e-mail and your postcode.", "Which order is it?", "Shall I go ahead?"):
        assert listening.hear(text) == listening.hear(text)
        assert await listening.reply(text) == await plain.reply(text)


def test_bad_labels_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reply = {
        "place": {"file": "f", "episode": "e", "message": 2},
        "backbone": "m",
        "domain": "shop",
        "user": "",
        "text": "x",
    }
    path = tmp_path / "labels.yaml"
    for wrong, message in (
        ({"asked": ["pin"]}, "f: episode e, message 2: shop has no slot 'pin'; known: identity, email, postcode"),
        ({"acts": ["joke"]}, "replies.0.acts.0: Input should be 'proposal'"),
        ({"domain": "zoo"}, "unknown domain 'zoo'"),
    ):
        path.write_text(json.dumps({"replies": [{**reply, **wrong}]}), encoding="utf-8")
        assert command.main(["--labels", str(path)]) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1


def test_the_command_prints_tables_and_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[HeardReply] = []

    async def hear_once(labels: Sequence[ReadReply], data: Path) -> list[HeardReply]:
        heard.extend([] if heard else await hear(labels, data))
        return heard

    monkeypatch.setattr(command, "hear", hear_once)
    assert command.main([]) == 0
    assert "| asked slots | qwen2.5-coder-0.5b, shop | 12 | 11 | 82" in capsys.readouterr().out
    assert command.main(["--errors"]) == 0
    assert "proposal, missed: qwen2.5-coder-1.5b, shop: Do you want to change the address of order W34904?" in (
        capsys.readouterr().out
    )
