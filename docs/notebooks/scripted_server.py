"""A scripted model behind an OpenAI-compatible endpoint on loopback, in the place of ``vllm serve``.

It knows the reference conversations of the embedded shop and has one flaw: it gives up when a tool is busy, unless a
note tells it to call again. What it scores says nothing of any model; it shows the commands at work in seconds.
"""

import argparse
import asyncio
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fama.envs.base import Action
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import gold_actions
from fama.randomness import derive_seed

BUSY = '{"error": "busy'
#: Words of the Verifier's note after such a result.
RETRY = "again with the same arguments"


def scripts(split: str, tasks: int, trials: int) -> dict[str, list[Action]]:
    """Return the reference actions of each conversation by the customer's first words."""
    known: dict[str, list[Action]] = {}
    for task_id in Helpdesk().task_ids("shop", split)[:tasks]:
        for trial in range(trials):
            seed = derive_seed(0, "environment", "helpdesk", "shop", task_id, trial)
            first = asyncio.run(Helpdesk().environment("shop", task_id).reset(seed))
            known[first.content or ""] = gold_actions("shop", task_id)
    return known


def reply(messages: list[dict[str, Any]], known: dict[str, list[Action]]) -> dict[str, Any]:
    """Return the next message of the script: its next action, or giving up."""
    texts = [str(message.get("content") or "") for message in messages]
    # a note stands at the end of the last turn, so the first words may be followed by one
    start, opening = max((i, key) for i, text in enumerate(texts) for key in known if text.startswith(key))
    acted = [message for message in messages[start + 1 :] if message["role"] == "assistant"]
    busy = [BUSY in str(message["content"]) for message in messages[start + 1 :] if message["role"] == "tool"]
    if messages[-1]["role"] == "tool" and busy[-1]:
        if RETRY not in texts[-1]:
            return _called("close_case", {"outcome": "refused"})
        function = acted[-1]["tool_calls"][0]["function"]
        return _called(function["name"], json.loads(function["arguments"]))
    action = known[opening][len(acted) - sum(busy)]
    return _called(action.tool, action.arguments) if action.tool else {"role": "assistant", "content": action.text}


def _called(name: str, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tasks", type=int, default=12, help="test tasks that it knows")
    parser.add_argument("--trials", type=int, default=2)
    arguments = parser.parse_args()
    known = scripts("test", arguments.tasks, arguments.trials)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send({"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "vllm"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            message = reply(asked["messages"], known)
            length = sum(len(str(one.get("content") or "")) for one in asked["messages"]) // 4
            usage = {"prompt_tokens": length, "completion_tokens": len(json.dumps(message)) // 4}
            usage["total_tokens"] = sum(usage.values())
            ended = "tool_calls" if message.get("tool_calls") else "stop"
            choice = {"index": 0, "finish_reason": ended, "message": message}
            head = {"id": "c", "object": "chat.completion", "created": 0, "model": "scripted"}
            self.send({**head, "choices": [choice], "usage": usage})

        def send(self, tree: Any) -> None:
            body = json.dumps(tree).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep silent."""

    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
