"""The training of miniature-llava: the vision tower learns from labelled cells, the language model from questions."""

from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import LlavaForConditionalGeneration

from vtstudy.training.language import KINDS, answer_loss, block_mask, collate, packed_questions
from vtstudy.training.miniature import WIDTH, llava_config
from vtstudy.training.recipe import Recipe, Stage, StageSettings
from vtstudy.training.tokenizer import build_processor, vocabulary
from vtstudy.training.tower import VISUAL_WORDS, DenseHead, labelled
from vtstudy.training.training_loop import Loss, Stream


class Tower(nn.Module):
    """The vision tower and the projector of a LLaVA, with the head that trains them."""

    def __init__(self, model: LlavaForConditionalGeneration):
        super().__init__()
        self.vision_tower, self.projector = model.model.vision_tower, model.model.multi_modal_projector
        self.head = DenseHead(WIDTH)

    def features(self, pixel_values: Tensor) -> Tensor:
        """The projected features of the cells: `[b, 3, 96, 96]` to `[b, 144, WIDTH]`."""
        return self.projector(self.vision_tower(pixel_values=pixel_values).last_hidden_state[:, 1:])


def llava_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The training of miniature-llava.

    Args:
        settings: `seed`, and the settings of the stages `tower` and `language`.
    """
    seed = settings["seed"]
    torch.manual_seed(seed)
    words = vocabulary()
    processor = build_processor(words)
    model = LlavaForConditionalGeneration(llava_config(words))
    tower = Tower(model)
    tower_settings, language_settings = StageSettings(**settings["tower"]), StageSettings(**settings["language"])
    tower_stage = Stage(
        "tower",
        tower_settings,
        module=tower,
        stream=Stream(f"tower-{seed}", tower_settings.batch, tower_example, default_collate),
        loss=partial(tower_loss, tower),
        warmup=100,
        prepare=partial(_prepare_tower, tower),
        code=(llava_config, WIDTH, tower_loss, DenseHead, Tower),
    )
    tables_from = language_settings.tables_from or 0
    example = partial(packed_questions, tokenizer=processor.tokenizer, tables_from=tables_from)
    language_stage = Stage(
        "language",
        language_settings,
        module=model.model.language_model,
        stream=Stream(f"language-{seed}", language_settings.batch, example, collate),
        loss=partial(language_loss, tower, model),
        warmup=200,
        prepare=partial(prepare_language, tower, model, processor.tokenizer, compile_decoder=language_settings.compile),
        code=(llava_config, WIDTH, prepare_language, language_loss, answer_loss, block_mask, KINDS),
    )
    return Recipe(model, processor, (tower_stage, language_stage))


def tower_example(rng: Random, step: int) -> tuple[Tensor, Tensor]:
    """The same kind of example at every step."""
    return labelled(rng)


def _prepare_tower(tower: Tower, device: torch.device) -> None:
    tower.to(device)


def tower_loss(tower: Tower, batch: Any, device: torch.device) -> Loss:
    images, labels = (tensor.to(device) for tensor in batch)
    with torch.autocast(device.type, torch.bfloat16):
        features = tower.features(images)
    return tower.head(features, labels)


def prepare_language(
    tower: Tower, model: LlavaForConditionalGeneration, tokenizer: Any, device: torch.device, *, compile_decoder: bool
) -> None:
    """Freeze the tower, and start the decoder from the word embeddings of the tower's head.

    So the image tokens are near the embeddings of the words that describe their cells from the first step on.
    """
    decoder = model.model.language_model
    ids = tokenizer.convert_tokens_to_ids(list(VISUAL_WORDS))
    with torch.no_grad():
        decoder.embed_tokens.weight.normal_(std=WIDTH**-0.5)
        decoder.embed_tokens.weight[ids] = tower.head.embedding.to("cpu")
    tower.requires_grad_(False).eval()
    decoder.to(device).train()
    if compile_decoder:
        decoder.compile(dynamic=False)


def language_loss(tower: Tower, model: LlavaForConditionalGeneration, batch: Any, device: torch.device) -> Loss:
    batch = {key: value.to(device) for key, value in batch.items()}
    with torch.autocast(device.type, torch.bfloat16):
        with torch.no_grad():
            features = tower.features(batch["pixels"])
        return answer_loss(model, features, batch)
