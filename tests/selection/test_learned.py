import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.models.prefix import AgentRequest
from fama.selection.base import SELECTORS, Allowance, Selection, SelectorContext
from fama.selection.budget import helper_cap
from fama.selection.router.checkpoint import load_router, read_manifest
from fama.selection.router.evidence import EVIDENCE_NAMES
from fama.selection.router.features import segments_of
from fama.selection.router.kinds import state_vectors
from fama.selection.selectors.learned import LearnedSelector, build
from fama.settings import HelperSettings
from fama.subsets import POOL
from tests.support.asking import choose_now
from training.data.examples import outcome_examples
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on

CONTEXT = SelectorContext(helpers=build_pool(HelperSettings()))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("router")
    settings = TrainSettings.model_validate(
        {
            "kind": "linear",
            "vectors": {"source": "hashed", "buckets": 512, "components": 8},
            "linear": {"strengths": [0.1]},
            "decision": {"lam": 0.01},
        }
    )
    train_on(settings, outcome_examples(outcome_rows(make_tasks(60)), POOL), folder)
    return folder


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "router", ignore=shutil.ignore_patterns("work")))


def select(folder: Path, state: VisibleState, tokens: int | None = None, **options: Any) -> Selection:
    selector = build(CONTEXT, checkpoint=folder, **options)
    return choose_now(selector, state, tokens)


def test_selects_a_subset_with_probabilities(checkpoint: Path) -> None:
    for task in make_tasks(10, seed=5):
        selection = select(checkpoint, task.state)
        assert list(selection.subset) == [name for name in POOL if name in selection.subset]
        assert tuple(selection.probabilities) == POOL
        assert all(0.0 <= p <= 1.0 for p in selection.probabilities.values())
        assert selection.propensity == 1.0
        assert selection.ledger == ()
        assert selection.seconds > 0.0


def test_an_arm_is_named_for_the_kind_of_its_router(checkpoint: Path) -> None:
    for name in ("learned", "linear"):
        selector = SELECTORS.load(name)(CONTEXT, checkpoint=str(checkpoint))
        assert (selector.name, selector.track) == ("linear", "prospective")
    for name in ("knn", "boosting", "prior"):
        with pytest.raises(BadInput, match=f"selector {name}: .* holds a router of the selector 'linear'"):
            SELECTORS.load(name)(CONTEXT, checkpoint=str(checkpoint))


def test_the_allowance_is_hard(checkpoint: Path) -> None:
    helpers = CONTEXT.helpers
    for task in make_tasks(5, seed=6):
        for tokens in (0, 30, 60, 120):
            subset = select(checkpoint, task.state, tokens).subset
            assert sum(helper_cap(helpers[name]) for name in subset) <= tokens


def test_the_allowance_holds_the_agents_request_that_helper_agents_send(checkpoint: Path) -> None:
    """A choice that leaves it out is cut by the budget to the likeliest helpers, which need not be the best subset."""
    request = AgentRequest(({"role": "user", "content": "Hello there. " * 60},))
    prefix = request.most_tokens()
    helpers = build_pool(HelperSettings(form="llm"))
    selector = build(SelectorContext(helpers, request=lambda state: request), checkpoint=checkpoint, lam=0.0)
    caps = [helper_cap(helper, prefix) for helper in helpers.values()]
    chosen = set()
    for task in make_tasks(10, seed=6):
        for tokens in (min(caps) - 1, max(caps), 2 * max(caps)):
            subset = choose_now(selector, task.state, tokens).subset
            assert sum(helper_cap(helpers[name], prefix) for name in subset) <= tokens
            chosen.add(len(subset))
    assert chosen >= {0, 1, 2}


def test_lambda_is_free_at_run_time(checkpoint: Path) -> None:
    states = [task.state for task in make_tasks(10, seed=7)]
    free = sum(len(select(checkpoint, state, lam=0.0).subset) for state in states)
    dear = sum(len(select(checkpoint, state, lam=5.0).subset) for state in states)
    assert dear == 0 < free


def test_the_pool_may_come_in_another_order(checkpoint: Path) -> None:
    names = tuple(reversed(POOL))
    context = SelectorContext(helpers={name: CONTEXT.helpers[name] for name in names})
    state = make_tasks(1, seed=8)[0].state
    selector = build(context, checkpoint=checkpoint)
    selection = choose_now(selector, state)
    plain = select(checkpoint, state)
    assert set(selection.subset) == set(plain.subset)
    assert selection.probabilities == pytest.approx(plain.probabilities)


def test_many_at_once_are_chosen_as_one_by_one(checkpoint: Path) -> None:
    states = [task.state for task in make_tasks(70, seed=11)]
    selector = build(CONTEXT, checkpoint=checkpoint)
    assert isinstance(selector, LearnedSelector)
    many = selector.select_many(states)
    assert [one.subset for one in many] == [select(checkpoint, state).subset for state in states]
    assert all(one.subset == () for one in selector.select_many(states[:3], Allowance(0)))


