"""Pictures as data sets hold them: files of several formats, sizes and colour modes, among them odd ones."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from PIL import Image, ImageDraw

ORIENTATION, TURNED = 0x0112, 6  # EXIF: the camera was turned by a quarter


@dataclass(frozen=True)
class StoredPicture:
    """A picture's file.

    Attributes:
        name: with its suffix.
        content: the file's bytes.
        width, height: in pixels.
    """

    name: str
    content: bytes
    width: int
    height: int

    @property
    def value(self) -> dict[str, object]:
        """The value of an image column."""
        return {"bytes": self.content, "path": self.name}


def drawing(width: int, height: int, seed: int) -> Image.Image:
    """A picture with some rectangles, so that no two are equal."""
    rng = Random(f"{width}x{height}-{seed}")
    image = Image.new("RGB", (width, height), tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = rng.randrange(width), rng.randrange(height)
        right, bottom = rng.randrange(left, width), rng.randrange(top, height)
        draw.rectangle((left, top, right, bottom), fill=tuple(rng.randrange(256) for _ in range(3)))
    return image


def _file(image: Image.Image, suffix: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG", "png": "PNG", "gif": "GIF"}[suffix], **options)
    return buffer.getvalue()


def _turned(seed: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    return _file(drawing(320, 240, seed), "jpg", exif=exif)


def _sixteen_bits(seed: int) -> bytes:
    gradient = Image.linear_gradient("L").resize((200, 200)).rotate(seed % 360)
    return _file(gradient.convert("I").point(lambda value: value * 256 + seed % 256).convert("I;16"), "png")


def _animated(seed: int) -> bytes:
    frames = [drawing(120, 120, seed + number).convert("P") for number in range(3)]
    return _file(frames[0], "gif", save_all=True, append_images=frames[1:], duration=100)


ODD: Mapping[str, tuple[str, Callable[[int], bytes]]] = {
    "grey": ("png", lambda seed: _file(drawing(256, 256, seed).convert("L"), "png")),
    "grey_alpha": ("png", lambda seed: _file(drawing(256, 256, seed).convert("LA"), "png")),
    "rgba": ("png", lambda seed: _file(drawing(300, 150, seed).convert("RGBA"), "png")),
    "palette": ("png", lambda seed: _file(drawing(200, 400, seed).convert("P"), "png")),
    "cmyk": ("jpg", lambda seed: _file(drawing(336, 336, seed).convert("CMYK"), "jpg")),
    "sixteen_bits": ("png", _sixteen_bits),
    "turned": ("jpg", _turned),
    "dot": ("png", lambda seed: _file(Image.new("RGB", (1, 1), (seed % 256, 20, 30)), "png")),
    "wide": ("png", lambda seed: _file(drawing(8000, 20, seed), "png")),
    "tall": ("png", lambda seed: _file(drawing(20, 8000, seed), "png")),
    "animated": ("gif", _animated),
    "page": ("png", lambda seed: _file(drawing(1700, 2200, seed).convert("1"), "png")),
}
"""By kind, the suffix and the maker of a file."""
SIZES = ((336, 336), (640, 320), (300, 300), (250, 500), (448, 448), (640, 640), (100, 100), (900, 300))
"""Widths and heights of ordinary pictures. Few have InternVL2's largest number of tiles, which takes long."""


@cache
def picture(kind: str, seed: int) -> StoredPicture:
    """A picture of an odd kind, or an ordinary one for the kind `photo`."""
    if kind == "photo":
        width, height = SIZES[seed % len(SIZES)]
        suffix, content = "jpg", _file(drawing(width, height, seed), "jpg")
    else:
        suffix, make = ODD[kind]
        content = make(seed)
    with Image.open(io.BytesIO(content)) as image:
        return StoredPicture(f"{kind}_{seed:06d}.{suffix}", content, *image.size)


def pictures(count: int, seed: int, odd: tuple[str, ...] = ()) -> list[StoredPicture]:
    """So many pictures: one of each odd kind first, then ordinary ones."""
    kinds = [*odd, *["photo"] * count][:count]
    return [picture(kind, 1000 * seed + number) for number, kind in enumerate(kinds)]
