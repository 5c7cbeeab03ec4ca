"""Pictures: how an image is made square for a model whose vision tower takes squares.

LLaVA-1.5's authors pad an image to a square with the tower's mean colour, so that nothing of it is lost. The processor
of `llava-hf/llava-1.5-7b-hf` cuts the largest square out of the centre instead: a page of 1700 x 2200 pixels loses 23 %
of its height. LLaVA-NeXT and InternVL lay an image on tiles, and neither pad it to a square nor cut it.

An image is upright when it gets here: `datasets` turns a photo as its EXIF orientation says when it decodes it, and the
authors' models got the same images from lmms-eval.
"""

from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from vtstudy.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from transformers import ProcessorMixin

PROCESSOR, PAD, CROP = "processor", "pad", "crop"
HANDLINGS = (PROCESSOR, PAD, CROP)
"""`processor`: whatever the checkpoint's processor does. `pad`: padded to a square first. `crop`: the processor cuts
out the centre (it is checked that it does)."""


def check_pictures(handling: str, processor: "ProcessorMixin") -> None:
    """Check that a processor's images can be handled like this.

    Raises:
        EvaluationError: for an unknown handling, and for `pad` or `crop` with a processor that lays images on tiles, or
            `crop` with one that does not crop.
    """
    if handling not in HANDLINGS:
        raise EvaluationError(f"there is no handling of pictures {handling!r}; there are {', '.join(HANDLINGS)}")
    images = _image_processor(processor)
    if handling != PROCESSOR and (getattr(images, "image_grid_pinpoints", None) or hasattr(images, "crop_to_patches")):
        raise EvaluationError(
            f"pictures: {handling} is for models of one square grid, but this checkpoint lays images on tiles, which "
            f"its authors neither pad nor crop to a square: take pictures: {PROCESSOR}"
        )
    if handling == CROP and not getattr(images, "do_center_crop", False):
        raise EvaluationError(
            f"pictures: {CROP} is for processors that crop the centre, which this checkpoint's does not: "
            f"take pictures: {PROCESSOR}"
        )


def shown(handling: str, processor: "ProcessorMixin", image: Image.Image) -> Image.Image:
    """The image as the processor gets it."""
    if handling != PAD:
        return image
    return padded(image.convert("RGB"), mean_colour(processor))


def mean_colour(processor: "ProcessorMixin") -> tuple[int, int, int]:
    """The mean colour that a processor subtracts, in 0 to 255, cut off as the authors' code does."""
    red, green, blue = (int(mean * 255) for mean in _image_processor(processor).image_mean)
    return red, green, blue


def padded(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The image in the middle of a square of its longer side; an odd pixel is added at the bottom or on the right.

    This is `expand2square` of haotian-liu/LLaVA, llava/mm_utils.py.

    Args:
        image: in mode RGB.
        colour: of the square.
    """
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new(image.mode, (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _image_processor(processor: "ProcessorMixin") -> Any:
    return cast(Any, processor).image_processor
