"""A benchmark's questions: a list that is cheap to keep, and the questions themselves with their images."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from vtprune.attach.inference import Question, image_words
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.generation import blank
from vtstudy.evaluation.presentation import Presentation
from vtstudy.evaluation.requests import IMAGE_MODES, ImageMode

if TYPE_CHECKING:
    from datasets import Dataset
    from lmms_eval.api.instance import Instance


@dataclass(frozen=True)
class QuestionList:
    """A benchmark's first questions without their images, in the order of its data set.

    Attributes:
        documents: the number of each question's document in the data set.
        wordings: each question as the task words it, before the chat template.
        digests: by image mode, the digest of each rendered prompt with its images.
        images: the number of each question's image; equal numbers mean equal images.
        generation: the task's generation arguments.
    """

    documents: Sequence[int]
    wordings: Sequence[str]
    digests: Mapping[ImageMode, Sequence[str]]
    images: Sequence[int]
    generation: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.documents)

    def first(self, count: int | None) -> "QuestionList":
        """The first `count` questions; None for all."""
        return QuestionList(
            self.documents[:count],
            self.wordings[:count],
            {mode: digests[:count] for mode, digests in self.digests.items()},
            self.images[:count],
            self.generation,
        )

    @classmethod
    def joined(cls, parts: Sequence["QuestionList"]) -> "QuestionList":
        """The questions of several lists of one benchmark, in that order; there is at least one list."""
        return cls(
            [document for part in parts for document in part.documents],
            [wording for part in parts for wording in part.wordings],
            {mode: [digest for part in parts for digest in part.digests[mode]] for mode in IMAGE_MODES},
            [image for part in parts for image in part.images],
            parts[0].generation,
        )


class QuestionLoader:
    """Makes a benchmark's questions out of lmms-eval's requests, one at a time.

    Args:
        instances: the requests, one for each document, all of one task and split.
        documents: the split's data set.
        processor: the checkpoint's processor.
        presentation: the prompt and the handling of pictures.
    """

    def __init__(
        self, instances: Sequence["Instance"], documents: "Dataset", processor: Any, presentation: Presentation
    ) -> None:
        self._instances, self._documents, self._processor = instances, documents, processor
        self._presentation = presentation
        self._image_words = image_words(processor)

    def __len__(self) -> int:
        return len(self._instances)

    def part(self, chosen: slice) -> "QuestionLoader":
        """A loader of some of the questions."""
        return QuestionLoader(self._instances[chosen], self._documents, self._processor, self._presentation)

    def load(self, index: int, mode: ImageMode) -> Question:
        """The prompt and the images of a question.

        In mode `blank`, a grey image has the size of the image as it is presented.

        Raises:
            EvaluationError: if the question has no image, shows something else than images, or holds a word that stands
                for an image in a prompt.
        """
        wording, _, to_visual, document, task, _ = self._instances[index].args
        images = tuple(to_visual(self._documents[document]) or ())
        if not images:
            raise EvaluationError(f"question {document} of task {task} has no image, so its prompt cannot be pruned")
        if not all(isinstance(image, Image.Image) for image in images):
            raise EvaluationError(f"question {document} of task {task} shows something that is not an image")
        for word in self._image_words:
            if word in wording:
                raise EvaluationError(
                    f"question {document} of task {task} holds {word}, which stands for an image in the model's "
                    "prompts: leave the question out, or write the word another way"
                )
        images = tuple(self._presentation.image(self._processor, image) for image in images)
        if mode == "blank":
            images = tuple(blank(image) for image in images)
        return Question(document, self._presentation.text(self._processor, wording, len(images)), images)

    def list(self, images: Sequence[int]) -> QuestionList:
        """All questions without their images.

        Args:
            images: the number of each question's image.
        """
        digests: dict[ImageMode, list[str]] = {mode: [] for mode in IMAGE_MODES}
        for index in range(len(self)):
            question = self.load(index, "shown")
            blanks = [blank(image) for image in question.images]
            digests["shown"].append(question_digest(question.text, question.images))
            digests["blank"].append(question_digest(question.text, blanks))
        return QuestionList(
            [instance.args[3] for instance in self._instances],
            [instance.args[0] for instance in self._instances],
            digests,
            images,
            self._instances[0].args[1] if self._instances else {},
        )


def question_digest(prompt: str, images: Iterable[Image.Image]) -> str:
    """The digest of a rendered prompt and of its images, pixel by pixel."""
    digest = hashlib.sha256(prompt.encode())
    for image in images:
        digest.update(f"\0{image.mode}{image.size}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()[:24]
