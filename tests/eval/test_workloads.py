"""Measured episodes: counted by hand on a toy checkout of τ-bench, and their means."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from eval.planning import collect as collecting
from eval.planning.collect import contrast, summarise_workload
from eval.planning.workload import Workloads
from eval.planning.workload_meter import ALL, MeasuredEpisode, Tokenizer, WorkloadMeter
from fama.agents.agent_request import agent_request
from fama.agents.strategies.fc import FunctionCalling
from fama.envs.base import BENCHMARKS
from fama.episodes.records import Episode, FunctionCall, Message, Outcome, Status, ToolCall
from fama.episodes.state import state_at
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput
from fama.helpers.llm_form import PrefixHelper
from fama.models.prefix import AgentRequest
from fama.subsets import POOL
from tests.support.asking_helpers import asking_pool
from tests.support.tau_toys import checkout

CALL = ToolCall(id="1", function=FunctionCall(name="cancel", arguments='{"id": "1"}'))
MESSAGES = (
    Message(role="user", content="Cancel my flight please"),
    Message(role="assistant", content="", tool_calls=(CALL,)),
    Message(role="tool", content="cancelled", tool_call_id="1"),
    Message(role="assistant", content="Done now."),
    Message(role="user", content="Thanks bye"),
)


class Words(Tokenizer):
    """A token is a word; calls are shown as ``call NAME``."""

    def __init__(self, name: str = "") -> None:
        self.count = lru_cache(maxsize=None)(lambda text: len(text.split()))

    def turns(self, request: AgentRequest) -> list[str]:
        """Render a message per turn."""
        texts = []
        for message in request.messages:
            calls = "".join(f"call {call['function']['name']}" for call in message.get("tool_calls", ()))
            texts.append(f"<|im_start|>{message['role']}\n{message['content']}{calls}<|im_end|>\n")
        return texts


@pytest.fixture(autouse=True)
def toy(tmp_path: Path) -> Iterator[None]:
    """A toy checkout of τ-bench."""
    with checkout(tmp_path):
        yield


def episode(task: str = "1", trial: int = 0, status: Status = "success") -> Episode:
    return Episode(
        id=f"{task}-{trial}",
        benchmark="tau-bench",
        domain="airline",
        task_id=task,
        trial=trial,
        backbone="gpt-4o",
        strategy="fc",
        messages=(Message(role="system", content="Another policy"), *MESSAGES),
        outcome=Outcome(status=status, boundary="user" if status == "error" else None),
    )


def test_an_episode_by_hand() -> None:
    meter = WorkloadMeter(Words(), BENCHMARKS.load("tau_bench")(), "fc", memory=2)
    assert all(meter.measure(episode()).sums.get(f"{name} calls", 0) == 0 for name in (*meter.helpers, ALL))
    asking = {name: helper for name, helper in asking_pool().items() if isinstance(helper, PrefixHelper)}
    meter.helpers = asking  # of the meter's own no subject comes up here
    found = meter.measure(episode())
    opening = len(str(FunctionCalling().prompt((), "Toy policy", ()).messages[0]["content"]).split()) + 1
    assert found.opening == opening and found.success and found.task == "1"
    sums = found.sums
    assert sums["decisions"] == 2
    assert sums["agent fresh"] == 5 + 2  # the user's turn, then the tool's
    assert sums["agent written"] == 3 + 3
    assert sums["agent read"] == opening + 5 + opening + 5 + 3 + 2
    assert found.longest == opening + 10
    # instructions 8, greeting 8 and what the agent says to the user; not its call and not the tool's answer
    assert (sums["user read"], sums["user fresh"], sums["user written"]) == (16 + 16 + 5 + 3, 16 + 3, 5 + 3)
    calls = {name: sums.get(f"{name} calls", 0) for name in (*meter.helpers, ALL)}
    assert calls == {**dict.fromkeys(POOL, 2), ALL: 12}
    assert sums["TSA read"] == sums["agent read"] + sums["TSA question"]
    assert sums["selection"] > 100
    with pytest.raises(BadInput, match="only logs of tau-bench"):
        WorkloadMeter(Words(), BENCHMARKS.load("helpdesk")(), "fc", 2).measure(
            episode("shop-test-0000").model_copy(update={"domain": "shop"})
        )


def test_turns_of_a_real_chat_template_add_up(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Fast
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    made: Any = PreTrainedTokenizerFast

    fast = Fast(WordLevel({"[UNK]": 0}, "[UNK]"))
    fast.pre_tokenizer = WhitespaceSplit()
    own = made(tokenizer_object=fast, unk_token="[UNK]")  # noqa: S106
    own.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %} {{ c.function.arguments.id }}{% endfor %}<|im_end|>\n{% endfor %}"
    )
    own.save_pretrained(tmp_path)
    tokenizer = Tokenizer(str(tmp_path))
    turns = tokenizer.turns(agent_request(FunctionCalling(), state_at(episode(), 1)))
    assert turns[1:] == [
        "<|im_start|>user\nCancel my flight please<|im_end|>\n",
        "<|im_start|>assistant\n 1<|im_end|>\n",
        "<|im_start|>tool\ncancelled<|im_end|>\n",
    ]
    assert tokenizer.turn("user", "Cancel my flight please") == tokenizer.count(turns[1]) == 5


def measured(task: str, success: bool, decisions: float = 1.0) -> MeasuredEpisode:
    return MeasuredEpisode(task, success, {"decisions": decisions}, longest=int(decisions), opening=7)


def test_means_are_over_episodes_and_pairs_within_tasks() -> None:
    rows = [measured("a", True, 2), measured("a", False, 4), measured("a", False, 3), measured("b", True, 11)]
    about = {"benchmark": "toy", "domain": "d", "backbone": "B", "strategy": "fc"}
    found = summarise_workload(rows, about, ["TSA"])
    assert (found.episodes, found.decisions.value, found.decisions.n) == (4, 5.0, 2)
    assert (found.success.value, found.longest, found.opening) == (0.5, 11, 7)
    assert found.discordance is not None and found.discordance.value == pytest.approx(2 / 3, abs=1e-4)
    assert found.pairs == 3  # of a; two of them differ
    assert summarise_workload(rows[2:], about, []).discordance is None


def test_a_contrast_by_hand() -> None:
    ours = [measured("a", True), measured("a", False), measured("b", True), measured("b", True)]
    theirs = [measured(task, False) for task in "aabb"]
    # rates 1/2 and 1 against 0: variance 1/8; the noise of a is (1/2)(1/2)/1, of b none: on average 1/8
    assert contrast(ours, theirs) == (2, 0.0, 0.75)
    better = [measured("a", True)] * 2 + [measured("b", False)] * 2
    other = [measured("a", False)] * 2 + [measured("b", True)] * 2
    assert contrast(better, other) == (2, 2.0, 1.0)  # +1 and -1, and no noise
    # one trial says no noise, and one task no variance
    assert contrast([*better, measured("c", True)], [*other, measured("c", True)]) == (2, 2.0, 1.0)
    assert contrast(better, other[:2]) is None


def test_logs_become_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "Tokenizer", Words)
    store = EpisodeStore(tmp_path / "logs")
    kept = [episode("1", 0), episode("1", 1, "failure"), episode("2", 0, "failure"), episode("2", 1, "failure")]
    others = [episode("0", 0, "error"), episode("0", 1).model_copy(update={"settings": "trait=confusion"})]
    others.append(episode("0", 2).model_copy(update={"backbone": "somebody"}))
    react = [one.model_copy(update={"id": f"r{one.id}", "strategy": "react"}) for one in kept]
    for one in (*react, *kept, *others):
        store.append(one)
    out = tmp_path / "w.json"
    assert collecting.main([str(tmp_path / "logs"), "--tokenizer", "some/words.gguf", "--out", str(out)]) == 0
    found = Workloads.model_validate(json.loads(out.read_text(encoding="utf-8")))
    assert [(one.strategy, one.episodes, one.pairs) for one in found.workloads] == [("fc", 4, 2), ("react", 4, 2)]
    assert found.tokenizer == "words.gguf" and found.workloads[0].agent.fresh.value == 7
    (between,) = found.contrasts
    assert (between.strategies, between.tasks) == (("fc", "react"), 2)
