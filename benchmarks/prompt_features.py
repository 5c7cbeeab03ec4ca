"""Random features of image tokens, of a 7B decoder's sizes, whose scores are computed as attaching computes them."""

from dataclasses import replace
from functools import cache

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from vtprune.attach.attention import attention_received, paid_by_each, paid_by_last
from vtprune.attach.recording import Recorded
from vtprune.features import Features, Patches, Text
from vtprune.methods import Method
from vtprune.ops import grid_positions
from vtprune.ops.indexing import mask_from_indices

SIDE, TEXT, TOWER_HEAD = 24, 64, 64  # LLaVA-1.5's grid; text tokens; width of a head of its tower
LAYERS = 32
REMEMBERED = ("attention", "received", "paid_by_text", "keys", "text", "tower")


class Decoder:
    """One decoder layer of a given width, in LLaMA's proportions, and the time it takes for a prompt.

    Args:
        width: of a hidden state; heads are 128 wide.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.device = device
        self.config = LlamaConfig(
            hidden_size=width,
            intermediate_size=int(width * 2.6875),
            num_attention_heads=width // 128,
            num_key_value_heads=width // 128,
            attn_implementation="sdpa",
        )
        with torch.device(device):
            self.layer = LlamaDecoderLayer(self.config, 0).eval()
            self.rotary = LlamaRotaryEmbedding(self.config)
            self.inputs = torch.randn(1, 1, width)

    @torch.inference_mode()
    def run(self, tokens: int) -> None:
        """Run the layer on a prompt of so many image tokens and the text."""
        positions = torch.arange(tokens + TEXT, device=self.device)[None]
        hidden = self.inputs.expand(1, tokens + TEXT, -1)
        self.layer(hidden, position_embeddings=self.rotary(hidden, positions), position_ids=positions)


def features(decoder: Decoder, pictures: int, rows: int = 1) -> Features:
    """The features of `rows` prompts with so many grids of 24 x 24 tokens, before a layer of the decoder.

    Nothing is remembered: each call of a feature computes it again; `choose` remembers what attaching does.
    """
    generator, width, device = torch.Generator().manual_seed(pictures), decoder.config.hidden_size, decoder.device
    heads, tokens = decoder.config.num_attention_heads, pictures * SIDE**2
    length, before = tokens + TEXT, TEXT // 2

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(rows, *shape, generator=generator).to(device)

    # A large common part, as in real states: otherwise no two tokens are similar, and nothing is suppressed.
    states = 5 * random(1, width) + random(length, width)
    recorded = Recorded(random(heads, length, width // heads), random(heads, length, width // heads), 0.01)
    image, text = states[:, before : before + tokens], torch.cat((states[:, :before], states[:, before + tokens :]), 1)
    tower, tower_keys = random(tokens).softmax(dim=1), random(tokens, TOWER_HEAD)
    attended = torch.ones(rows, length, dtype=torch.bool, device=device)
    places = torch.cat((torch.arange(before), torch.arange(before + tokens, length))).to(device)
    is_text = mask_from_indices(places.expand(rows, -1), length)
    valid = torch.ones(rows, tokens, dtype=torch.bool, device=device)
    present = torch.ones(rows, TEXT, dtype=torch.bool, device=device)
    ids, number = torch.zeros(rows, TEXT, dtype=torch.long, device=device), torch.arange(pictures, device=device)

    def of_image(row: torch.Tensor) -> torch.Tensor:
        return row[..., before : before + tokens]

    def received() -> tuple[torch.Tensor, torch.Tensor]:
        paid = attention_received(recorded, attended, torch.stack((is_text, ~is_text), dim=1))
        return of_image(paid[:, 0]), of_image(paid[:, 1])

    def keys(normalised: bool) -> torch.Tensor:
        return decoder.layer.self_attn.k_proj(decoder.layer.input_layernorm(image) if normalised else image)

    def last_keys() -> tuple[torch.Tensor, torch.Tensor]:
        flat = recorded.key.transpose(1, 2).flatten(2)
        return flat[:, before : before + tokens], flat[:, places]

    grid = grid_positions(SIDE, SIDE).to(device)
    return Features(
        valid=valid,
        positions=grid.repeat(pictures, 1).expand(rows, -1, -1),
        grids=torch.full((rows, tokens, 2), SIDE, device=device),
        image=number.repeat_interleave(SIDE**2).expand(rows, -1),
        attention=lambda: of_image(paid_by_last(recorded, attended)),
        received=received,
        paid_by_text=lambda: of_image(paid_by_each(recorded, attended, places.expand(rows, -1))),
        last_keys=last_keys,
        keys=keys,
        embeddings=lambda: image.contiguous(),
        fingerprint=lambda: [bytes([row]) for row in range(rows)],
        hidden=lambda: image.contiguous(),
        final=lambda: (decoder.layer.input_layernorm(image), decoder.layer.input_layernorm(text)),
        text=lambda: Text(ids, text, present, present & (torch.arange(TEXT, device=device) >= before)),
        at_first=lambda: valid,
        tower=lambda: Patches(tower, tower_keys, valid),
    )


@torch.inference_mode()
def choose(method: Method, given: Features) -> torch.Tensor:
    """Run scoring, selection and merging of all stages of a method. Returns what the last one chose."""
    goal, chosen = None, torch.empty(0)
    for stage in method.stages():
        seen = replace(given, **{name: cache(getattr(given, name)) for name in REMEMBERED})
        counts, goal = stage.counts(seen, goal)
        chosen = stage.ranking.select(seen, counts)
        kept = mask_from_indices(chosen, given.valid.shape[1])
        stage.ranking.merge(seen, kept)
        given = replace(given, valid=kept)
    return chosen
