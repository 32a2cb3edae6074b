"""A scripted model behind the endpoint that calls a tool once, for clients of other people."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fama.cli import main
from fama.episodes.store import read_episodes
from tests.support.serving import DONE, Endpoint, ScriptedUpstream, Tree, chunk, completion, endpoint, plain, speaking

NOTE = "Alpha speaks"
SYSTEM = "Help the customer. Look an order up before you speak of it."
QUESTION = "Where is my order W1?"
FOUND = "Order W1 is pending."
ANSWER = "It is pending."
USAGE = b'data: {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": %s}'
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOL: Any = {"type": "function", "function": {"name": "find_order", "description": "Finds it.", "parameters": SCHEMA}}


def look_up(asked: Tree) -> Any:
    """Call ``find_order`` once, then answer; whole or in pieces, as asked."""
    if any(message["role"] == "tool" for message in asked["messages"]):
        whole, pieces = completion(ANSWER), [chunk(role="assistant", content="")]
        pieces += [*(chunk(content=word) for word in ("It is ", "pending.")), chunk(finish="stop")]
    else:
        call = {"id": "call_1", "type": "function"}
        name, arguments = "find_order", json.dumps({"order_id": "W1"})
        whole = completion(None, tool_calls=[{**call, "function": {"name": name, "arguments": arguments}}])
        whole["choices"][0]["finish_reason"] = "tool_calls"
        first = {"index": 0, **call, "function": {"name": name, "arguments": ""}}
        rest = [{"index": 0, "function": {"arguments": part}} for part in (arguments[:7], arguments[7:])]
        pieces = [chunk(role="assistant", content=None, tool_calls=[first])]
        pieces += [*(chunk(tool_calls=[one]) for one in rest), chunk(finish="tool_calls")]
    usage = USAGE % json.dumps(whole["usage"]).encode() + b"\n\n"
    return [*pieces, usage, DONE] if asked.get("stream") else whole


@dataclass
class Desk:
    """The upstream, the endpoint before it with a helper that always speaks, and the folder of its records."""

    upstream: ScriptedUpstream
    upstream_url: str
    served: Endpoint
    folder: Path

    @property
    def base_url(self) -> str:
        """The address that a client is given."""
        return self.served.base_url

    def check_notes(self, requests: int) -> None:
        """Every request reached the upstream with one note, at its end: none of an earlier one came back."""
        assert len(self.upstream.asked) == requests
        for asked in self.upstream.asked:
            noted = [NOTE in json.dumps(message) for message in asked["messages"]]
            assert noted == [*[False] * (len(noted) - 1), True]
            assert json.dumps(asked).count(NOTE) == 1
        assert self.served.count("fama_advice_failures_total") == 0


@contextmanager
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Serve on loopback for the length of the block; the records are complete after it."""
    up = ScriptedUpstream()
    up.answer = look_up
    with plain(up.app) as address, speaking(placement="user") as advisor:
        with endpoint(address, advisor, record={"folder": tmp_path / "log"}) as served:
            yield Desk(up, f"{address}/v1", served, tmp_path / "log")


def check_records(
    folder: Path, conversations: int, roles: str = "system user assistant tool assistant", decided: int = 2
) -> None:
    """Every conversation was recorded as one episode, whole, a note before each decision, and can be scored."""
    episodes = list(read_episodes(folder))
    assert [[message.role for message in episode.messages] for episode in episodes] == [roles.split()] * conversations
    for episode in episodes:
        assert NOTE not in episode.model_dump_json(include={"messages"})
        assert [len(decision.notes) for decision in episode.decisions] == [1] * decided
        assert {row.role for row in episode.ledger} == {"agent", "helper:Alpha"}
        assert all(row.input_tokens == 11 for row in episode.ledger if row.role == "agent")
    assert main(["score", str(folder)]) == 0
