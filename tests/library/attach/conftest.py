"""Tiny randomly initialised LLaVA models, and prompts for them."""

from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_families import GRID, IMAGE, PAD, VOCABULARY, ready
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration


def build(kv_heads: int = 4, layers: int = 4, attention: str = "sdpa", **options) -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8 * GRID,
        patch_size=8,
        projection_dim=16,
    )
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, **options)
    config._attn_implementation = attention
    return ready(LlavaForConditionalGeneration(config), attention)


def prompts(lengths=((3, 5),), images=1, seed=0, per_image=GRID * GRID) -> dict[str, torch.Tensor]:
    """A left-padded batch; ``lengths`` holds the text before and after the image(s) of each row."""
    generator = torch.Generator().manual_seed(seed)
    counts = [images] * len(lengths) if isinstance(images, int) else images
    rows = []
    for (before, after), count in zip(lengths, counts, strict=True):
        text = torch.randint(4, VOCABULARY, (before + after,), generator=generator)
        rows.append(torch.cat((text[:before], torch.full((count * per_image,), IMAGE), text[before:])))
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), PAD)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, longest - len(tokens) :] = tokens
        mask[row, longest - len(tokens) :] = 1
    pixels = torch.randn(sum(counts), 3, 8 * GRID, 8 * GRID, generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}


def single(inputs: dict[str, torch.Tensor], row: int, images=1) -> dict[str, torch.Tensor]:
    """One row of a batch without its padding."""
    mask = inputs["attention_mask"][row].bool()
    counts = [images] * len(inputs["input_ids"]) if isinstance(images, int) else images
    first = sum(counts[:row])
    return {
        "input_ids": inputs["input_ids"][row][mask][None],
        "attention_mask": mask[mask].long()[None],
        "pixel_values": inputs["pixel_values"][first : first + counts[row]],
    }


@pytest.fixture(scope="session")
def tiny():
    """The helpers above, for tests in this folder."""
    return SimpleNamespace(build=build, prompts=prompts, single=single, grid=GRID, image=IMAGE)


@pytest.fixture(scope="session")
def model():
    return build(kv_heads=2)
