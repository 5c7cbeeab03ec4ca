"""What the figures look at inside a model: attention maps, image features, surviving tokens."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from PIL import Image
from torch import nn

from vtprune.attach import Kept, Prefix, attach_all
from vtprune.attach.attention import paid_by_last
from vtprune.attach.families import family_of
from vtprune.attach.inference import Question, as_seen, encode
from vtprune.attach.recording import Recorded, Recording
from vtprune.methods import Method
from vtprune.ops.indexing import take
from vtstudy.evaluation.errors import EvaluationError


class Seen(NamedTuple):
    """The image tokens of ``b`` prompts, ``n`` each, in a model that prunes nothing.

    Attributes:
        attention: ``[b, layers, n]`` what the last prompt token pays to each image token in every
            layer: softmax over its whole row, mean over heads.
        embeddings: ``[b, n, d]`` the image tokens as they enter the language model.
        keys: ``[b, n, k]`` the keys of layer ``layer`` that AdaptPrune compares (``as_published``).
    """

    attention: np.ndarray
    embeddings: np.ndarray
    keys: np.ndarray


class Probe:
    """Shows questions to a loaded checkpoint, a batch at a time.

    Args:
        model, processor: a checkpoint in memory.
        batch_size: questions at a time.
        bar: a tqdm bar to advance by a question at a time.
    """

    def __init__(self, model: Any, processor: Any, *, batch_size: int, bar: Any) -> None:
        self.model, self.processor, self.batch_size, self.bar = model, processor, batch_size, bar
        self.family = family_of(model)

    def grids(self, questions: Sequence[Question]) -> np.ndarray:
        """`[k, 2]` (height, width) in tokens of the different grids that the questions' images are laid on.

        Raises:
            EvaluationError: if a question has several images.
        """
        grids = set()
        for inputs in self._batches(questions):
            layout = self._layout(inputs)
            grids |= {tuple(grid) for grid in layout.grids[layout.valid].tolist()}
            if bool((layout.image[layout.valid] > 0).any()):
                raise EvaluationError("a map of the image needs prompts of one image each, laid on one grid")
        return np.array(sorted(grids), dtype=int).reshape(-1, 2)

    @torch.inference_mode()
    def look(self, questions: Sequence[Question], *, layer: int = 2) -> Seen:
        """Run the whole model on each prompt and keep what is asked for of every layer.

        Args:
            questions: whose images are laid on one grid.
            layer: 0-based, whose keys are wanted.
        """
        parts = []
        for inputs in self._batches(questions):
            parts.append(self._look(inputs, layer))
            self.bar.update(len(inputs["input_ids"]))
        return Seen(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _look(self, inputs: Any, layer: int) -> Seen:
        layers = cast(nn.ModuleList, self.family.language_model(self.model).layers)
        if not layer < len(layers):
            raise EvaluationError(f"layer must lie below {len(layers)}, the model's depth, not be {layer}")
        layout = self._layout(inputs)
        attended = inputs["attention_mask"].bool()
        rows: list[torch.Tensor] = []
        states: dict[int, torch.Tensor] = {}

        def enters(index: int) -> Any:
            def hook(module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
                states[index] = args[0] if args else kwargs["hidden_states"]

            return hook

        def attends(recorded: Recorded) -> None:
            rows.append(paid_by_last(recorded, attended).gather(1, layout.index))

        with ExitStack() as block:
            for index in {0, layer}:
                block.callback(layers[index].register_forward_pre_hook(enters(index), with_kwargs=True).remove)
            for each in layers:
                block.callback(Recording(each, attends).remove)
            self.model(**inputs, logits_to_keep=1, use_cache=False)
        tokens = {index: take(hidden, layout.index) for index, hidden in states.items()}
        keys = cast(Any, layers[layer]).self_attn.k_proj(tokens[layer])
        return Seen(*(t.float().cpu().numpy() for t in (torch.stack(rows, dim=1), tokens[0], keys)))

    @torch.inference_mode()
    def survivors(self, methods: Mapping[Any, Method], questions: Sequence[Question]) -> dict[Any, np.ndarray]:
        """By name of a method, ``[questions, n]`` bool: which cells of the one grid it leaves.

        The images, and the layers before any method prunes, are computed once for all.
        """
        names = list(methods)
        masks: dict[Any, list[np.ndarray]] = {name: [] for name in names}
        for inputs in self._batches(questions):
            prefix = Prefix(inputs)
            for index, attachment in attach_all(list(methods.values()), self.model, prefix):
                with attachment:
                    self.model(**prefix.inputs, logits_to_keep=1)
                masks[names[index]] += [_mask(kept) for (kept,) in attachment.kept]
                self.bar.update(len(inputs["input_ids"]))
        return {name: np.stack(of_method) for name, of_method in masks.items()}

    def picture(self, question: Question) -> Image.Image:
        """The question's image as the model sees it: after the processor's resizing and cropping."""
        return as_seen(self.processor, encode(self.model, self.processor, [question])["pixel_values"][0])

    def _batches(self, questions: Sequence[Question]) -> Iterator[Any]:
        if not questions:
            raise EvaluationError("there are no questions to show to the model")
        for start in range(0, len(questions), self.batch_size):
            yield encode(self.model, self.processor, questions[start : start + self.batch_size])

    def _layout(self, inputs: Any) -> Any:
        return self.family.layout(
            self.model.config, inputs["input_ids"], inputs["attention_mask"].bool(), inputs.get("image_sizes")
        )


def _mask(kept: Kept) -> np.ndarray:
    """``[n]`` bool over the cells of a grid."""
    mask = np.zeros(kept.grid[0] * kept.grid[1], dtype=bool)
    mask[kept.indices.numpy()] = True
    return mask
