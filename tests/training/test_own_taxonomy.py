"""A taxonomy of the user's own, from diagnosis to the router's heads and the selector, on committed episodes."""

from collections import Counter
from pathlib import Path

import pytest

from fama.cli import main
from fama.episodes.state import state_after
from fama.episodes.store import EpisodeStore, read_episodes, read_failures
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.router.checkpoint import load_router
from fama.selection.router.features import featurise
from fama.selection.selectors.learned import build
from fama.serving.server import advisor_of
from fama.serving.settings import ServeSettings
from fama.settings import HelperSettings

ROOT = Path(__file__).resolve().parents[2]
EPISODES = ROOT / "results" / "helpdesk" / "outcomes-train.episodes.jsonl.gz"
TAXONOMY = """
version: mine-1
categories:
  - {code: MISSED, name: not done, definition: a change is missing, sources: ["gold:missing*"], helpers: [Planner]}
  - {code: WRONG, name: wrong change, definition: a change is wrong, sources: ["gold:*"], helpers: [TOR, Verifier]}
  - {code: OTHER, name: the rest, definition: anything else, sources: ["*"]}
"""
HASHED = ("kind=linear", "vectors={source: hashed, buckets: 256, components: 8}", "linear={strengths: [0.1], folds: 2}")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The taxonomy, sixty failed episodes, and their labels under it."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.yaml").write_text(TAXONOMY)
    store = EpisodeStore(folder / "run")
    failed = (episode for episode in read_episodes(EPISODES) if episode.outcome.status == "failure")
    for episode, _ in zip(failed, range(60), strict=False):
        store.append(episode)
    taxonomy = ["--taxonomy", str(folder / "mine.yaml")]
    labels = ["diagnose", str(folder / "run"), "--judge", "none", "--out", str(folder / "labels"), *taxonomy]
    assert main(labels) == 0
    return {"taxonomy": folder / "mine.yaml", "run": folder / "run", "labels": folder / "labels" / "failures.jsonl"}


def learn(material: dict[str, Path], out: Path, *more: str) -> int:
    sources = f"data.failures=[{{failures: {material['labels']}, episodes: {material['run']}}}]"
    return main(["train", sources, "losses={outcome: 0, tokens: 0}", *HASHED, *more, "--out", str(out)])


def test_the_heads_are_the_users_categories(material: dict[str, Path], tmp_path: Path) -> None:
    counts = Counter(code for label in read_failures(material["labels"]) for code in label.primary)
    assert set(counts) <= {"MISSED", "WRONG", "OTHER"} and counts["MISSED"] > 5
    own = f"data.taxonomy={material['taxonomy']}"
    assert learn(material, tmp_path / "router", own, "losses.coverage=1", "losses.categories=1") == 0
    card = " ".join((tmp_path / "router" / "README.md").read_text().split())
    assert "learned from labels of failures" in card and "learned from no outcome" in card and "mine-1" in card
    assert "failures that a chosen helper addresses" in card and "the likeliest category is right" in card
    assert " 0 rows of 0 tasks" not in card and "P(success)" not in card and "Outcomes were logged" not in card
    router = load_router(tmp_path / "router")
    state = featurise(state_after(next(iter(read_episodes(material["run"])))))
    assert router.labels is not None and router.labels.categories(state).shape == (3,)
    assert router.manifest.categories == ("MISSED", "WRONG", "OTHER") and router.manifest.taxonomy_version == "mine-1"


def test_a_selector_needs_the_same_taxonomy(material: dict[str, Path], tmp_path: Path) -> None:
    own = f"data.taxonomy={material['taxonomy']}"
    assert learn(material, tmp_path / "router", own, "losses.coverage=1", "losses.categories=1") == 0
    context = SelectorContext(helpers=build_pool(HelperSettings()))
    with pytest.raises(Exception, match=r"taxonomy mine-1 \(MISSED, WRONG, OTHER\), this run has"):
        build(context, checkpoint=tmp_path / "router")
    assert build(context, checkpoint=tmp_path / "router", taxonomy=str(material["taxonomy"])).track == "prospective"


def test_every_way_to_use_such_a_router_takes_the_file(
    material: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    router, mine = str(tmp_path / "router"), str(material["taxonomy"])
    assert learn(material, tmp_path / "router", f"data.taxonomy={mine}", "losses.coverage=1") == 0
    select = ["select", "--router", router, "--episodes", str(material["run"]), "--limit", "1"]
    assert main(select) == 2 and "`fama select`: --taxonomy" in capsys.readouterr().err
    assert main([*select, "--taxonomy", mine]) == 0
    settings = ServeSettings.model_validate(
        {"router": router, "upstream": "http://127.0.0.1:9/v1", "options": {"taxonomy": mine}}
    )
    with advisor_of(settings) as advisor:
        assert advisor.advise([{"role": "user", "content": "Cancel my order."}]).probabilities


def test_a_helper_file_is_of_the_pool_like_any_other(
    material: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``fama helpers draft`` writes them: a helper of a new category, in a file."""
    router, mine, tone = str(tmp_path / "router"), str(material["taxonomy"]), tmp_path / "tone.yaml"
    tone.write_text("name: Tone\ncovers: [OTHER]\ntoken_cap: 24\nprompt: '{{ dialogue }} How should it be said?'\n")
    pool = [str(tone), "Planner", "TOR"]
    assert learn(material, tmp_path / "router", f"data.taxonomy={mine}", f"data.pool={pool}", "losses.coverage=1") == 0
    assert load_router(tmp_path / "router").manifest.pool == ("Tone", "Planner", "TOR")
    select = ["select", "--router", router, "--episodes", str(material["run"]), "--limit", "1", "--taxonomy", mine]
    assert (
        main(select) == 2 and "unknown helper 'Tone'" in (told := capsys.readouterr().err) and "--helper FILE" in told
    )
    assert main([*select, "--helper", str(tone)]) == 0 and "Tone" in capsys.readouterr().out
    other = tmp_path / "other.yaml"
    other.write_text(tone.read_text().replace("Tone", "Other"))
    assert (
        main([*select, "--helper", str(other)]) == 2 and "Other is not in the router's pool" in capsys.readouterr().err
    )
    served = {"helpers": {"pool": pool}, "model": {"name": "scripted:echo"}, "options": {"taxonomy": mine}}
    settings = ServeSettings.model_validate({"router": router, "upstream": "http://127.0.0.1:9/v1", **served})
    with advisor_of(settings) as advisor:
        assert set(advisor.advise([{"role": "user", "content": "Cancel."}]).probabilities) == {"Tone", "Planner", "TOR"}


def test_a_helper_that_a_taxonomy_misspells_is_told(
    material: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TAXONOMY.replace("[Planner]", "[Plannr]"))
    assert learn(material, tmp_path / "router", f"data.taxonomy={wrong}", "losses.coverage=1") == 0
    assert "category MISSED names the helper 'Plannr', which is neither in the pool nor installed" in caplog.text


@pytest.mark.parametrize(
    ("own", "pool", "words"),
    [
        (False, "data.pool=[Planner, TOR]", "labelled with taxonomy mine-1, not with"),
        (True, "data.pool=[DCE, Memory]", "no helper of the pool covers a category of mine-1; name helpers"),
    ],
    ids=["not named", "no helper for it"],
)
def test_what_cannot_work_is_one_line(
    material: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], own: bool, pool: str, words: str
) -> None:
    more = [f"data.taxonomy={material['taxonomy']}"] if own else []
    assert learn(material, tmp_path / "router", "losses.coverage=1", pool, *more) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "router").exists()
