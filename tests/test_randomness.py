"""Named random streams, content hashes and the token estimate."""

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from fama.hashing import content_hash
from fama.randomness import derive_seed, generator
from fama.text.tokens import estimate_tokens


def test_streams_are_pure_and_apart() -> None:
    assert generator(1, "user", "t1").random() == generator(1, "user", "t1").random()
    seeds = {derive_seed(s, n, k) for s in (0, 1) for n in ("a", "b") for k in ("x", "y")}
    assert len(seeds) == 8
    assert derive_seed(0, "a", "x", "y") != derive_seed(0, "a", "xy")
    assert all(0 <= seed < 2**63 for seed in seeds)


@given(st.integers(), st.text(), st.lists(st.text() | st.integers()))
def test_a_seed_is_that_of_the_arguments_as_json(seed: int, stream: str, key: list[str | int]) -> None:
    text = json.dumps([seed, stream, [str(part) for part in key]], ensure_ascii=False)
    told = hashlib.sha256(text.encode()).digest()
    assert derive_seed(seed, stream, *key) == int.from_bytes(told[:8], "big") >> 1


def test_hash_ignores_key_order() -> None:
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


@given(st.text())
def test_token_estimate_grows_with_text(text: str) -> None:
    assert 0 <= estimate_tokens(text) <= estimate_tokens(text + " more")


def test_token_estimate_is_an_upper_one() -> None:
    # Counted with the tokenizer of Qwen2.5: 8, 12 and 4 tokens.
    assert estimate_tokens("Suggested next tool: list_variants.") >= 8
    assert estimate_tokens("The order is #W2378156.") >= 12
    assert estimate_tokens("Call it again now.") >= 4
