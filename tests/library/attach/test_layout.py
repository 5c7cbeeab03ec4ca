"""Token spans and grids, from ids, configuration and image sizes, against transformers' own arithmetic."""

from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_families import PINPOINTS, tiling
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import InternVLModel, LlavaNextModel, LlavaNextProcessor

from vtprune.attach.families.internvl import InternVL
from vtprune.attach.families.llava import Llava
from vtprune.attach.families.llava_next import LlavaNext
from vtprune.attach.layout import square_grid

IMAGE = 9
LLAVA_NEXT = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


def config(image_size=8, patch_size=4, strategy="default", tower="clip_vision_model"):
    vision = SimpleNamespace(image_size=image_size, patch_size=patch_size, model_type=tower)
    return SimpleNamespace(vision_config=vision, image_token_id=IMAGE, vision_feature_select_strategy=strategy)


def test_image_tokens_stand_where_their_ids_are():
    ids = torch.tensor([[0, 0, 1, 9, 9, 9, 9, 2], [9, 9, 9, 9, 1, 1, 2, 3]])
    layout = Llava().layout(config(), ids, ids > 0)
    assert layout.index.tolist() == [[3, 4, 5, 6], [0, 1, 2, 3]]
    assert layout.positions[1].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert layout.grids.unique(dim=1).tolist() == [[[2, 2]], [[2, 2]]]
    assert layout.valid.all()


def test_padding_with_the_image_token_is_not_an_image():
    ids = torch.tensor([[9, 9, 9, 9, 9, 9, 2]])
    attended = torch.tensor([[False, False, True, True, True, True, True]])
    assert Llava().layout(config(), ids, attended).index.tolist() == [[2, 3, 4, 5]]


