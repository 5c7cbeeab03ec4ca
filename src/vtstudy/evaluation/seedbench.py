"""SEED-Bench's questions about images, for the task `seedbench_image`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset


def about_images(documents: "Dataset") -> "Dataset":
    """The documents that show an image, in their order. The others show frames of a video."""
    return documents.select([index for index, kind in enumerate(documents["data_type"]) if kind == "image"])
