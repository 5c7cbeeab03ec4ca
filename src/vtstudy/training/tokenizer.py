"""The vocabulary of miniature-llava (a token for each word, capital letter and digit) and its processor."""

from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

from vtstudy.training.tower import VISUAL_WORDS
from vtstudy.world.pictures import KINDS, sample
from vtstudy.world.prompts import TEMPLATE, prompt
from vtstudy.world.questions import JOBS, NATURE, PROPERTIES, RELATIONS, TRAINED, USES, ask
from vtstudy.world.scene import CELL, SIDE

SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", "<image>")
# A token is a word, a capital letter, a digit, a line break or a punctuation mark. Blanks only separate tokens.
_PIECES = r"[A-Z]?[a-z]+[0-9]*|[A-Z]|[0-9]|\n|[^\sA-Za-z0-9]"
# The words of the dense targets of training.
_EXTRA = [
    "List",
    "Tell",
    "Check",
    "by",
    "name",
    "color",
    "size",
    "texture",
    "position",
    "side",
    "objects",
    "signs",
    "lines",
    "values",
    "things",
    "places",
    "left",
    "above",
    "nothing",
]

_CHAT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}User: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% else %} Assistant: "
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %} Assistant:{% endif %}"
)


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)


def vocabulary() -> dict[str, int]:
    """The id of each word that may occur in the questions, options and answers of the trained benchmarks."""
    texts = [
        *(prompt(benchmark, "") for benchmark in TRAINED),
        TEMPLATE.format(image="", text=""),
        *USES.values(),
        *PROPERTIES.values(),
        *JOBS.values(),
        *NATURE.values(),
        *RELATIONS,
    ]
    rng = Random("vocabulary")
    for kind in KINDS:
        for _ in range(400):
            picture = sample(rng, kind, held_out=False)
            for benchmark in TRAINED:
                for q in ask(picture, benchmark, rng):
                    texts += (prompt(benchmark, q.text, q.options), q.answer, *q.references)
    split = _pre_tokenizer()
    words = [*SPECIAL, *VISUAL_WORDS, *_EXTRA]
    for text in dict.fromkeys(texts):
        words += [piece for piece, _ in split.pre_tokenize_str(text)]
    return {word: i for i, word in enumerate(dict.fromkeys(words))}


def build_tokenizer(words: dict[str, int]) -> PreTrainedTokenizerFast:
    """The tokenizer of a vocabulary."""
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    # Words are joined by blanks, but neighbouring capitals and digits are one written word.
    joined = decoders.Replace(Regex(r"(?<=[A-Z0-9]) (?=[A-Z0-9])"), "")
    tokenizer.decoder = decoders.Sequence([decoders.WordPiece(prefix="##", cleanup=False), decoders.Fuse(), joined])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", words["<s>"])])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
    )
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return fast


def build_processor(words: dict[str, int]) -> LlavaProcessor:
    """The processor of a vocabulary: pictures keep their size, and pixels are scaled to [-1, 1]."""
    images = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        resample=3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=build_tokenizer(words),
        patch_size=CELL,
        vision_feature_select_strategy="default",
        chat_template=_CHAT,
        image_token="<image>",
        num_additional_image_tokens=1,
    )
