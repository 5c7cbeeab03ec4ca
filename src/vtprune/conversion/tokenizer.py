"""InternLM2's tokenizer, from the authors' sentencepiece model to a tokenizer of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtprune.conversion.published import read_json
from vtprune.errors import CheckpointError, UserError

if TYPE_CHECKING:  # importing these takes seconds
    from tokenizers import Tokenizer, decoders, normalizers
    from transformers import PreTrainedTokenizerFast

IMAGE_TOKENS = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
_UNUSED = "[UNUSED_TOKEN_"  # how the names of the pieces begin that InternLM2 keeps for later
_SPACE = "▁"  # how sentencepiece writes a space
_BYTE_PAIRS = 2  # TrainerSpec.ModelType of sentencepiece
_NORMAL, _USER_DEFINED = 1, 4  # ModelProto.SentencePiece.Type of sentencepiece
# The converted tokenizer is compared with sentencepiece on these before it is written.
_SAMPLES = (
    "Hello this is a test",
    "What color is the star?\nAnswer the question using a single word or phrase.",
    " leading, two  and three   spaces\tand trailing ",
    "A. 1907\nB. 3.14159 cm^2\nC. e-mail@example.org\nD. don't",
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。",
    "naïve café, ½ £5, Ελληνικά, русский, العربية, 日本語 🙂",
    "\n\n  \r\n",
)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder in the authors' format, which gives the ids that the authors' own gives.

    The authors' tokenizer (`tokenization_internlm2.py` of the checkpoint) splits a text at its special tokens and gives
    the rest to sentencepiece. It begins a prompt with `<s>`.

    Raises:
        CheckpointError: if a file is missing or the files do not fit one another.
        UserError: if a package is missing.
    """
    from transformers import PreTrainedTokenizerFast  # takes seconds

    settings = read_json(folder / "tokenizer_config.json")
    model = _read_model(folder / "tokenizer.model")
    added = {int(number): token for number, token in settings.get("added_tokens_decoder", {}).items()}
    tokenizer = _build(model, added)
    _check(tokenizer, model, added, folder)
    names = {name: _content(settings.get(name, default)) for name, default in _NAMES.items()}
    _begin_with(tokenizer, names["bos_token"])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={**IMAGE_TOKENS, "video_token": _video_token(model, added)},
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=settings.get("model_max_length"),
        padding_side="left",
        **names,
    )


_NAMES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}


def _content(token: str | dict[str, Any]) -> str:
    """The text of a token, which a file may give with its properties."""
    return token if isinstance(token, str) else str(token["content"])


def _read_model(file: Path) -> Any:
    """The sentencepiece model, as a `ModelProto`."""
    try:
        # Not sentencepiece's own definition of the format: its wheels need a newer protobuf than other packages allow.
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from transformers.utils import sentencepiece_model_pb2_new
    except ModuleNotFoundError as error:
        raise _missing_packages() from error
    definition: Any = sentencepiece_model_pb2_new
    try:
        model = definition.ModelProto.FromString(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{file.parent} has no {file.name}") from error
    except DecodeError as error:
        raise CheckpointError(f"{file} is not a sentencepiece model ({error}): fetch it again") from error
    if model.trainer_spec.model_type != _BYTE_PAIRS:
        raise CheckpointError(f"{file} is not a byte-pair model, as InternLM2's is")
    return model


def _build(model: Any, added: dict[int, dict[str, Any]]) -> Tokenizer:
    """A tokenizer with the pieces of the model, some of them renamed, and the special tokens that follow them."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE

    names = [piece.piece for piece in model.pieces]
    for number, token in added.items():
        if number < len(names):
            names[number] = token["content"]
    tokenizer = Tokenizer(
        BPE(
            {name: number for number, name in enumerate(names)},
            _merges(model),
            unk_token=model.trainer_spec.unk_piece,
            fuse_unk=True,
            byte_fallback=model.trainer_spec.byte_fallback,
        )
    )
    tokenizer.normalizer = _normalizer(model.normalizer_spec)
    tokenizer.decoder = _decoder(model)
    # sentencepiece finds its user-defined pieces in a text before anything else, as a tokenizer finds added tokens.
    user_defined = [
        piece.piece for number, piece in enumerate(model.pieces) if piece.type == _USER_DEFINED and number not in added
    ]
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in user_defined])
    tokenizer.add_special_tokens([AddedToken(**token) for _, token in sorted(added.items())])
    return tokenizer


def _merges(model: Any) -> list[tuple[str, str]]:
    """The pairs of pieces that sentencepiece joins, those that it joins first at the front."""
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL}
    merges = [
        (-score, -cut, name[:cut], name[cut:])
        for name, score in scores.items()
        for cut in range(1, len(name))
        if name[:cut] in scores and name[cut:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(merges)]


def _normalizer(settings: Any) -> normalizers.Normalizer:
    """What sentencepiece does to a text before it splits it (`NormalizerSpec`). InternLM2 only replaces spaces."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    if settings.precompiled_charsmap:
        steps.append(normalizers.Precompiled(settings.precompiled_charsmap))
    if settings.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if settings.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    if settings.escape_whitespaces:
        steps.append(normalizers.Replace(" ", _SPACE))
    return normalizers.Sequence(steps)


def _decoder(model: Any) -> decoders.Decoder:
    from tokenizers import decoders

    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.normalizer_spec.add_dummy_prefix:
        steps.append(decoders.Strip(" ", left=1))
    return decoders.Sequence(steps)


def _begin_with(tokenizer: Tokenizer, beginning: str) -> None:
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{beginning} $A",
        pair=f"{beginning} $A {beginning}:1 $B:1",
        special_tokens=[(beginning, tokenizer.token_to_id(beginning))],
    )


def _check(tokenizer: Tokenizer, model: Any, added: dict[int, dict[str, Any]], folder: Path) -> None:
    """Compare with what the files say, and with sentencepiece itself."""
    wanted = {token["content"]: number for number, token in added.items()}
    for token in IMAGE_TOKENS.values():
        if token not in wanted:
            raise CheckpointError(f"{folder / 'tokenizer_config.json'} does not list the token {token}")
    for token, number in wanted.items():
        if tokenizer.token_to_id(token) != number:
            raise CheckpointError(
                f"{folder / 'tokenizer_config.json'} gives the token {token} the id {number}, but after "
                f"{folder / 'tokenizer.model'} it has the id {tokenizer.token_to_id(token)}"
            )
    for text, ids in zip(_SAMPLES, _sentencepiece_ids(model, _SAMPLES), strict=True):
        if tokenizer.encode(text).ids != ids:
            raise CheckpointError(
                f"{folder / 'tokenizer.model'} cannot be converted: sentencepiece splits {text!r} in another way than "
                "the converted tokenizer"
            )


def _sentencepiece_ids(model: Any, texts: Sequence[str]) -> list[list[int]]:
    try:
        import sentencepiece
    except ModuleNotFoundError as error:
        raise _missing_packages() from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    return [list(processor.encode(text)) for text in texts]


def _video_token(model: Any, added: dict[int, dict[str, Any]]) -> str:
    """The token that `InternVLProcessor` wants for videos, which InternVL2 does not have: a piece without a use.

    A token of its own would get an id that the embeddings do not have.
    """
    free = (piece.piece for number, piece in enumerate(model.pieces) if number not in added)
    return next((piece for piece in free if piece.startswith(_UNUSED)), "<|plugin|>")


def _missing_packages() -> UserError:
    return UserError(
        "reading a sentencepiece model needs protobuf and sentencepiece: install them by pip install '.[convert]' in "
        "vtprune's folder"
    )
