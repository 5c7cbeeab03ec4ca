"""Which questions show the same image."""

import numpy as np
import pytest
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as Picture

from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.images import image_numbers

RED, BLUE = (Picture.new("RGB", (8, 8), colour) for colour in ("red", "blue"))


def documents(shown, feature, **others):
    columns = {"image": shown} | others
    features = Features({"image": feature} | {name: Value("string") for name in others})
    return Dataset.from_dict(columns, features=features)


def test_equal_images_have_one_number():
    found = documents([BLUE, RED, BLUE, RED, RED.copy()], Image(), question=list("abcde"))
    assert image_numbers(found).tolist() == [0, 1, 0, 1, 1]
    assert image_numbers(found.select([3, 2, 4])).tolist() == [0, 1, 0]


def test_several_images_are_compared_together():
    found = documents([[RED], [RED, BLUE], [BLUE, RED], [RED, BLUE], [RED]], List(Image()))
    assert image_numbers(found).tolist() == [0, 1, 2, 1, 0]


def test_images_that_are_stored_as_files(tmp_path):
    for name, picture in (("a", RED), ("b", BLUE)):
        picture.save(tmp_path / f"{name}.png")
    found = documents([str(tmp_path / f"{name}.png") for name in "aba"], Image())
    assert image_numbers(found).tolist() == [0, 1, 0]


def test_nothing_is_decoded():
    """What is stored here is no image at all."""
    rows = [{"bytes": content, "path": None} for content in (b"one", b"two", b"one")]
    assert np.array_equal(image_numbers(documents(rows, Image())), [0, 1, 0])


def test_questions_without_images():
    with pytest.raises(EvaluationError, match=r"no column of images \(only question\)"):
        image_numbers(Dataset.from_dict({"question": ["a"]}))
