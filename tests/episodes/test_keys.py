"""One identity: the records that a run writes about one episode name it alike."""

from eval.metrics.episode_scores import score_of, score_of_row
from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.outcome_table import episodes_to_rows
from fama.episodes.records import Decision, Episode, Failure, Message, Outcome
from fama.episodes.state import state_after, state_at

EPISODE = Episode(
    id="e",
    benchmark="b",
    domain="d",
    task_id="t",
    trial=2,
    backbone="m",
    strategy="act",
    selector="learned",
    messages=(Message(role="user", content="Hello"), Message(role="assistant", content="Bye.")),
    decisions=(Decision(turn=0, message_index=1, subset=("TSA",), propensity=0.5),),
    outcome=Outcome(status="failure"),
)


def test_every_record_of_an_episode_has_its_key() -> None:
    key = EpisodeKey("b", "d", "t", 2, "m", "act", "learned")
    assert EPISODE.key == score_of(EPISODE).key == key
    (row,) = episodes_to_rows([EPISODE])
    assert row.key == key.pair != key  # a table names the subset, not the arm
    assert score_of_row(row, "learned").key == key
    label = Failure(episode_id="e", task_id="t", benchmark="b", domain="d", labeller="x", taxonomy_version="1")
    assert label.key == key.task == TaskKey("b", "d", "t")


def test_arms_of_one_trial_are_a_pair_and_share_their_random_streams() -> None:
    other = EPISODE.model_copy(update={"selector": "none"}).key
    later = EPISODE.model_copy(update={"trial": 3}).key
    assert other != EPISODE.key and other.pair == EPISODE.key.pair and other.stream == EPISODE.key.stream
    assert later.pair != EPISODE.key.pair and later.task == EPISODE.key.task
    stronger = EPISODE.model_copy(update={"backbone": "n"}).key
    assert stronger.stream == EPISODE.key.stream and stronger.pair != EPISODE.key.pair


def test_a_state_says_neither_task_nor_arm() -> None:
    other = EPISODE.model_copy(update={"task_id": "9", "trial": 7, "selector": "all", "backbone": "n", "id": "e9"})
    assert state_at(EPISODE, 0) == state_at(other, 0) and state_after(EPISODE) == state_after(other)


def test_parts_that_a_record_does_not_know() -> None:
    assert EPISODE.model_copy(update={"backbone": None, "selector": None}).key.backbone == ""
    label = Failure(episode_id="e", task_id="5", domain="a", labeller="x", taxonomy_version="1")
    assert label.key == TaskKey(None, "a", "5") and str(label.key) == "a/5"
    assert str(TaskKey("b", "", "t")) == "b//t"  # an empty domain is known to be empty: split hashes depend on it
