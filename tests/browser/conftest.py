"""The browser of the tests, and pages in it that are watched for errors and requests."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers import chromium

PHONE, DESKTOP = 420, 1400


@dataclass
class Opened:
    """A page in the browser.

    Attributes:
        page: as playwright has it.
        errors: what the console or a script complained of, and which files could not be loaded.
        requests: the addresses that the page asked for and that are not files.
    """

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


def without_a_browser() -> str | None:
    """Why the tests cannot run here; None if they can."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        return "the packages for tests in a browser are not installed: run `make browser`"
    program = chromium.find()
    if program is None or not program.is_file():
        return f"there is no Chrome or Chromium: run `make browser`, or name one in {chromium.CHOSEN}"
    return None


ONE_ROW_OF_EACH_LOOK = """() => {
  const seen = new Set();
  for (const row of document.querySelectorAll("tbody tr, li")) {
    const parts = [row, ...row.querySelectorAll("*")];
    const looks = parts.map((part) => `${part.tagName} ${part.getAttribute("class")} ${part.getAttribute("style")}`);
    if (looks.every((look) => seen.has(look))) row.remove();
    looks.forEach((look) => seen.add(look));
  }
}"""
"""Removes the rows of tables and lists that look like earlier ones: measuring the contrast of each takes a minute."""


def violations(page: Any) -> dict[str, list[str]]:
    """By rule that axe-core finds broken, the first elements that break it. Contrast is looked at in light and dark.

    Rows that look alike are gone from the page afterwards.
    """
    found = _run_axe(page, rules={"color-contrast": {"enabled": False}})
    page.evaluate(ONE_ROW_OF_EACH_LOOK)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found |= {f"{rule}, {scheme}": nodes for rule, nodes in _run_axe(page, runOnly=["color-contrast"]).items()}
    return found


def _run_axe(page: Any, **options: Any) -> dict[str, list[str]]:
    from axe_playwright_python.sync_playwright import Axe  # it is there only after `make browser`

    # Style sheets beside a local page may not be read by a script, and no rule in use needs them.
    options |= {"preload": False, "resultTypes": ["violations"]}
    broken = Axe().run(page, options=options).response["violations"]
    return {rule["id"]: [node["html"][:200] for node in rule["nodes"][:5]] for rule in broken}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running headless Chromium; where there is none, the test is skipped. On the machines of CI it fails.

    It ends with each file: while playwright runs, its thread has a running event loop, and tests that
    follow could not start one.
    """
    reason = without_a_browser()
    if reason is not None:
        if os.environ.get("CI") and chromium.is_packaged():
            pytest.fail(reason)
        pytest.skip(reason)
    with chromium.launched(chromium.find()) as running:
        yield running


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a file in the browser: `open_page(path, width=..., dark=..., fragment=...)`."""
    contexts = []

    def opened(path: Path, *, width: int = DESKTOP, dark: bool = False, fragment: str = "") -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        contexts.append(context)
        context.set_default_timeout(5000)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: message.type == "error" and found.errors.append(message.text))
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        found.page.on("requestfailed", lambda request: found.errors.append(f"not loaded: {request.url}"))
        found.page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:")) or found.requests.append(request.url),
        )
        found.page.goto(path.resolve().as_uri() + fragment)
        return found

    yield opened
    for context in contexts:
        context.close()
