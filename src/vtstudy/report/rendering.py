"""Pages: written once in Markdown, and rendered to HTML for readers, printers and screen readers.

Conventions of the Markdown: a paragraph in italics before a table is its caption, and one after a picture is the
picture's. The first cell of a line names it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markdown_it.token import Token

from vtstudy.report import formatting

TEMPLATES = Path(__file__).parent / "templates"
_ONE_PARAGRAPH = 3
"""A paragraph is three tokens: its start, its text, its end."""


def fill(template: str, **values: object) -> str:
    """A Markdown template with its values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "listed": formatting.listed, "thousands": "{:,}".format}
    text = environment.get_template(template).render(values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def page(markdown: str, description: str, nav: list[tuple[str, str]], link: Callable[[str], str]) -> str:
    """A whole page of HTML.

    Args:
        markdown: of the page; its first heading is the title.
        description: one sentence for search engines and tabs.
        nav: links to the other pages, as text and address.
        link: the address in HTML of an address in the Markdown.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    title = next(line.removeprefix("# ") for line in markdown.splitlines() if line.startswith("# "))
    return environment.get_template("page.html.j2").render(
        title=title, description=description, nav=nav, body=to_html(markdown, link)
    )


def to_html(markdown: str, link: Callable[[str], str] = str) -> str:
    """The body of a page."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", link(str(child.attrGet("href"))))
            if child.type == "image":
                child.attrSet("loading", "lazy")
    return str(parser.renderer.render(_with_captions(_with_heads(tokens)), parser.options, {}))


def slug(heading: str) -> str:
    """The id of a heading, as GitHub makes it."""
    text = unicodedata.normalize("NFC", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


def _with_heads(tokens: list[Token]) -> list[Token]:
    """Headings have ids, heads of columns and lines have scopes, and cells know the heads of their columns."""
    first_cell, seen, heads, column = False, dict[str, int](), list[str](), 0
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            name = slug(_plain(tokens[place + 1]))
            seen[name] = seen.get(name, 0) + 1
            token.attrSet("id", name if seen[name] == 1 else f"{name}-{seen[name] - 1}")
        elif token.type == "table_open":
            heads = []
        elif token.type == "th_open":
            token.attrSet("scope", "col")
            heads.append(_plain(tokens[place + 1]))
        elif token.type == "tr_open":
            first_cell, column = True, 0
        elif token.type == "td_open" and not first_cell:
            column += 1
            token.attrSet("data-label", heads[column])
        elif token.type in ("td_open", "td_close") and first_cell:
            token.tag = "th"
            if token.type == "td_open":
                token.attrSet("scope", "row")
            else:
                first_cell = False
    return tokens


def _with_captions(tokens: list[Token]) -> list[Token]:
    """Tables stand in a box that scrolls, with their captions; pictures stand in figures with theirs."""
    arranged: list[Token] = []
    heading, place = "", 0
    while place < len(tokens):
        token = tokens[place]
        if token.type == "heading_open":
            heading = _plain(tokens[place + 1])
        after = place + _ONE_PARAGRAPH
        if _is_emphasis(tokens, place) and after < len(tokens) and tokens[after].type == "table_open":
            place = _table(tokens, after, tokens[place + 1], _plain(tokens[place + 1]), arranged)
        elif token.type == "table_open":
            place = _table(tokens, place, None, heading, arranged)
        elif _is_picture(tokens, place):
            arranged += [_raw("<figure>"), tokens[place + 1]]
            place = after
            if _is_emphasis(tokens, place):
                arranged += [_raw("<figcaption>"), tokens[place + 1], _raw("</figcaption>")]
                place += _ONE_PARAGRAPH
            arranged.append(_raw("</figure>\n"))
        else:
            arranged.append(token)
            place += 1
    return arranged


def _table(tokens: list[Token], start: int, caption: Token | None, label: str, arranged: list[Token]) -> int:
    """Add a table in its box; returns the place after it."""
    end = next(place for place in range(start, len(tokens)) if tokens[place].type == "table_close") + 1
    kind = "scroll" if any(token.attrGet("style") for token in tokens[start:end]) else "scroll text"
    box = f'<div class="{kind}" role="region" tabindex="0" aria-label="{html.escape(label)}">'
    arranged += [_raw(box), tokens[start]]
    if caption:
        arranged += [_raw("<caption>"), caption, _raw("</caption>")]
    arranged += [*tokens[start + 1 : end], _raw("</div>\n")]
    return end


def _is_emphasis(tokens: list[Token], place: int) -> bool:
    """Whether a paragraph is in italics throughout."""
    children = _children(tokens, place)
    return (
        len(children) > 2
        and children[0].type == "em_open"
        and children[-1].type == "em_close"
        and sum(child.type == "em_open" for child in children) == 1
    )


def _is_picture(tokens: list[Token], place: int) -> bool:
    """Whether a paragraph is one picture, with or without a link around it."""
    kinds = [child.type for child in _children(tokens, place)]
    return kinds == ["image"] or kinds == ["link_open", "image", "link_close"]


def _children(tokens: list[Token], place: int) -> list[Token]:
    if place + 1 >= len(tokens) or tokens[place].type != "paragraph_open" or tokens[place].hidden:
        return []
    return tokens[place + 1].children or []


def _plain(inline: Token) -> str:
    """The text of a line without its marks."""
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def _raw(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def cell(text: Any) -> str:
    """Text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
