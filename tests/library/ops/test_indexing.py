"""Picking, marking and packing tokens, against plain lists."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vtprune.ops.indexing import indices_from_mask, inverse_of, mask_from_indices, pack_right, take

masks = st.integers(1, 6).flatmap(
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=3)
)


def marked(row: list[bool]) -> list[int]:
    return [index for index, mark in enumerate(row) if mark]


def test_take_picks_tokens_of_each_row():
    tensor = torch.arange(12.0).view(2, 3, 2)
    assert take(tensor, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


@given(masks)
def test_a_mask_comes_back_from_its_indices(rows):
    mask = torch.tensor(rows)
    most = max(map(len, map(marked, rows)))
    indices = torch.tensor([marked(row) + [-1] * (most - len(marked(row))) for row in rows], dtype=torch.long)
    assert torch.equal(mask_from_indices(indices, mask.shape[1]), mask)


@given(masks)
def test_indices_of_a_mask_ascend_and_are_filled_up_with_unmarked_ones(rows):
    indices = indices_from_mask(torch.tensor(rows)).tolist()
    for row, found in zip(rows, indices, strict=True):
        count = len(marked(row))
        assert found[:count] == marked(row)
        assert not any(row[index] for index in found[count:])
    assert len(indices[0]) == max(map(len, map(marked, rows)))


@given(masks)
def test_packed_rows_end_with_their_marked_tokens(rows):
    order = pack_right(torch.tensor(rows))
    inverse = inverse_of(order, len(rows[0])).tolist()
    for number, row in enumerate(rows):
        packed = order[number].tolist()
        count = len(marked(row))
        assert packed[len(packed) - count :] == marked(row)
        assert [packed[inverse[number][index]] for index in marked(row)] == marked(row)
