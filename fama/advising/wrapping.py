"""A client of the openai package with notes placed before each of its chat requests."""

from typing import TypeVar

from fama.advising.advisor import Advisor

Client = TypeVar("Client")


def wrap(client: Client, advisor: Advisor) -> Client:
    """Return a client like ``client`` whose ``chat.completions.create`` places notes before each request.

    ``OpenAI`` and ``AsyncOpenAI``, whole and streamed replies. Everything else passes through. A failure of the advisor
    never fails a request: it goes on without notes and is counted in the ``advice_failures`` of what is returned.
    """
    raise NotImplementedError
