"""Data of τ-bench, loaded once: nothing leaks from one world into the next, and verdicts stay as they were."""

import copy
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.envs.base import BENCHMARKS, Action, UserModel
from fama.envs.tau_bench.snapshot import SharedDict, Snapshot
from tests.support.scripted_player import Player
from tests.support.tau_toys import BY_RULE, airline


def to_hashable(item: Any) -> Any:
    """The benchmark's rule, in short: dicts by key, lists in order."""
    if isinstance(item, dict):
        return tuple((key, to_hashable(value)) for key, value in sorted(item.items()))
    return tuple(map(to_hashable, item)) if isinstance(item, list) else item


def whole_hash(data: Any) -> str:
    return sha256(str(to_hashable(data)).encode()).hexdigest()


def snapshot(data: dict[str, Any]) -> Snapshot:
    return Snapshot(lambda: copy.deepcopy(data), to_hashable)


DATA = {
    "flights": {"F1": {"from": "JFK", "dates": {"05-01": {"seats": 3, "price": 90}, "05-02": {"seats": 0}}}},
    "users": {"ann": {"cards": [{"id": "c1", "amount": 10}], "tier": "gold"}, "bob": {"cards": [], "tier": None}},
    "log": [],
    "empty": {},
}


def change_nested(data: Any) -> None:
    data["flights"]["F1"]["dates"]["05-01"]["seats"] -= 1


def change_while_reading(data: Any) -> None:
    for user in data["users"].values():
        user["cards"].append({"id": "new"})


def change_items(data: Any) -> None:
    for _, flight in data["flights"].items():
        flight["dates"].clear()


def change_by_get(data: Any) -> None:
    data.get("users").get("ann").update(tier="silver")


def change_a_copied_table(data: Any) -> None:
    for user in dict(data["users"]).values():
        user["cards"].append(1)
    {**data["flights"]}["F1"]["from"] = "SFO"
    (data["users"] | {})["ann"]["tier"] = 1
    ({} | data["users"])["bob"]["tier"] = 1
    data["users"].copy()["bob"]["cards"].append(2)
    copy.copy(data["flights"])["F1"]["from"] = "LAX"


def remove_and_add(data: Any) -> None:
    data["users"].pop("ann")["cards"].append(0)
    data["flights"].popitem()[1]["dates"].clear()
    data["users"].setdefault("bob", {})["cards"].append(1)
    data["users"].setdefault("eve", {"cards": []})["cards"].append(2)
    del data["empty"]
    data["log"] += ["seen"]


CHANGES = (change_nested, change_while_reading, change_items, change_by_get, change_a_copied_table, remove_and_add)


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_leaks_into_the_next_world(change: Callable[[Any], None]) -> None:
    shared = snapshot(DATA)
    mine, plain = shared.load(), copy.deepcopy(DATA)
    change(mine)
    change(plain)
    assert mine == plain
    assert json.dumps(mine) == json.dumps(plain)
    assert shared.load() == DATA and whole_hash(shared.load()) == whole_hash(DATA) == shared.whole_hash()


def test_reads_as_the_plain_data() -> None:
    data = snapshot(DATA).load()
    assert json.dumps(data, indent=1) == json.dumps(DATA, indent=1)
    assert (str(data), len(data), list(data), "log" in data) == (str(DATA), 4, list(DATA), True)
    assert data.get("nothing") is None and data.get("nothing", 3) == 3 and data.pop("nothing", 4) == 4
    with pytest.raises(KeyError):
        data["nothing"]
    with pytest.raises(KeyError):
        data.pop("nothing")
    for made in (copy.deepcopy(data), pickle.loads(pickle.dumps(data)), copy.copy(data)):  # noqa: S301
        assert made == DATA and type(made) is dict
    assert data["users"]["ann"] is data["users"]["ann"]
    data["users"]["ann"]["cards"].append(1)
    assert copy.deepcopy(data)["users"]["ann"]["cards"][1] == 1


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 2.5]), st.text("ab'", max_size=2)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
steps = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
        st.sampled_from(["set", "delete", "read", "append"]),
        values,
    ),
    max_size=4,
)


def apply(data: Any, changes: list[tuple[list[str], str, Any]]) -> None:
    for path, kind, value in changes:
        place = data
        for key in path[:-1]:
            place = place[key] if isinstance(place, dict) and key in place else None
        if not isinstance(place, dict):
            continue
        if kind == "set":
            place[path[-1]] = copy.deepcopy(value)
        elif kind == "delete":
            place.pop(path[-1], None)
        elif kind == "read":
            str(place.get(path[-1]))
        elif isinstance(place.get(path[-1]), list):
            place[path[-1]].append(copy.deepcopy(value))


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3), steps, steps)
def test_hashes_of_changes_are_equal_exactly_where_the_benchmarks_are(data: Any, one: Any, other: Any) -> None:
    shared = snapshot(data)
    mine, its, plain, plain_other = shared.load(), shared.load(), copy.deepcopy(data), copy.deepcopy(data)
    for world, changes in ((mine, one), (plain, one), (its, other), (plain_other, other)):
        apply(world, changes)
    assert mine == plain and its == plain_other and shared.load() == data
    same = whole_hash(plain) == whole_hash(plain_other)
    assert (shared.changes_hash(mine) == shared.changes_hash(its)) is same
    assert (shared.changes_hash(mine) == shared.changes_hash(shared.load())) is (whole_hash(plain) == whole_hash(data))


@pytest.fixture(params=[BY_RULE, "self.data"])
def clone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A toy checkout with data; one hashes by the benchmark's rule, the other in a way of its own."""
    with airline(tmp_path, request.param):
        yield request.param


async def test_worlds_of_one_process_are_apart_and_load_once(clone: str) -> None:
    benchmark = BENCHMARKS.load("tau_bench")()

    async def play(task: str, *booked: str) -> tuple[list[str | None], float]:
        environment = benchmark.environment("airline", task, UserModel(Player("Hello.", "###STOP###")))
        await environment.reset(0)
        told = [(await environment.step(Action(tool="book", arguments={"id": id_}))).content for id_ in booked]
        await environment.step(Action(tool=None, text="Done."))
        return told, environment.outcome().reward

    first = "{'seats': 1, 'dates': ['today']}"
    for _ in range(3):
        assert await play("1", "1") == ([first], 1.0)
        assert await play("1", "1", "1") == ([first, "{'seats': 0, 'dates': ['today', 'today']}"], 0.0)
        assert await play("2", "1") == ([first], 0.0)
        assert await play("2") == ([], 0.0)
        assert await play("2", "2") == ([first], 1.0)
    loaded = len(sys.modules["tau_bench.envs.airline"].LOADED)
    assert loaded == 2 if clone == BY_RULE else loaded > 15


def test_a_shared_dict_keeps_its_source() -> None:
    source = {"a": {"b": [1]}}
    data = SharedDict(source)
    assert data.touched() == {}
    data["a"]["b"].append(2)
    assert (source, data.touched()) == ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}})
