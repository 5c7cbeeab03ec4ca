"""The committed report in a browser: every page that the main page links is accessible, and fits a phone."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from helpers import ROOT

from .conftest import DESKTOP, PHONE, violations

pytestmark = pytest.mark.slow

REPORT = ROOT / "reports/miniature"
MAIN = REPORT / "index.html"


class _Links(HTMLParser):
    """Collects the addresses of links."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if tag == "a" and name == "href" and value]


def linked_pages():
    """The main page, and the pages of the report that it links, as paths below the report's folder."""
    links = _Links()
    links.feed(MAIN.read_text())
    paths = [urlsplit(link) for link in links.found]
    local = [MAIN.parent / url.path for url in paths if url.path.endswith(".html") and not (url.scheme or url.netloc)]
    pages = {path.resolve().relative_to(ROOT).as_posix() for path in local}
    return sorted(pages | {MAIN.relative_to(ROOT).as_posix()})


ONE_OF_EACH_KIND = ("index.html", "pages/claims.html", "pages/figures.html", "notebooks/03-redundancy.html")
"""Pages that are looked at before each commit; CI looks at all."""


def marked(page: str):
    first = page.removeprefix("reports/miniature/") in ONE_OF_EACH_KIND
    return pytest.param(page, marks=pytest.mark.slow if first else pytest.mark.exhaustive)


def test_the_first_pages_are_there():
    assert {f"reports/miniature/{page}" for page in ONE_OF_EACH_KIND} <= set(linked_pages())


@pytest.mark.parametrize("page", [marked(page) for page in linked_pages()])
def test_a_page_is_accessible_and_fits_a_phone(open_page, page):
    found = open_page(ROOT / page, width=PHONE)
    width = found.page.evaluate("document.documentElement.scrollWidth")
    assert found.errors == [] and found.requests == [] and width <= PHONE
    found.page.set_viewport_size({"width": DESKTOP, "height": 900})
    assert violations(found.page) == {}


BROKEN = """<!doctype html><html><title>A page</title>
<style>@media (prefers-color-scheme: dark) { td { color: #ddd } }</style>
<body style="background: #fff"><main><h1>A page</h1><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<table><tr><th>Name</th><td>one</td></tr><tr><th>Name</th><td>two</td></tr></table></main>"""
"""It names no language, it has a picture without a text, and its text is faint in the dark."""


def test_a_broken_page_is_found(open_page, tmp_path):
    """So that the other tests of accessibility can fail."""
    page = tmp_path / "index.html"
    page.write_text(BROKEN)
    assert set(violations(open_page(page).page)) == {"html-has-lang", "image-alt", "color-contrast, dark"}
