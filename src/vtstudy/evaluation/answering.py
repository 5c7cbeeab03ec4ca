"""Answering: every variant that is asked for, in one pass over a benchmark's questions, into the answer cache.

A batch of questions is encoded once. The image, the vision tower and the decoder's layers before a method prunes are
computed once for all methods. A question's batch depends on the questions and the requests alone, neither on what is
stored nor on how many processes share the batches: the last bits of a sum depend on the shape of a batch, and a resumed
run must compute what the first one would have computed.
"""

import copy
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from tqdm import tqdm

from vtprune.attach import Attachment, Prefix, attach_all
from vtprune.attach.inference import Question, encode, generate
from vtprune.methods import Method
from vtstudy.evaluation.answer_cache import Answer, AnswerCache, AnswerFile, Tokens
from vtstudy.evaluation.cache_key import method_key
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.generation import batches
from vtstudy.evaluation.prefetch import ahead
from vtstudy.evaluation.questions import QuestionList, QuestionLoader, question_digest
from vtstudy.evaluation.requests import IMAGE_MODES, ImageMode, Request
from vtstudy.evaluation.shards import ALL, Shard

_log = logging.getLogger("vtprune")


@dataclass
class Batch:
    """Questions that are answered together.

    Attributes:
        mode: whether their images are shown.
        questions: indices of the benchmark's questions.
        methods: the methods that answer them, by key; True where token counts are wanted too.
        repeated: by method, the digests of the questions that an earlier batch answers (see `claim`).
    """

    mode: ImageMode
    questions: tuple[int, ...]
    methods: dict[str, bool]
    repeated: dict[str, set[str]] = field(default_factory=dict)

    def digests(self, questions: QuestionList) -> list[str]:
        """The digests of the batch's questions."""
        return [questions.digests[self.mode][index] for index in self.questions]