def test_a_text_is_hashed_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def counted(data: bytes, before: int = 0) -> int:
        hashed.append(data)
        return before + len(data)

    monkeypatch.setattr(state_vectors, "crc32", counted)
    selector = build(CONTEXT, checkpoint=checkpoint)
    assert isinstance(selector, LearnedSelector)
    state = make_tasks(1, seed=12)[0].state
    selector.select_many([state])
    assert hashed
    hashed.clear()
    more = replace(state, messages=(*state.messages, Message(role="assistant", content="Anything else?")))
    selector.select_many([more])
    assert hashed == [b"anything", b"else", b" else"]


def test_segments_hold_every_text() -> None:
    state = make_tasks(3, seed=2)[1].state
    segments = segments_of(state)
    texts = "\n".join(segment.text for segment in segments)
    assert state.policy in texts
    assert all(tool.name in texts for tool in state.tools)
    assert all((message.content or "") in texts for message in state.messages)
    history = [segment for segment in segments if segment.kind in ("user", "assistant", "result")]
    assert [segment.position for segment in history] == list(range(len(state.messages)))[::-1]


def test_import_and_a_hashed_decision_load_no_torch(checkpoint: Path) -> None:
    code = (
        "import asyncio, random, sys\n"
        "import fama.selection.selectors.learned as learned\n"
        "heavy = ('torch', 'transformers', 'sklearn', 'lightning', 'pyarrow')\n"
        "assert not [m for m in heavy if m in sys.modules], 'at import'\n"
        "assert 'training' not in sys.modules\n"
        "from fama.settings import HelperSettings\n"
        "from fama.helpers.pool import build_pool\n"
        "from fama.selection.base import Allowance, SelectorContext\n"
        "from fama.episodes.state import VisibleState\n"
        "context = SelectorContext(helpers=build_pool(HelperSettings()))\n"
        f"selector = learned.build(context, checkpoint={str(checkpoint)!r})\n"
        "state = VisibleState('policy', (), ())\n"
        "asyncio.run(selector.select(state, Allowance(), random.Random(0)))\n"
        "assert not [m for m in heavy if m in sys.modules], 'at the decision'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "router.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def truncate(folder: Path) -> None:
    path = folder / "heads.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder: Path) -> None:
    path = folder / "heads.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 255
    path.write_bytes(data)


Damage = Callable[[Path], object]

DAMAGES: list[tuple[str, Damage, str]] = [
    ("pickle", lambda f: (f / "extra.pkl").write_bytes(pickle.dumps({})), "extra.pkl.*pickle"),
    ("torch file", lambda f: (f / "pytorch_model.bin").write_bytes(b"x"), "pytorch_model.bin.*refused"),
    ("unknown file", lambda f: (f / "notes.txt").write_text("x"), "notes.txt.*not part of a router"),
    ("truncated", truncate, "heads.safetensors.*truncated"),
    ("changed", flip, "heads.safetensors.*SHA-256"),
    ("heads missing", lambda f: (f / "heads.safetensors").unlink(), "heads.safetensors: missing"),
    ("manifest missing", lambda f: (f / "router.json").unlink(), "no router checkpoint"),
    ("manifest damaged", lambda f: (f / "router.json").write_text("{"), "not JSON"),
    ("schema", lambda f: edit(f, schema_version=99), "schema_version is 99"),
    ("field", lambda f: edit(f, lam="much"), "lam"),
    ("unknown field", lambda f: edit(f, colour="red"), "colour"),
    ("kind", lambda f: edit(f, kind="knn"), "does not fit"),
    ("pool", lambda f: edit(f, pool=[*POOL[:-1], "Other"]), "trained for the pool DCE\\+.*Other"),
    ("taxonomy", lambda f: edit(f, taxonomy_version="0.0"), "taxonomy 0.0"),
    ("evidence", lambda f: edit(f, evidence_names=["moon_phase", *EVIDENCE_NAMES[1:]]), "moon_phase"),
]


@pytest.mark.parametrize(("damage", "message"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(checkpoint: Path, damage: Damage, message: str) -> None:
    damage(checkpoint)
    with pytest.raises(BadInput, match=message) as caught:
        build(CONTEXT, checkpoint=checkpoint)
    assert "\n" not in str(caught.value)
    assert str(checkpoint) in str(caught.value)


def test_another_helper_pool_is_refused(checkpoint: Path) -> None:
    context = SelectorContext(helpers=build_pool(HelperSettings(pool=("DCE", "Memory"))))
    with pytest.raises(BadInput, match="this run has DCE\\+Memory"):
        build(context, checkpoint=checkpoint)


def test_logs_beside_a_checkpoint_are_not_read(checkpoint: Path) -> None:
    (checkpoint / "work" / "state").mkdir(parents=True)
    (checkpoint / "work" / "state" / "last.ckpt").write_bytes(b"never opened")
    assert load_router(checkpoint).manifest == read_manifest(checkpoint)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "options.checkpoint is missing"),
        ({"checkpoint": "nowhere"}, "nowhere: no router checkpoint"),
        ({"checkpoint": "x", "lam": -1}, "options.lam is -1"),
        ({"checkpoint": "x", "lam": "big"}, "options.lam is 'big'"),
        ({"checkpoint": "x", "epsilon": float("nan")}, "options.epsilon is nan"),
        ({"checkpoint": "x", "temper": 1}, "unknown option 'temper'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build(CONTEXT, **options)
