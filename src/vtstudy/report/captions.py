"""The report's figures with their captions as HTML, for the notebooks."""

import base64
import html
from pathlib import Path

import pandas as pd

CAPTIONS = "captions.csv"
"""The file beside the figures that holds their captions; the report writes it."""
CAPTIONED = ("name", "title", "caption", "alt", "file")
"""Its columns."""
ENDINGS = (".svg", ".png")


def captioned(path: Path) -> str:
    """A figure of the report with its caption, the image embedded, as HTML; "" if the report has no caption for it."""
    captions = _captions(path.parent)
    if path.stem not in captions:
        return ""
    title, caption, alt = map(html.escape, captions[path.stem])
    return (
        f'<figure><img src="{embedded(path)}" alt="{alt}">'
        f"<figcaption><strong>{title}.</strong> {caption}</figcaption></figure>"
    )


def embedded(path: Path) -> str:
    """A picture as a data URI, so that a page is one file that opens anywhere; the figure may have either ending."""
    path = drawn(path)
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def drawn(path: Path) -> Path:
    """The file of a figure, which the report writes as SVG or as PNG, whichever is smaller."""
    return next((other for ending in ENDINGS if (other := path.with_suffix(ending)).is_file()), path)


def _captions(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Title, caption and alternative text by name; empty if no report wrote any."""
    if not (folder / CAPTIONS).is_file():
        return {}
    frame = pd.read_csv(folder / CAPTIONS)
    return {row.name: (row.title, row.caption, row.alt) for row in frame.itertuples(index=False)}
