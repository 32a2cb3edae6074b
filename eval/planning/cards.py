"""Memory that a backbone needs on its cards, from its architecture: weights in bfloat16 and the cache of keys."""

from functools import cache
from pathlib import Path

from fama.config import read_yaml
from fama.episodes.records import Record

FILE = Path(__file__).with_name("backbones.yaml")
#: Bytes of a number in bfloat16.
NUMBER = 2
#: Bytes of one card, and the share of it that a server takes (vLLM's default).
CARD, SHARE = 80e9, 0.9


class Architecture(Record):
    """A dense decoder of the Qwen family, as its ``config.json`` describes it."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    tied: bool
    qk_norm: bool
    qkv_bias: bool

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        attention = 2 * self.hidden * queries + 2 * self.hidden * keys
        attention += queries + 2 * keys if self.qkv_bias else 0
        attention += 2 * self.head if self.qk_norm else 0
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of the weights."""
        return NUMBER * self.parameters

    @property
    def token_bytes(self) -> int:
        """Return the bytes of keys and values that one token in the context takes."""
        return NUMBER * 2 * self.layers * self.kv_heads * self.head

    def cards(self, tokens: int) -> int:
        """Return the fewest cards, a power of two, that hold the weights and so many tokens in all contexts."""
        needed, count = self.weight_bytes + tokens * self.token_bytes, 1
        while count * CARD * SHARE < needed:
            count *= 2
        return count


@cache
def read_backbones() -> dict[str, Architecture]:
    """Return the architectures by name.

    Raises:
        BadInput: the file is damaged.
    """
    tree = read_yaml(FILE, "YAML", "the shipped file")
    return {name: Architecture.model_validate(value) for name, value in tree.items()}
