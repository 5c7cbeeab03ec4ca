"""Tokenizers of the true classes, sizes and special tokens, with merges learnt from a few sentences.

The published vocabularies cannot be shipped. What is learnt here comes first; entries that no text reaches fill the
rest, so that the image token and all other special tokens have their published ids.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from vtstudy.benchmarks import BENCHMARKS

ANSWERS = (
    *("Yes", "No", "yes", "no", "A", "B", "C", "D", "1", "2", "3", "10", "20"),
    *("red", "green", "blue", "yellow", "cup", "boat", "lamp", "tree", "house", "unanswerable"),
)
"""Words that are one token each: the replicas' models answer with these."""
SENTENCES = (
    "A chat between a curious human and an artificial intelligence assistant.",
    "The assistant gives helpful, detailed, and polite answers to the human's questions. USER: ASSISTANT:",
    "You are a helpful language and vision assistant. You are able to understand the visual content.",
    "What color is the cup? Is there a boat in the image? How high is the red bar? A tree stands near the house.",
    "Answer with the option's letter from the given choices directly. Please answer yes or no.",
)
LLAMA_WORDS, LLAMA_IMAGE, LLAMA_PAD = 32000, 32000, 32001
LLAMA3_WORDS, LLAMA3_SPECIAL, LLAMA3_IMAGE, LLAMA3_PAD = 128000, 256, 128256, 128257
LLAMA3_NAMED = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}


def _corpus() -> list[str]:
    words = [word for answer in ANSWERS for word in [f"is {answer} {answer}", answer] for _ in range(40)]
    prompts = [benchmark.prompt or "" for benchmark in BENCHMARKS.values()]
    return [text.replace("\n", " ") for text in (*words, *SENTENCES * 20, *prompts * 20)]


@cache
def _learnt(byte_level: bool) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Some hundred vocabulary entries beyond single characters, and the merges that make them."""
    tokenizer = Tokenizer(models.BPE())
    spaces = pre_tokenizers.ByteLevel(use_regex=False) if byte_level else pre_tokenizers.Metaspace("▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?\w+"), "isolated"), pre_tokenizers.Punctuation(), spaces]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    trainer = trainers.BpeTrainer(vocab_size=800, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    state = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in state["merges"]]
    return tuple(sorted(state["vocab"], key=state["vocab"].get)), tuple(merges)  # type: ignore[arg-type]


def _vocabulary(first: list[str], learnt: tuple[str, ...], size: int) -> dict[str, int]:
    entries = dict.fromkeys([*first, *learnt])
    filling = (f"unused{number}" for number in range(size))
    return {entry: number for number, entry in enumerate([*entries, *filling][:size])}


def write_llama(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Llama's tokenizer with Vicuna's and llava-hf's added tokens.

    Args:
        config: further entries of tokenizer_config.json.
    """
    learnt, merges = _learnt(False)
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(
        models.BPE(
            _vocabulary(first, learnt, LLAMA_WORDS), list(merges), unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    special = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    ids = [tokenizer.token_to_id(token) for token in special]
    assert ids == [0, 1, 2, LLAMA_IMAGE, LLAMA_PAD]
    common = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "legacy": False,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<pad>",
        "padding_side": "left",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
    }
    _write(folder, tokenizer, common | config, special, ids)
    return tokenizer


def write_llama3(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Llama 3's tokenizer with llava-hf's added tokens.

    Args:
        config: further entries of tokenizer_config.json.
    """
    learnt, merges = _learnt(True)
    tokenizer = Tokenizer(models.BPE(_vocabulary([], learnt, LLAMA3_WORDS), list(merges), ignore_merges=True))
    words = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    names = {number: f"<|{name}|>" for number, name in LLAMA3_NAMED.items()}
    special = [names.get(number, f"<|reserved_special_token_{number}|>") for number in range(LLAMA3_SPECIAL)]
    special += ["<image>", "<pad>"]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    assert [tokenizer.token_to_id(token) for token in special[-2:]] == [LLAMA3_IMAGE, LLAMA3_PAD]
    start = special[0]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(f"{start} $A", f"{start} $A {start} $B", [(start, LLAMA3_WORDS)]),
        ]
    )
    common = {
        "bos_token": start,
        "clean_up_tokenization_spaces": True,
        "eos_token": names[9],
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 8192,
        "pad_token": "<pad>",
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    ids = list(range(LLAMA3_WORDS, LLAMA3_WORDS + len(special)))
    _write(folder, tokenizer, common | config, special, ids)
    return tokenizer


def _write(folder: Path, tokenizer: Tokenizer, config: dict[str, Any], special: list[str], ids: list[int]) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        str(number): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for number, token in zip(ids, special, strict=True)
    }
    config = {"added_tokens_decoder": described, **config, "image_token": "<image>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    named = {name: config[name] for name in names if name in config} | {"image_token": "<image>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(named, indent=2), encoding="utf-8")
