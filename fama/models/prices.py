"""Prices of hosted models. What is not in the table is unknown (None), never 0."""

from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float
    cached_input: float
    output: float

    def cost(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """Return the dollars of one call; ``input_tokens`` includes the cached ones."""
        fresh = max(0, input_tokens - cached_tokens)
        return (fresh * self.input + cached_tokens * self.cached_input + output_tokens * self.output) / 1e6


@cache
def price_table() -> dict[str, Price]:
    """Return the packaged table, by the model's exact name."""
    tree = yaml.safe_load((files("fama.models") / "prices.yaml").read_text("utf-8"))
    return {name: Price.model_validate(row) for name, row in tree.items()}
