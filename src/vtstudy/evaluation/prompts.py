"""Prompts: a question in the words that the authors of a model put around it.

LLaVA's authors evaluate with templates of their own, which have a system prompt. The chat template of a checkpoint on
the Hub need not be the same: that of `llava-hf/llava-1.5-7b-hf` has no system prompt. Then an image's tokens stand at
another place, and the attention that they are ranked by is another one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vtprune.attach.inference import chat_prompt
from vtstudy.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from transformers import ProcessorMixin

CHECKPOINT = "checkpoint"
"""The name of the checkpoint's own chat template."""

_IMAGE = "<image>"  # as LLaVA's processors spell the place of an image


@dataclass(frozen=True)
class Template:
    """The text around a question.

    Attributes:
        before: the text before the first image.
        after: the text between the question and the answer.
        end: the token that ends an answer.
        strips: whether white space at the ends of a message is removed.
    """

    before: str
    after: str
    end: str
    strips: bool = False


TEMPLATES: dict[str, Template] = {
    # haotian-liu/LLaVA, llava/conversation.py, `conv_vicuna_v1`: the template of LLaVA-1.5's own evaluation scripts and
    # of lmms-eval. With the token that begins a sequence, it has 35 tokens before the image.
    "vicuna_v1": Template(
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: ",
        " ASSISTANT:",
        "</s>",
    ),
    # LLaVA-VL/LLaVA-NeXT, llava/conversation.py, `conv_llava_llama_3`, rendered by Llama 3's chat template.
    "llava_llama_3": Template(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
        "provides, and assist the user with a variety of tasks using natural language.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
        strips=True,
    ),
}
"""The authors' templates, by their names for them."""


def check_prompt(name: str, processor: "ProcessorMixin") -> None:
    """Check that a processor's prompts can have this template.

    Raises:
        EvaluationError: for an unknown name, and for a template whose special tokens the model does not know.
    """
    if name == CHECKPOINT:
        return
    if name not in TEMPLATES:
        raise EvaluationError(f"there is no prompt {name!r}; the prompts are {', '.join((CHECKPOINT, *TEMPLATES))}")
    template, known = TEMPLATES[name], processor.tokenizer.get_vocab()
    image_token = getattr(processor, "image_token", None)
    if image_token != _IMAGE:
        raise EvaluationError(
            f"the prompt {name} is for the models of LLaVA, whose image token is {_IMAGE}, not {image_token}: "
            f"take the prompt {CHECKPOINT}"
        )
    if template.end not in known:
        raise EvaluationError(
            f"the prompt {name} ends answers with {template.end}, a token that the checkpoint does not have: "
            f"take the prompt {CHECKPOINT}"
        )


def render(name: str, processor: "ProcessorMixin", wording: str, images: int) -> str:
    """The prompt of a question about `images` images.

    Args:
        name: `checkpoint` for the checkpoint's own chat template, or one of `TEMPLATES`.
        wording: the question as its task words it.
    """
    if name == CHECKPOINT:
        return chat_prompt(processor, wording, images)
    template = TEMPLATES[name]
    message = f"{' '.join([_IMAGE] * images)}\n{wording}"
    return template.before + (message.strip() if template.strips else message) + template.after
