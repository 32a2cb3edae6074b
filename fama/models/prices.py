"""Prices of hosted models. What is not in the table is unknown (None), never 0."""

from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict

#: The endpoint that the prices of the table are of, and those of its regions.
_MAKER = "api.openai.com"


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


def price_at(base_url: str, name: str) -> Price | None:
    """Return the list price of a model at its maker's own endpoint; elsewhere one of that name has an unknown price."""
    host = urlsplit(base_url).hostname or ""
    return price_table().get(name) if host == _MAKER or host.endswith(f".{_MAKER}") else None
