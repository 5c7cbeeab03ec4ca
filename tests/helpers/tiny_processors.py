"""Checkpoints of the families of today: tiny models with their real processors, which need torchvision."""

from helpers.tiny_families import IMAGE, PINPOINTS, QWEN, build
from helpers.tiny_qwen import PATCH
from helpers.tiny_siglip import SIDE

WORDS = ["<pad>", "<s>", "</s>", "<image>", "<video>", "<vision_start>", "<vision_end>", "<unk>"]
WORDS += ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<start_of_image>", "<end_of_image>"]
WORDS += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
SPECIAL = len(WORDS)
WORDS += ["USER:", "ASSISTANT:", "what", "is", "this", "?", *(f"word{number}" for number in range(40))]
_NAMED = {
    "image_token": "<image>",
    "video_token": "<video>",
    "vision_start_token": "<vision_start>",
    "vision_end_token": "<vision_end>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
}
TEMPLATE = (
    "{%% for message in messages %%}USER: {%% for part in message['content'] %%}"
    "{%% if part['type'] == 'image' %%}%s {%% else %%}{{ part['text'] }}{%% endif %%}{%% endfor %%}"
    "{%% endfor %%}{%% if add_generation_prompt %%} ASSISTANT: {%% endif %%}"
)


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(WORDS[:SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=_NAMED,
        padding_side="right",
    )


def processor(family: str):
    """The family's real processor for a tiny model."""
    import transformers as tf

    words, side = tokenizer(), {"height": SIDE, "width": SIDE}
    if family in QWEN:
        pixels = {"patch_size": PATCH, "temporal_patch_size": 2, "merge_size": 2}
        size = {"shortest_edge": 16 * PATCH**2, "longest_edge": 160 * PATCH**2}
        classes = {
            "qwen2_vl": (tf.Qwen2VLProcessor, tf.Qwen2VLVideoProcessor),
            "qwen2_5_vl": (tf.Qwen2_5_VLProcessor, tf.Qwen2VLVideoProcessor),
            "qwen3_vl": (tf.Qwen3VLProcessor, tf.Qwen3VLVideoProcessor),
        }
        kind, videos = classes[family]
        images = tf.Qwen2VLImageProcessor(size=size, **pixels)
        template = TEMPLATE % "<vision_start><image><vision_end>"
        return kind(images, words, videos(**pixels), chat_template=template)
    template = TEMPLATE % "<image>"
    if family == "llava_onevision":
        images = tf.LlavaOnevisionImageProcessor(size=side, image_grid_pinpoints=PINPOINTS)
        return tf.LlavaOnevisionProcessor(
            images,
            words,
            tf.LlavaOnevisionVideoProcessor(size=side),
            num_image_tokens=16,
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_2",
            chat_template=template,
        )
    if family == "gemma3":
        images = tf.Gemma3ImageProcessor(size=side)
        return tf.Gemma3Processor(images, words, image_seq_length=16, chat_template=TEMPLATE % "<start_of_image>")
    sizes = {"size": {"longest_edge": 3 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
    if family == "idefics3":
        return tf.Idefics3Processor(tf.Idefics3ImageProcessor(**sizes), words, image_seq_len=16, chat_template=template)
    images, videos = tf.SmolVLMImageProcessor(**sizes), tf.SmolVLMVideoProcessor(size={"longest_edge": SIDE})
    return tf.SmolVLMProcessor(images, words, videos, image_seq_len=16, chat_template=template)


def save(family: str, folder) -> None:
    """A checkpoint of four layers."""
    model = build(family, layers=4, vocab_size=len(WORDS))
    model.generation_config.suppress_tokens = list(range(IMAGE, SPECIAL))
    model.save_pretrained(folder)
    processor(family).save_pretrained(folder)
