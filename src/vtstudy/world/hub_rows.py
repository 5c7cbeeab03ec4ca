"""The twelve benchmarks in the schemas of the Hub data sets that lmms-eval's tasks load.

`write_benchmark(root, "pope", items, images)` writes `root/lmms-lab-encoder/POPE/...`; with
`root` as the working directory, `load_dataset("lmms-lab-encoder/POPE")` reads it offline.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vtstudy.world.hub_files import DatasetError, Schema, check_table, png, write_card, write_table
from vtstudy.world.items import Item

NAMESPACE = "lmms-lab-encoder"

POPE_CATEGORIES = ("random", "popular", "adversarial")
CHARTQA_SPLITS = ("human_test", "augmented_test")
MME_PERCEPTION = (
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
)
MME_COGNITION = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)
MMBENCH_ABILITIES = {  # L2-category: its categories
    "coarse_perception": (
        "image_style",
        "image_topic",
        "image_scene",
        "image_emotion",
        "image_quality",
    ),
    "finegrained_perception (instance-level)": (
        "attribute_recognition",
        "celebrity_recognition",
        "object_localization",
        "ocr",
    ),
    "finegrained_perception (cross-instance)": (
        "spatial_relationship",
        "attribute_comparison",
        "action_recognition",
    ),
    "attribute_reasoning": (
        "physical_property_reasoning",
        "function_reasoning",
        "identity_reasoning",
    ),
    "relation_reasoning": ("social_relation", "nature_relation", "physical_relation"),
    "logic_reasoning": ("structuralized_imagetext_understanding", "future_prediction"),
}
_L2 = {leaf: ability for ability, leaves in MMBENCH_ABILITIES.items() for leaf in leaves}


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark is loaded, scored and resampled."""

    title: str  # the column's name in the paper's tables
    task: str  # lmms-eval's task
    dataset: str  # the data set's name, without its namespace
    split: str
    metric: str  # key in lmms-eval's results, without the filter's suffix
    schema: Schema
    config: str = "default"
    scale: float = 100.0  # from the task's units to the paper's
    answers: int | None = None  # how many answers a row must have; None for any number
    categories: tuple[str, ...] = ()  # the allowed values of `Item.category`; empty for any
    balanced: bool = False  # each image has as many questions with yes as with no
    pair: bool = False  # two rows form one unit of the score, so a bootstrap draws pairs
    per_image: int = 2  # questions about one image of the miniature, at most, where not balanced
    java: bool = False  # the task's metrics start a Java process
    chance: float | None = None  # score of fair coin flips; None where it depends on the items
    images: tuple[str, Schema] | None = None  # GQA: a second config that holds the images

    @property
    def path(self) -> str:
        """The argument of `load_dataset`, and the folder under the data root."""
        return f"{NAMESPACE}/{self.dataset}"

    @property
    def tables(self) -> dict[str, Schema]:
        """Schema of each config that the task loads."""
        tables = {self.config: self.schema}
        if self.images:
            tables[self.images[0]] = self.images[1]
        return tables

    def pattern(self, config: str) -> str:
        folder = "data" if config == "default" else config
        return f"{folder}/{self.split}-*"


