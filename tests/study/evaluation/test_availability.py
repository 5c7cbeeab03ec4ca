"""A benchmark whose judge cannot be reached is left out, with the reason, before anything is asked."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from vtstudy.evaluation import availability
from vtstudy.evaluation.availability import unavailable, unavailable_reason


@pytest.fixture
def judge(monkeypatch):
    """The address of a judge that takes the key `right`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            right = self.headers["Authorization"] == "Bearer right" and self.path == "/v1/models"
            self.send_response(200 if right else 401)
            self.end_headers()

        def log_message(self, *_):
            pass

    for name in ("API_TYPE", "OPENAI_API_KEY", "OPENAI_API_URL", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    availability._judge_problem.cache_clear()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
    availability._judge_problem.cache_clear()


def test_a_benchmark_without_a_judge_needs_nothing(judge):
    assert unavailable_reason("pope") is None and unavailable(["pope", "mmvet", "mme"]).keys() == {"mmvet"}


def test_the_judge_needs_a_key_that_it_takes(judge, monkeypatch):
    monkeypatch.setenv("OPENAI_API_URL", judge)
    assert "OPENAI_API_KEY is not set" in unavailable_reason("mmvet")
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    assert "refuses" in unavailable_reason("mmvet")
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    assert unavailable_reason("mmvet") is None


def test_the_judge_must_be_reached(judge, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    monkeypatch.setenv("OPENAI_API_URL", "http://127.0.0.1:9/v1")  # nothing listens there
    assert "cannot be reached" in unavailable_reason("mmvet")
    monkeypatch.setenv("API_TYPE", "dummy")
    assert "at random" in unavailable_reason("mmvet")
