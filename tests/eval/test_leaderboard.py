"""The leaderboard: every number is computed again, whatever differs is refused, hostile names stay text."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.compare.schema import Comparison
from eval.metrics.ranking import rank
from eval.report.leaderboard import Leaderboard, build_leaderboard, write_leaderboard
from eval.report.verification import verify
from fama.cli import main
from fama.envs.base import Reward
from fama.errors import BadInput, EnvironmentFault
from fama.helpers.base import HELPERS
from tests.support.comparisons import edit_json, live, table
from tests.support.toy_world import NEEDS, ToyEnvironment, toy_world


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


async def test_what_was_run_passes_and_is_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = await live(tmp_path / "ours", domain="moods", trials=3)
    await live(tmp_path / "theirs", domain="d")
    verified = verify(tmp_path / "ours")
    assert verified.comparison == ours
    assert verified.stated["command"] == "fama compare" and "concurrency=1" in verified.stated["config"]
    words = ["report", str(tmp_path / "ours"), str(tmp_path / "theirs"), "--leaderboard", str(tmp_path / "board")]
    assert main(words) == 0
    assert "leaderboard.html" in capsys.readouterr().out
    board = Leaderboard.model_validate_json((tmp_path / "board" / "leaderboard.json").read_bytes())
    assert [(group.domain, len(group.entries)) for group in board.groups] == [("d", 3), ("moods", 3)]
    for group in board.groups:
        rates = [entry.success.value or 0.0 for entry in group.entries]
        assert rates == sorted(rates, reverse=True)
    assert board.groups[1].entries[0].trials == 3 and board.groups[1].entries[0].source.endswith("/ours")
    assert "| alpha |" in (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")


async def test_what_was_run_with_plug_ins_passes_where_they_are_not_installed(tmp_path: Path) -> None:
    ours = await live(tmp_path / "ours", domain="moods", trials=3)
    for name in ours.config["helpers"]["pool"]:
        HELPERS.remove(name)
    assert verify(tmp_path / "ours").comparison == ours


async def test_a_rate_on_a_part_of_the_tasks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark breaks on t11: no arm has a verdict there, whatever the group's title says of tasks."""
    judged = ToyEnvironment.outcome

    def outcome(self: ToyEnvironment) -> Reward:
        if self._need == NEEDS[3]:
            raise EnvironmentFault("toy: no judge")
        return judged(self)

    monkeypatch.setattr(ToyEnvironment, "outcome", outcome)
    await live(tmp_path / "a")
    write_leaderboard([tmp_path / "a"], tmp_path / "board")
    notes = (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")
    row = next(line for line in notes.splitlines() if line.startswith("| all |"))
    assert row.split(" | ")[1].endswith("\\] (3 of 4 tasks)") and "4 test tasks" in notes


async def test_other_settings_are_another_group(tmp_path: Path) -> None:
    await live(tmp_path / "a")
    await live(tmp_path / "b", limits={"steps": 7})
    first, second = build_leaderboard([tmp_path / "a", tmp_path / "b"]).groups
    assert first.title == second.title and first.settings != second.settings


async def test_another_task_set_of_the_same_size_is_another_group(tmp_path: Path) -> None:
    for name, tasks in (("a", ["t12", "t13", "t14"]), ("b", ["t11", "t15", "t19"]), ("c", ["t14", "t12", "t13"])):
        await live(tmp_path / name, tasks=tasks)
    groups = build_leaderboard([tmp_path / "a", tmp_path / "b", tmp_path / "c"]).groups
    sources = sorted(sorted({entry.source[-1] for entry in group.entries}) for group in groups)
    assert sources == [["a", "c"], ["b"]]
    assert groups[0].title != groups[1].title and groups[0].tasks == groups[1].tasks == 3


def test_unknown_tokens_and_unknown_success_come_last_among_equals() -> None:
    order = [(0.6, None), (0.5, 900.0), (0.5, None), (0.0, 900.0), (None, 0.5)]
    assert sorted(reversed(order), key=lambda pair: rank(*pair)) == order


def tokens(value: Any) -> None:
    value["arms"][1]["measures"]["tokens"]["low"] -= 5


def p_value(value: Any) -> None:
    value["arms"][1]["versus_none"]["p_holm"] = 0.001


def lost(value: Any) -> None:
    value["per_task"][0]["arms"]["all"]["episodes"] = ["nowhere"]


def swapped(value: Any) -> None:
    first, second = (value["per_task"][task]["arms"]["all"] for task in (0, 1))
    first["episodes"], second["episodes"] = second["episodes"], first["episodes"]


def questioned(value: Any) -> None:
    value["config"]["questions"] = [{"arm": "best", "than": "none"}]


def replayed(value: Any) -> None:
    value["kind"] = "replay"


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (tokens, "arms.all.measures.tokens.low is .* but its episodes say"),
        (p_value, "arms.all.versus_none.p_holm is 0.001, but its episodes say"),
        (lost, "episode nowhere of arm all on t10 is missing"),
        (swapped, "is not of t1[01] and"),
        (questioned, "config.questions: no arm 'best'; the arms are none, all, alpha"),
        (replayed, "takes comparisons that were run"),
    ],
)
async def test_whatever_differs_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Any, part: str
) -> None:
    await live(tmp_path / "out")
    edit_json(tmp_path / "out" / "comparison.json", edit)
    with pytest.raises(BadInput, match=part):
        build_leaderboard([tmp_path / "out"])
    assert main(["report", str(tmp_path / "out"), "--leaderboard", str(tmp_path / "board")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "board").exists()


@pytest.mark.parametrize("label", ["oracle", "payback", "my.minimal"])
async def test_no_name_of_an_arm_hides_what_is_wrong(tmp_path: Path, label: str) -> None:
    """Fields of these names are stated only; an arm of such a name is as any other."""
    await live(tmp_path, arms=[{"name": "none"}, {"name": "all", "label": label}])
    edit_json(tmp_path / "comparison.json", tokens)
    with pytest.raises(BadInput, match=r"measures.tokens.low is .* but its episodes say"):
        verify(tmp_path)


async def test_a_comparison_counts_once(tmp_path: Path) -> None:
    await live(tmp_path / "a")
    with pytest.raises(BadInput, match="/a: is given twice"):
        build_leaderboard([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of a tree, empty ones and whole groups included."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from leaves(part, (*path, key))


def other(value: Any) -> Any:
    """Another value of the same kind, close enough to be believed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [*value, *value[:1]] if value else ["x"]
    if isinstance(value, dict):
        return dict(list(value.items())[1:]) if value else {"x": 1}
    return 0.5


async def test_every_field_is_refused_or_shown_as_stated(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = [{"arm": "all", "than": "none", "margin": 0.2, "tokens": 0.5}]
    await live(out, tasks=2, arms=[{"name": "none"}, {"name": "all"}], questions=asked, bootstrap=100)
    path = out / "comparison.json"
    text = path.read_text(encoding="utf-8")
    plain = build_leaderboard([out])
    outcomes = Counter[str]()
    silent = []
    assert set(json.loads(text)) == set(Comparison.model_fields)
    for place in leaves(json.loads(text)):
        value = tree = json.loads(text)
        for key in place[:-1]:
            tree = tree[key]
        tree[place[-1]] = other(tree[place[-1]])
        path.write_text(json.dumps(value), encoding="utf-8")
        try:
            board = build_leaderboard([out])
        except BadInput as error:
            assert "\n" not in str(error), place
            outcomes["refused"] += 1
        else:
            if board.sources[0].stated == plain.sources[0].stated or board.groups != plain.groups:
                silent.append(place)
            outcomes["stated"] += 1
    assert not silent
    assert outcomes["refused"] > 200 and outcomes["stated"] > 20


async def test_episodes_of_other_settings_and_twice(tmp_path: Path) -> None:
    out = tmp_path / "out"
    await live(out)
    path = out / "episodes.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[0]]), encoding="utf-8")
    with pytest.raises(BadInput, match="is there twice"):
        build_leaderboard([out])
    hashed = json.loads(lines[0])["config_hash"]
    path.write_text("".join([lines[0].replace(hashed, "0" * 16), *lines[1:]]), encoding="utf-8")
    with pytest.raises(BadInput, match="ran with the config 0000000000000000"):
        build_leaderboard([out])
    path.write_text("".join([lines[0].replace('"toy-1"', '"toy-2"'), *lines[1:]]), encoding="utf-8")
    with pytest.raises(BadInput, match="benchmark_version of episode"):
        build_leaderboard([out])


async def test_no_episodes_and_replays(tmp_path: Path) -> None:
    await live(tmp_path / "out")
    (tmp_path / "out" / "episodes.jsonl").unlink()
    with pytest.raises(BadInput, match="has no episodes.jsonl"):
        build_leaderboard([tmp_path / "out"])
    path = await table(tmp_path / "table")
    await live(tmp_path / "replayed", replay=str(path))
    with pytest.raises(BadInput, match="takes comparisons that were run"):
        build_leaderboard([tmp_path / "replayed"])


async def test_a_hostile_arm_name_stays_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>|x"
    await live(tmp_path / "out", arms=[{"name": "none"}, {"name": "all", "label": evil}])
    assert main(["report", str(tmp_path / "out"), "--leaderboard", str(tmp_path / "board")]) == 0
    page = (tmp_path / "board" / "leaderboard.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page and "default-src 'none'" in page
    assert "\\|x" in (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")


def test_several_folders_need_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "a", "b"]) == 2
    assert "several go on one page with --leaderboard OUT" in capsys.readouterr().err