BENCHMARKS = {
    "nocaps": Benchmark(
        "Nocaps",
        "nocaps_val",
        "NoCaps",
        "validation",
        "nocaps_CIDEr",
        {
            "image": "image",
            "image_coco_url": "string",
            "image_date_captured": "string",
            "image_file_name": "string",
            "image_height": "int32",
            "image_width": "int32",
            "image_id": "int32",
            "image_license": "int8",
            "image_open_images_id": "string",
            "annotations_ids": ["int32"],
            "annotations_captions": ["string"],
        },
        per_image=1,
        java=True,
    ),
    "flickr30k": Benchmark(
        "Flickr30K",
        "flickr30k_test",
        "flickr30k",
        "test",
        "flickr_CIDEr",
        {
            "image": "image",
            "caption": ["string"],
            "sentids": ["string"],
            "img_id": "string",
            "filename": "string",
        },
        per_image=1,
        java=True,
    ),
    "vqav2": Benchmark(
        "VQAv2",
        "vqav2_val",
        "VQAv2",
        "validation",
        "exact_match",
        {
            "question_type": "string",
            "multiple_choice_answer": "string",
            "answers": [{"answer": "string", "answer_confidence": "string", "answer_id": "int64"}],
            "image_id": "int64",
            "answer_type": "string",
            "question_id": "int64",
            "question": "string",
            "image": "image",
        },
        answers=10,
    ),
    "gqa": Benchmark(
        "GQA",
        "gqa",
        "GQA",
        "testdev",
        "exact_match",
        {
            "id": "string",
            "imageId": "string",
            "question": "string",
            "answer": "string",
            "fullAnswer": "string",
            "isBalanced": "bool",
            "groups": {"global": "string", "local": "string"},
            "entailed": "string",
            "equivalent": "string",
            "types": {"structural": "string", "semantic": "string", "detailed": "string"},
            "annotations": [
                {
                    "question": {"objectId": "string", "value": "string"},
                    "answer": {"objectId": "string", "value": "string"},
                    "fullAnswer": {"objectId": "string", "value": "string"},
                }
            ],
            "semantic": [{"operation": "string", "argument": "string", "dependencies": ["int32"]}],
            "semanticStr": "string",
        },
        config="testdev_balanced_instructions",
        images=("testdev_balanced_images", {"id": "string", "image": "image"}),
        answers=1,
    ),
    "okvqa": Benchmark(
        "OK-VQA",
        "ok_vqa_val2014",
        "OK-VQA",
        "val2014",
        "exact_match",
        {
            "question_id": "string",
            "image": "image",
            "question": "string",
            "answers": ["string"],
            "question_type": "string",
            "answer_type": "string",
        },
        answers=10,
    ),
    "vizwiz": Benchmark(
        "VizWiz",
        "vizwiz_vqa_val",
        "VizWiz-VQA",
        "val",
        "exact_match",
        {
            "question_id": "string",
            "image": "image",
            "question": "string",
            "answers": ["string"],
            "category": "string",
        },
        answers=10,
    ),
    "textvqa": Benchmark(
        "TextVQA",
        "textvqa_val",
        "textvqa",
        "validation",
        "exact_match",
        {
            "image_id": "string",
            "question_id": "int32",
            "question": "string",
            "question_tokens": ["string"],
            "image": "image",
            "image_width": "int32",
            "image_height": "int32",
            "flickr_original_url": "string",
            "flickr_300k_url": "string",
            "answers": ["string"],
            "image_classes": ["string"],
            "set_name": "string",
            "ocr_tokens": ["string"],
        },
        answers=10,
    ),
    "chartqa": Benchmark(
        "ChartQA",
        "chartqa",
        "ChartQA",
        "test",
        "relaxed_overall",
        {"type": "string", "question": "string", "answer": "string", "image": "image"},
        answers=1,
        categories=CHARTQA_SPLITS,
    ),
    "docvqa": Benchmark(
        "DocVQA",
        "docvqa_val",
        "DocVQA",
        "validation",
        "anls",
        {
            "questionId": "string",
            "question": "string",
            "question_types": ["string"],
            "image": "image",
            "docId": "int64",
            "ucsf_document_id": "string",
            "ucsf_document_page_no": "string",
            "answers": ["string"],
            "data_split": "string",
        },
        config="DocVQA",
    ),
    "pope": Benchmark(
        "POPE",
        "pope",
        "POPE",
        "test",
        "pope_accuracy",
        {
            "id": "string",
            "question_id": "string",
            "question": "string",
            "answer": "string",
            "image_source": "string",
            "image": "image",
            "category": "string",
        },
        answers=1,
        categories=POPE_CATEGORIES,
        balanced=True,
        chance=50.0,
    ),
    "mme": Benchmark(  # the sum of the ten perception sub-tasks, at most 2000
        "MME",
        "mme",
        "MME",
        "test",
        "mme_perception_score",
        {
            "question_id": "string",
            "image": "image",
            "question": "string",
            "answer": "string",
            "category": "string",
        },
        scale=1.0,
        answers=1,
        categories=MME_PERCEPTION + MME_COGNITION,
        balanced=True,
        pair=True,
        chance=750.0,  # per sub-task 50 for the accuracy and 25 for both of a pair right
    ),
    "mmbench": Benchmark(  # the metric keeps its name although no GPT is asked
        "MMB",
        "mmbench_en_dev_static",
        "MMBench",
        "dev",
        "gpt_eval_score",
        {
            "index": "int64",
            "question": "string",
            "hint": "string",
            "answer": "string",
            "A": "string",
            "B": "string",
            "C": "string",
            "D": "string",
            "category": "string",
            "image": "image",
            "source": "string",
            "L2-category": "string",
            "comment": "string",
            "split": "string",
        },
        config="en",
        scale=1.0,
        answers=1,
        categories=tuple(_L2),
        per_image=1,
    ),
}