def identity(checkpoint: Checkpoint, method: Method, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All that a method's answers depend on, apart from the question: the key of a file of answers.

    Args:
        arguments: of the generation (see `generation.generation_arguments`).
    """
    return {**checkpoint.key(), "generation": dict(arguments), **method_key(method, checkpoint.family)}


def plan_batches(questions: QuestionList, requests: Sequence[Request], batch_size: int) -> list[Batch]:
    """The batches in which a benchmark's questions are answered.

    Limits are nested: the first questions may be wanted by more variants than the later ones. So the questions are cut
    where a limit ends. Each part is batched by length on its own, with the variants that want it.

    Args:
        questions: of the benchmark.
        requests: all of this benchmark.
    """
    planned: list[Batch] = []
    for mode in IMAGE_MODES:
        counts: dict[str, int] = {}
        token_counts: dict[str, int] = {}
        for request in requests:
            if request.variant.image == mode:
                key, count = method_name(request.variant.method), asked(len(questions), request.limit)
                counts[key] = max(count, counts.get(key, 0))
                if request.tokens:
                    token_counts[key] = max(count, token_counts.get(key, 0))
        ends = sorted({0, *counts.values(), *token_counts.values()})
        for start, end in pairwise(ends):
            methods = {key: token_counts.get(key, 0) >= end for key, count in counts.items() if count >= end}
            lengths = [len(wording) for wording in questions.wordings[start:end]]
            for batch in batches(lengths, batch_size):
                planned.append(Batch(mode, tuple(start + index for index in batch), methods))
    return planned


def claim(
    planned: Mapping[str, Sequence[Batch]],
    questions: Mapping[str, QuestionList],
    arguments: Mapping[str, Mapping[str, Any]],
) -> None:
    """Let the first of all batches that hold a question answer it, and take note of that in the later ones.

    Some benchmarks ask the same question of the same image several times. Without this, two processes would answer it
    in batches of different shapes.

    Args:
        planned: by benchmark, in the order in which they are answered; changed in place.
        questions: by benchmark.
        arguments: of the generation, by benchmark: answers to the same question with others are others.
    """
    asked_of = Counter(
        digest for name, of_one in planned.items() for batch in of_one for digest in batch.digests(questions[name])
    )
    repeated = {digest for digest, count in asked_of.items() if count > 1}
    del asked_of
    first: dict[tuple[str, str, str], Batch] = {}
    for name, of_one in planned.items():
        generation = json.dumps(arguments[name], sort_keys=True)
        for batch in of_one:
            for digest in repeated.intersection(batch.digests(questions[name])):
                for method, tokens in batch.methods.items():
                    owner = first.setdefault((generation, method, digest), batch)
                    if owner is not batch:
                        batch.repeated.setdefault(method, set()).add(digest)
                        owner.methods[method] |= tokens


def method_name(method: Method) -> str:
    """A method with its parameters, as text; equal for equal methods."""
    return json.dumps(method.signature())


def asked(questions: int, limit: int | None) -> int:
    """How many of so many questions a limit leaves."""
    return questions if limit is None else min(questions, limit)


def is_stored(stored: Mapping[str, Answer], digests: Sequence[str], tokens: bool) -> bool:
    """Whether all questions are answered, and their tokens are counted if that is wanted."""
    answers = [stored.get(digest) for digest in digests]
    return all(answer is not None and (answer.tokens is not None or not tokens) for answer in answers)


def lacking_methods(batch: Batch, questions: QuestionList, stored: Mapping[str, Mapping[str, Answer]]) -> list[str]:
    """The methods of a batch that lack any of the answers that the batch has to give, or of their counts.

    Args:
        stored: by method, the stored answers by the digests of their questions.
    """
    digests = batch.digests(questions)
    return [
        key
        for key, tokens in batch.methods.items()
        if not is_stored(stored[key], _without(digests, batch.repeated.get(key)), tokens)
    ]


def _without(digests: Sequence[str], repeated: set[str] | None) -> Sequence[str]:
    return [digest for digest in digests if digest not in repeated] if repeated else digests


def answer_benchmark(
    checkpoint: Checkpoint,
    questions: QuestionList,
    loader: QuestionLoader,
    methods: Mapping[str, Method],
    planned: Sequence[Batch],
    cache: AnswerCache,
    arguments: Mapping[str, Any],
    *,
    bar: tqdm,
    shard: Shard = ALL,
    prefetch: bool = False,
) -> None:
    """Make sure that the answers of batches of one benchmark are in the cache.

    A batch of which a method lacks any answer is computed again as a whole for that method; its stored answers stay.

    Args:
        questions: of the benchmark, as many as the largest limit leaves.
        loader: the same questions with their images.
        methods: all methods of the batches, by name.
        planned: the batches that this process answers.
        arguments: of the generation.
        bar: it is advanced by an answer at a time.
        shard: which part of the benchmark's batches these are.
        prefetch: whether a thread loads and encodes the next batch while the model answers one.

    Raises:
        UserError: if the model lacks a layer that a method needs.
        CacheError: if the cache is damaged, or cannot be read or written.
        Exception: whatever the model or the processor raises; nothing is swallowed.
    """
    identities = [identity(checkpoint, method, arguments) for method in methods.values()]
    with cache.open(identities, shard=shard) as opened:
        files = dict(zip(methods, opened, strict=True))
        stored = {key: file.answers for key, file in files.items()}
        lacking = [(batch, keys) for batch in planned if (keys := lacking_methods(batch, questions, stored))]
        # Tokenizers are not made for two threads: generation decodes with the model's own at the same time.
        processor = copy.deepcopy(checkpoint.processor) if prefetch else checkpoint.processor

        def load(work: tuple[Batch, list[str]]) -> tuple[list[Question], list[str], Mapping[str, Any]]:
            batch, _ = work
            asked_now = [loader.load(index, batch.mode) for index in batch.questions]
            digests = [question_digest(question.text, question.images) for question in asked_now]
            if digests != batch.digests(questions):
                raise EvaluationError("the questions changed while they were being answered; run the command again")
            return asked_now, digests, encode(checkpoint.model, processor, asked_now)

        for (batch, keys), (asked_now, digests, inputs) in zip(lacking, ahead(load, lacking, prefetch), strict=True):
            made = answer_batch(checkpoint, asked_now, [methods[key] for key in keys], arguments, inputs)
            for index, answers in made:
                _store(files[keys[index]], digests, answers, batch.repeated.get(keys[index], set()))
                bar.update(len(answers))


def _store(file: AnswerFile, digests: Sequence[str], answers: Sequence[Answer], repeated: set[str]) -> None:
    new: dict[str, Answer] = {}
    for digest, answer in zip(digests, answers, strict=True):
        if digest not in repeated:
            new.setdefault(digest, answer)
    stored = [(file.answers.get(digest), answer) for digest, answer in new.items()]
    if any(old is not None and old.text != answer.text for old, answer in stored):
        _log.warning(f"{file.name}: some stored answers differ from the new ones; the stored ones are kept")
    file.add(new)


@torch.inference_mode()
def answer_batch(
    checkpoint: Checkpoint,
    questions: Sequence[Question],
    methods: Sequence[Method],
    arguments: Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
) -> Iterator[tuple[int, list[Answer]]]:
    """Greedy answers of several methods to a batch of questions, with the numbers of image tokens.

    Args:
        inputs: the questions as `encode` returns them; None to encode them here.

    Yields:
        The index of a method and its answers, as soon as they are made; not in the order of `methods`.
    """
    model, processor = checkpoint.model, checkpoint.processor
    prefix = Prefix(encode(model, processor, questions) if inputs is None else inputs)
    present = (prefix.inputs["input_ids"] == model.config.image_token_id).sum(dim=1).tolist()
    for index, attachment in attach_all(methods, model, prefix):
        with attachment:
            texts = generate(model, processor, prefix.inputs, arguments)
            tokens = tokens_by_layer(attachment, present, checkpoint.layers, arguments["num_beams"])
        yield index, [Answer(text, counts) for text, counts in zip(texts, tokens, strict=True)]


def tokens_by_layer(attachment: Attachment, present: Sequence[int], layers: int, beams: int = 1) -> list[Tokens]:
    """How many image tokens each prompt of the last batch had in the decoder's layers.

    Args:
        present: the image tokens of each prompt before pruning.
        layers: the number of the decoder's layers.
        beams: how many copies of each prompt were run.
    """
    remaining: list[Sequence[int]] = [present]
    stages = sorted(attachment.stage_layers)
    for layer in stages:
        rows = attachment.kept_at(layer)[::beams]
        remaining.append([sum(len(image.indices) for image in row) for row in rows])
    spans = [end - start for start, end in pairwise([0, *stages, layers])]
    return [tuple(zip(counts, spans, strict=True)) for counts in zip(*remaining, strict=True)]
