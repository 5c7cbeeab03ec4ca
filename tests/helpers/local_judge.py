"""A local stand-in for the GPT judge of MM-Vet's task: a server that speaks OpenAI's interface and grades by a rule."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from helpers.local_server import LocalServer

KEY = "sk-local"


class LocalJudge(LocalServer):
    """The server.

    Attributes:
        graded: how many answers it has graded.
    """

    def __init__(self) -> None:
        self.graded = 0
        super().__init__(_Handler)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make lmms-eval's tasks ask this judge."""
        return {"OPENAI_API_KEY": KEY, "OPENAI_API_URL": f"{self.endpoint}/v1"}


def grade(prompt: str) -> str:
    """A grade between 0.0 and 1.0, the same for the same prompt."""
    return f"{hashlib.sha256(prompt.encode()).digest()[0] % 11 / 10:.1f}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, judge: LocalJudge, *arguments: Any) -> None:
        self.judge = judge
        super().__init__(*arguments)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "judge", "object": "model", "created": 0, "owned_by": "local"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        content = asked["messages"][-1]["content"]
        prompt = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        self.judge.graded += 1
        message = {"role": "assistant", "content": grade(prompt)}
        self._send(
            {
                "id": "local",
                "object": "chat.completion",
                "created": 0,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )

    def _send(self, data: object) -> None:
        known = self.headers.get("Authorization") == f"Bearer {KEY}"
        body = json.dumps(data if known else {"error": {"message": "Incorrect API key provided"}}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