def benchmark_of(name: str) -> Benchmark:
    if name not in BENCHMARKS:
        raise DatasetError(f"There is no benchmark '{name}'; choose from {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name]


def write_benchmark(root: Path, benchmark: str, items: Iterable[Item], images: Mapping[str, Image.Image]) -> None:
    """Write one data set below `root`, rows in the order of `items`.

    Raises `DatasetError` on an item that its task could not score as meant.
    """
    spec = benchmark_of(benchmark)
    items = list(items)
    _check_items(benchmark, spec, items, images)
    pictures = {}
    for item in items:
        if item.image_id not in pictures:
            image = images[item.image_id]
            stored = {"bytes": png(image), "path": f"{item.image_id}.png"}
            pictures[item.image_id] = _Picture(len(pictures), *image.size, stored)
    row = _ROWS[benchmark]
    rows = {spec.config: [row(item, n, pictures[item.image_id]) for n, item in enumerate(items)]}
    if spec.images:
        rows[spec.images[0]] = [{"id": name, "image": picture.stored} for name, picture in pictures.items()]
    folder = Path(root) / spec.path
    cards = {}
    for config, schema in spec.tables.items():
        pattern = spec.pattern(config)
        for stale in folder.glob(pattern):
            stale.unlink()
        stem = folder / pattern.replace("*", "00000-of-00001")
        file = write_table(stem, schema, rows[config])
        cards[config] = {spec.split: file.relative_to(folder).as_posix()}
    write_card(folder / "README.md", f"{spec.title}, made by vtprune's miniature world", cards)


def validate(root: Path, benchmark: str) -> int:
    """Check a data set below `root` and return its number of questions.

    Raises `DatasetError` on a missing file or column, a wrong type, an image that cannot be
    decoded, or rows that the task could not score.
    """
    spec = benchmark_of(benchmark)
    folder = Path(root) / spec.path
    tables = {}
    for config, schema in spec.tables.items():
        files = sorted(folder.glob(spec.pattern(config)))
        if not files:
            raise DatasetError(f"{spec.title}: there is no {spec.path}/{spec.pattern(config)}.")
        tables[config] = check_table(files, schema, spec.title)
    if not (folder / "README.md").is_file():
        raise DatasetError(f"{spec.title}: there is no {spec.path}/README.md.")
    questions = tables[spec.config]
    if spec.images:
        known = set(tables[spec.images[0]].column("id").to_pylist())
        lost = sorted(set(questions.column("imageId").to_pylist()) - known)
        if lost:
            raise DatasetError(f"{spec.title}: there is no image '{lost[0]}'.")
    if spec.pair:
        counts = Counter(questions.column("question_id").to_pylist())
        odd = next((name for name, count in counts.items() if count != 2), None)
        if odd is not None:
            raise DatasetError(f"{spec.title}: question '{odd}' has {counts[odd]} rows, not two.")
    return questions.num_rows


def _check_items(name: str, spec: Benchmark, items: list[Item], images: Mapping[str, Image.Image]) -> None:
    if not items:
        raise DatasetError(f"{spec.title}: there are no items.")
    for n, item in enumerate(items):
        where = f"{spec.title}: item {n} ({item.image_id})"
        if item.benchmark != name:
            raise DatasetError(f"{where} belongs to '{item.benchmark}'.")
        if item.image_id not in images:
            raise DatasetError(f"{where} has no image.")
        if not item.answers:
            raise DatasetError(f"{where} has no answer.")
        if spec.answers and len(item.answers) != spec.answers:
            raise DatasetError(f"{where} has {len(item.answers)} answers, not {spec.answers}.")
        if spec.categories and item.category not in spec.categories:
            raise DatasetError(f"{where} has the unknown category '{item.category}'.")
        if spec.balanced and item.answers[0].lower() not in ("yes", "no"):
            raise DatasetError(f"{where} is not answered by yes or no.")
        if name == "mmbench":
            if not 2 <= len(item.options) <= 4:
                raise DatasetError(f"{where} has {len(item.options)} options, not two to four.")
            if item.answers[0] not in tuple("ABCD"[: len(item.options)]):
                raise DatasetError(f"{where} has no option '{item.answers[0]}'.")
    if name in ("nocaps", "flickr30k"):  # the metrics know a prediction by its image
        image, count = Counter(item.image_id for item in items).most_common(1)[0]
        if count > 1:
            raise DatasetError(f"{spec.title}: image '{image}' has {count} items, not one.")
    if spec.pair:
        pairs: dict[str, list[str]] = {}
        for item in items:
            pairs.setdefault(_pair(item), []).append(item.answers[0].lower())
        for pair, answers in pairs.items():
            if sorted(answers) != ["no", "yes"]:
                raise DatasetError(f"{spec.title}: '{pair}' needs one yes and one no.")


@dataclass(frozen=True)
class _Picture:
    number: int
    width: int
    height: int
    stored: dict[str, object]


def _pair(item: Item) -> str:
    return f"{item.category}/{item.image_id}.png"


def _answer_type(answer: str) -> str:
    if answer.lower() in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdecimal() else "other"


def _nocaps(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "image": picture.stored,
        "image_coco_url": "",
        "image_date_captured": "",
        "image_file_name": picture.stored["path"],
        "image_height": picture.height,
        "image_width": picture.width,
        "image_id": n,
        "image_license": 0,
        "image_open_images_id": item.image_id,
        "annotations_ids": [100 * n + k for k in range(len(item.answers))],
        "annotations_captions": list(item.answers),
    }


def _flickr30k(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "image": picture.stored,
        "caption": list(item.answers),
        "sentids": [str(100 * n + k) for k in range(len(item.answers))],
        "img_id": str(n),
        "filename": picture.stored["path"],
    }


def _vqav2(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "question_type": " ".join(item.question.lower().split()[:2]),
        "multiple_choice_answer": item.answers[0],
        # The task leaves out one answer by comparing whole entries, so their ids must differ.
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": k + 1} for k, answer in enumerate(item.answers)
        ],
        "image_id": picture.number,
        "answer_type": _answer_type(item.answers[0]),
        "question_id": n,
        "question": item.question,
        "image": picture.stored,
    }


