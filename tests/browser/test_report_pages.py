"""The committed report in a browser: every page that the main page links is accessible, and fits a phone."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from helpers import ROOT

from .conftest import PHONE, violations

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


@pytest.mark.parametrize("page", linked_pages())
def test_a_page_is_accessible_in_light_and_dark_and_fits_a_phone(open_page, page):
    found = open_page(ROOT / page)
    broken = violations(found.page)
    found.page.emulate_media(color_scheme="dark")
    broken |= {f"{rule} (dark)": where for rule, where in violations(found.page, "color-contrast").items()}
    found.page.set_viewport_size({"width": PHONE, "height": 900})
    width = found.page.evaluate("document.documentElement.scrollWidth")
    assert broken == {} and found.errors == [] and found.requests == [] and width <= PHONE
