"""How questions are presented to a model: the prompt around them, and the handling of their pictures.

Both are parameters (`evaluation.prompt`, `evaluation.pictures`), because they move scores and what pruning does: the
prompt of LLaVA-1.5's authors has 35 tokens before the image, and they pad a picture where the checkpoint's processor
crops it. `auto` stands for the authors' choices where the checkpoint is one of those in `AUTHORS`, and for the
checkpoint's own elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from vtstudy.evaluation import pictures, prompts

if TYPE_CHECKING:
    from transformers import ProcessorMixin

AUTO = "auto"


@dataclass(frozen=True)
class Presentation:
    """A prompt and a handling of pictures.

    Attributes:
        prompt: `checkpoint`, or a name of `prompts.TEMPLATES`.
        pictures: a name of `pictures.HANDLINGS`.
    """

    prompt: str = prompts.CHECKPOINT
    pictures: str = pictures.PROCESSOR

    def check(self, processor: "ProcessorMixin") -> None:
        """Check that it suits a checkpoint's processor.

        Raises:
            EvaluationError: if it does not.
        """
        prompts.check_prompt(self.prompt, processor)
        pictures.check_pictures(self.pictures, processor)

    def text(self, processor: "ProcessorMixin", wording: str, images: int) -> str:
        """The prompt of a question about `images` images, which its task words like this."""
        return prompts.render(self.prompt, processor, wording, images)

    def image(self, processor: "ProcessorMixin", image: Image.Image) -> Image.Image:
        """A question's image as the processor gets it."""
        return pictures.shown(self.pictures, processor, image)

    def key(self) -> dict[str, str]:
        """What it adds to the key of an answer: nothing where all is the checkpoint's own."""
        return {name: value for name, value in vars(self).items() if value != getattr(Presentation(), name)}


_LLAVA = Presentation("vicuna_v1", pictures.PAD)
AUTHORS: Mapping[str, Presentation] = {
    "llava-hf/llava-1.5-7b-hf": _LLAVA,
    "llava-hf/llava-1.5-13b-hf": _LLAVA,
    # `anyres`: the processor lays an image on tiles, as the authors' code does.
    "llava-hf/llava-v1.6-vicuna-7b-hf": Presentation("vicuna_v1"),
    "llava-hf/llava-v1.6-vicuna-13b-hf": Presentation("vicuna_v1"),
    "llava-hf/llama3-llava-next-8b-hf": Presentation("llava_llama_3"),
    # Dynamic tiles. The conversion to transformers' format writes the authors' prompt into the chat template.
    "OpenGVLab/InternVL2-2B": Presentation(),
    "OpenGVLab/InternVL2-8B": Presentation(),
}
"""What the authors of a model present to it, by the checkpoint's id on the Hub."""


def resolved(prompt: str, handling: str, hub_id: str | None) -> Presentation:
    """The presentation that two settings mean for a checkpoint.

    Args:
        prompt: `auto`, or a prompt.
        handling: `auto`, or a handling of pictures.
        hub_id: the checkpoint's id on the Hub; None if it does not come from there.
    """
    own = AUTHORS.get(hub_id or "", Presentation())
    return Presentation(own.prompt if prompt == AUTO else prompt, own.pictures if handling == AUTO else handling)