def test_rows_with_different_numbers_of_images():
    ids = torch.tensor([[9, 9, 9, 9, 1, 9, 9, 9, 9, 2], [1, 1, 1, 1, 1, 9, 9, 9, 9, 2]])
    layout = Llava().layout(config(), ids, ids > 0)
    assert layout.valid.sum(dim=1).tolist() == [8, 4]
    assert layout.image[0].tolist() == [0] * 4 + [1] * 4
    assert layout.index[0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert layout.index[1, :4].tolist() == [5, 6, 7, 8]


def test_grids_need_not_be_square():
    layout = Llava().layout(config(image_size=[4, 12]), torch.tensor([[9, 9, 9, 1]]), torch.ones(1, 4).bool())
    assert layout.positions[0].tolist() == [[0, 0], [0, 1], [0, 2]]
    assert layout.grids[0, 0].tolist() == [1, 3]


def test_the_class_token_has_no_place_on_the_grid():
    ids = torch.tensor([[9, 9, 9, 9, 9, 1]])
    layout = Llava().layout(config(strategy="full"), ids, ids > 0)
    assert layout.valid[0].tolist() == [False, True, True, True, True]
    assert layout.cell[0, 1:].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("tower", [{"image_size": None}, {"tower": "pixtral"}])
def test_towers_without_a_fixed_grid_are_refused(tower):
    with pytest.raises(ValueError, match="grid"):
        square_grid(config(**tower))


# ---- LLaVA-NeXT


def next_config(patch_size=14, image_size=336, pinpoints=LLAVA_NEXT):
    return SimpleNamespace(**vars(config(image_size, patch_size)), image_grid_pinpoints=pinpoints)


def ids_of(*lengths):
    """Rows of one text token, so many image tokens, and one text token, padded on the left."""
    longest = max(lengths)
    return torch.tensor([[0] * (longest - n) + [1] + [IMAGE] * n + [2] for n in lengths])


def processor_count(settings_, height, width):
    """What transformers' processor makes of an image of that size."""
    vision = settings_.vision_config
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=settings_.image_grid_pinpoints),
        patch_size=vision.patch_size,
        num_additional_image_tokens=1,
    )
    processor._get_unpadded_features = lambda *sizes: LlavaNextProcessor._get_unpadded_features(processor, *sizes)
    size = vision.image_size
    return LlavaNextProcessor._get_number_of_features(processor, height, width, size, size) - 1


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4000), st.integers(1, 4000))
def test_llava_next_has_as_many_tokens_as_its_processor_makes(height, width):
    count = processor_count(next_config(), height, width)
    ids = ids_of(count)
    layout = LlavaNext().layout(next_config(), ids, ids > 0, torch.tensor([[height, width]]))
    base, grid = layout.parts[0]
    assert (base.name, base.grid, grid.name) == ("base", (24, 24), "any-res")
    assert layout.valid.sum() == count == 576 + grid.grid[0] * grid.grid[1] <= 2928


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_llava_next_tokens_lie_where_the_model_packs_them(height, width):
    """Tiles whose features are their own places on the canvas come back in the layout's order."""
    small = next_config(8, 32, PINPOINTS)
    ids = ids_of(processor_count(small, height, width))
    layout = LlavaNext().layout(small, ids, ids > 0, torch.tensor([[height, width]]))
    down, across = tiling((height, width))
    assert layout.parts[0][1].pictures == down * across
    rows, columns = torch.meshgrid(torch.arange(4 * down), torch.arange(4 * across), indexing="ij")
    canvas = torch.stack((rows, columns), dim=-1)
    pictures = canvas.view(down, 4, across, 4, 2).transpose(1, 2).reshape(-1, 16, 2)
    features = torch.cat((canvas[None, :4, :4].reshape(1, 16, 2), pictures)).float()
    newline = torch.tensor([-1.0, -1.0])
    (packed,), _ = LlavaNextModel.pack_image_features(
        SimpleNamespace(config=small), [features], torch.tensor([[height, width]]), "default", newline
    )
    assert torch.equal(packed[:16].long(), layout.positions[0, :16])
    rest, places, (grid_rows, grid_columns) = packed[16:].long(), layout.positions[0, 16:], layout.parts[0][1].grid
    assert len(rest) == len(places) == grid_rows * grid_columns
    is_newline = places[:, 1] == grid_columns - 1
    assert torch.equal((rest == -1).all(dim=1), is_newline)
    # Padding is cut off evenly on both sides.
    offset = torch.tensor([(4 * down - grid_rows) // 2, (4 * across - grid_columns + 1) // 2])
    assert torch.equal(rest[~is_newline], places[~is_newline] + offset)


def test_images_are_distributed_over_rows_and_beams():
    sizes = [(336, 672), (700, 300), (500, 500)]
    one, two, three = (processor_count(next_config(), *size) for size in sizes)
    ids = ids_of(one, two + three)
    layout = LlavaNext().layout(next_config(), ids, ids > 0, torch.tensor(sizes))
    assert [[part.image for part in row] for row in layout.parts] == [[0, 0], [0, 0, 1, 1]]
    assert layout.parts[0][1].grid == (24, 49) and layout.parts[0][1].pictures == 2
    assert layout.image[1, two].item() == 2 and layout.positions[1, two].tolist() == [0, 0]
    beams = LlavaNext().layout(
        next_config(), ids.repeat_interleave(2, 0), (ids > 0).repeat_interleave(2, 0), torch.tensor(sizes)
    )
    assert beams.parts == [layout.parts[0]] * 2 + [layout.parts[1]] * 2


# ---- InternVL


def internvl_config(image_size=(16, 16), patch_size=(2, 2), ratio=0.5):
    return SimpleNamespace(**vars(config(image_size, patch_size, tower="internvl_vision")), downsample_ratio=ratio)


def test_internvl_tiles_are_16_by_16():
    real = internvl_config((448, 448), (14, 14))
    ids = ids_of(13 * 256, 256)
    layout = InternVL().layout(real, ids, ids > 0)
    assert [part.name for part in layout.parts[0]] == ["tile"] * 12 + ["thumbnail"]
    assert [part.name for part in layout.parts[1]] == ["tile"]
    assert layout.valid.sum(dim=1).tolist() == [13 * 256, 256]
    assert layout.image[0, 255:257].tolist() == [0, 1]
    assert layout.positions[0, 256 + 17].tolist() == [1, 1] and layout.grids[0, 300].tolist() == [16, 16]


def test_consecutive_image_tokens_are_one_image_of_internvl():
    ids = torch.tensor([[1] + [IMAGE] * 48 + [2, 1] + [IMAGE] * 16 + [2]])
    layout = InternVL().layout(internvl_config(), ids, ids > 0)
    assert [(part.image, part.name) for part in layout.parts[0]] == [
        (0, "tile"),
        (0, "tile"),
        (0, "thumbnail"),
        (1, "tile"),
    ]
    assert layout.index[0, [0, 47, 48]].tolist() == [1, 48, 51]


def test_internvl_tokens_lie_where_pixel_shuffling_puts_them():
    """A token at (row, column) is made of the 2x2 patches there."""
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    patches = torch.stack((rows, columns), dim=-1)[None].float()
    shuffled = InternVLModel.pixel_shuffle(None, patches, scale_factor=0.5).reshape(16, 4, 2)
    ids = ids_of(16)
    layout = InternVL().layout(internvl_config(), ids, ids > 0)
    assert torch.equal((shuffled.long() // 2).unique(dim=1)[:, 0], layout.positions[0])
    assert (shuffled.long() // 2 == layout.positions[0][:, None]).all()