def _gqa(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "id": str(n),
        "imageId": item.image_id,
        "question": item.question,
        "answer": item.answers[0],
        "fullAnswer": item.answers[0],
        "isBalanced": True,
        "groups": {"global": "", "local": ""},
        "entailed": "",
        "equivalent": "",
        "types": {"structural": "", "semantic": "", "detailed": item.category},
        "annotations": [],
        "semantic": [],
        "semanticStr": "",
    }


def _okvqa(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "question_id": str(n),
        "image": picture.stored,
        "question": item.question,
        "answers": list(item.answers),
        "question_type": item.category or "other",
        "answer_type": "other",
    }


def _vizwiz(item: Item, n: int, picture: _Picture) -> dict:
    unanswerable = item.answers[0].lower() == "unanswerable"
    return {
        "question_id": str(n),
        "image": picture.stored,
        "question": item.question,
        "answers": list(item.answers),
        "category": "unanswerable" if unanswerable else _answer_type(item.answers[0]),
    }


def _textvqa(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "image_id": item.image_id,
        "question_id": n,
        "question": item.question,
        "question_tokens": item.question.lower().rstrip("?").split(),
        "image": picture.stored,
        "image_width": picture.width,
        "image_height": picture.height,
        "flickr_original_url": "",
        "flickr_300k_url": "",
        "answers": list(item.answers),
        "image_classes": [],
        "set_name": "val",
        "ocr_tokens": list(item.words),
    }


def _chartqa(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "type": item.category,
        "question": item.question,
        "answer": item.answers[0],
        "image": picture.stored,
    }


def _docvqa(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "questionId": str(n),
        "question": item.question,
        "question_types": [item.category] if item.category else [],
        "image": picture.stored,
        "docId": picture.number,
        "ucsf_document_id": item.image_id,
        "ucsf_document_page_no": "1",
        "answers": list(item.answers),
        "data_split": "val",
    }


def _pope(item: Item, n: int, picture: _Picture) -> dict:
    return {
        "id": str(n),
        "question_id": str(n + 1),
        "question": item.question,
        "answer": item.answers[0].lower(),
        "image_source": item.image_id,
        "image": picture.stored,
        "category": item.category,
    }


def _mme(item: Item, n: int, picture: _Picture) -> dict:
    suffix = " Please answer yes or no."  # in the Hub's column; the task takes it off again
    return {
        "question_id": _pair(item),
        "image": picture.stored,
        "question": item.question.removesuffix(suffix) + suffix,
        "answer": item.answers[0].capitalize(),
        "category": item.category,
    }


def _mmbench(item: Item, n: int, picture: _Picture) -> dict:
    # The Hub's table holds the text "nan" where there is nothing, and the task expects it.
    options = dict(zip("ABCD", (*item.options, "nan", "nan"), strict=False))
    return {
        "index": n,
        "question": item.question,
        "hint": "nan",
        "answer": item.answers[0],
        **options,
        "category": item.category,
        "image": picture.stored,
        "source": "miniature",
        "L2-category": _L2[item.category],
        "comment": "nan",
        "split": "dev",
    }


_ROWS: dict[str, Callable[[Item, int, _Picture], dict]] = {
    "nocaps": _nocaps,
    "flickr30k": _flickr30k,
    "vqav2": _vqav2,
    "gqa": _gqa,
    "okvqa": _okvqa,
    "vizwiz": _vizwiz,
    "textvqa": _textvqa,
    "chartqa": _chartqa,
    "docvqa": _docvqa,
    "pope": _pope,
    "mme": _mme,
    "mmbench": _mmbench,
}
