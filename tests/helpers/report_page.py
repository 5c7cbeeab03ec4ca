"""A page of the report as a reader's program sees it, and how long the first one may be."""

import re
from html.parser import HTMLParser

WORDS, BYTES = 3000, 1_000_000
"""What the first page may have at most: words, which have a letter, and bytes with its pictures."""


class Page(HTMLParser):
    """Links, pictures, ids, cells, headings and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.alts: list[str | None] = []
        self.cells: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if attributes.get("id") else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.alts += [attributes.get("alt")] if tag == "img" else []
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open) and self.cells:
            self.cells[-1] += data


def words(text: str) -> int:
    return sum(bool(re.search("[A-Za-z]", word)) for word in text.split())
