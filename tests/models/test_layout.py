"""Token spans and grids, from ids and configuration alone."""

from types import SimpleNamespace

import pytest
import torch

from vtprune.models.layout import llava_layout, square_grid

IMAGE = 9


def config(image_size=8, patch_size=4, strategy="default", tower="clip_vision_model"):
    vision = SimpleNamespace(image_size=image_size, patch_size=patch_size, model_type=tower)
    return SimpleNamespace(vision_config=vision, image_token_id=IMAGE, vision_feature_select_strategy=strategy)


def test_spans_stand_where_the_ids_are():
    ids = torch.tensor([[0, 0, 1, 9, 9, 9, 9, 2], [9, 9, 9, 9, 1, 1, 2, 3]])
    layout = llava_layout(config(), ids, ids > 0)
    assert layout.index.tolist() == [[3, 4, 5, 6], [0, 1, 2, 3]]
    assert layout.positions[1].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert layout.grids.unique(dim=1).tolist() == [[[2, 2]], [[2, 2]]]
    assert layout.valid.all()


def test_padding_with_the_image_token_is_no_image():
    ids = torch.tensor([[9, 9, 9, 9, 9, 9, 2]])
    attended = torch.tensor([[False, False, True, True, True, True, True]])
    assert llava_layout(config(), ids, attended).index.tolist() == [[2, 3, 4, 5]]


def test_images_apart_and_fewer_of_them():
    ids = torch.tensor([[9, 9, 9, 9, 1, 9, 9, 9, 9, 2], [1, 1, 1, 1, 1, 9, 9, 9, 9, 2]])
    layout = llava_layout(config(), ids, ids > 0)
    assert layout.valid.sum(dim=1).tolist() == [8, 4]
    assert layout.image[0].tolist() == [0] * 4 + [1] * 4
    assert layout.index[0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert layout.index[1, :4].tolist() == [5, 6, 7, 8]


def test_grids_need_not_be_square():
    layout = llava_layout(config(image_size=[4, 12]), torch.tensor([[9, 9, 9, 1]]), torch.ones(1, 4).bool())
    assert layout.positions[0].tolist() == [[0, 0], [0, 1], [0, 2]]
    assert layout.grids[0, 0].tolist() == [1, 3]


def test_the_class_token_has_no_cell():
    ids = torch.tensor([[9, 9, 9, 9, 9, 1]])
    layout = llava_layout(config(strategy="full"), ids, ids > 0)
    assert layout.valid[0].tolist() == [False, True, True, True, True]
    assert layout.cell[0, 1:].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("tower", [{"image_size": None}, {"tower": "pixtral"}])
def test_towers_without_a_fixed_grid(tower):
    with pytest.raises(ValueError, match="has no fixed grid"):
        square_grid(config(**tower))
