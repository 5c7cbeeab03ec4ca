"""The miniature world's data sets in the schemas of the Hub's, which lmms-eval's tasks load.

`TABLES` has one entry for each benchmark: its columns and the function that fills a row.

`write_benchmark(root, "pope", items, images)` writes `root/lmms-lab-encoder/POPE/...`. In the working directory
`root`, `load_dataset("lmms-lab-encoder/POPE")` reads it offline.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets import Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from vtstudy.benchmarks import BENCHMARKS, MMBENCH_GROUP_OF, MME_COGNITION, MME_PERCEPTION
from vtstudy.world.hub_files import DatasetError, check_table, png, write_card, write_table
from vtstudy.world.items import Item

POPE_CATEGORIES = ("random", "popular", "adversarial")
CHARTQA_SPLITS = ("human_test", "augmented_test")


@dataclass(frozen=True)
class StoredImage:
    """An image as the rows refer to it.

    Attributes:
        number: its place among the data set's images.
        width, height: in pixels.
        value: the value of an image column: `bytes` of the PNG and `path`.
    """

    number: int
    width: int
    height: int
    value: dict[str, object]


Row = dict[str, object]


@dataclass(frozen=True)
class HubTable:
    """The columns of a benchmark's data set, and the rules for its rows.

    Attributes:
        features: the columns.
        row: makes a row from an item, the item's number and its image.
        answers: how many answers a row must have; None for any number.
        categories: the allowed values of `Item.category`; empty for any.
        balanced: whether each image has as many questions with the answer yes as with no.
        pair: whether two rows, one with yes and one with no, form one unit of the score.
        per_image: at most how many questions the miniature world asks about one image, if not balanced.
        one_row_per_image: whether the metric identifies a prediction by its image.
        lettered: whether a row has two to four options, and the answer is an option's letter.
        image_features: the columns of the second configuration, which holds the images (GQA).
    """

    features: Features
    row: Callable[[Item, int, StoredImage], Row]
    answers: int | None = None
    categories: tuple[str, ...] = ()
    balanced: bool = False
    pair: bool = False
    per_image: int = 2
    one_row_per_image: bool = False
    lettered: bool = False
    image_features: Features | None = None


def _pair(item: Item) -> str:
    """MME's name of the pair that a question belongs to."""
    return f"{item.category}/{item.image_id}.png"


def _answer_type(answer: str) -> str:
    if answer.lower() in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdecimal() else "other"


def _nocaps(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "image": image.value,
        "image_coco_url": "",
        "image_date_captured": "",
        "image_file_name": f"{item.image_id}.png",
        "image_height": image.height,
        "image_width": image.width,
        "image_id": n,
        "image_license": 0,
        "image_open_images_id": item.image_id,
        "annotations_ids": [100 * n + k for k in range(len(item.answers))],
        "annotations_captions": list(item.answers),
    }


def _flickr30k(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "image": image.value,
        "caption": list(item.answers),
        "sentids": [str(100 * n + k) for k in range(len(item.answers))],
        "img_id": str(n),
        "filename": f"{item.image_id}.png",
    }


def _vqav2(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "question_type": " ".join(item.question.lower().split()[:2]),
        "multiple_choice_answer": item.answers[0],
        # The task leaves out one answer by comparing entries, so their ids must differ.
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": k + 1} for k, answer in enumerate(item.answers)
        ],
        "image_id": image.number,
        "answer_type": _answer_type(item.answers[0]),
        "question_id": n,
        "question": item.question,
        "image": image.value,
    }


def _gqa(item: Item, n: int, image: StoredImage) -> Row:
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


def _okvqa(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "question_id": str(n),
        "image": image.value,
        "question": item.question,
        "answers": list(item.answers),
        "question_type": item.category or "other",
        "answer_type": "other",
    }


def _vizwiz(item: Item, n: int, image: StoredImage) -> Row:
    unanswerable = item.answers[0].lower() == "unanswerable"
    return {
        "question_id": str(n),
        "image": image.value,
        "question": item.question,
        "answers": list(item.answers),
        "category": "unanswerable" if unanswerable else _answer_type(item.answers[0]),
    }


def _textvqa(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "image_id": item.image_id,
        "question_id": n,
        "question": item.question,
        "question_tokens": item.question.lower().rstrip("?").split(),
        "image": image.value,
        "image_width": image.width,
        "image_height": image.height,
        "flickr_original_url": "",
        "flickr_300k_url": "",
        "answers": list(item.answers),
        "image_classes": [],
        "set_name": "val",
        "ocr_tokens": list(item.words),
    }


def _chartqa(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "type": item.category,
        "question": item.question,
        "answer": item.answers[0],
        "image": image.value,
    }


def _docvqa(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "questionId": str(n),
        "question": item.question,
        "question_types": [item.category] if item.category else [],
        "image": image.value,
        "docId": image.number,
        "ucsf_document_id": item.image_id,
        "ucsf_document_page_no": "1",
        "answers": list(item.answers),
        "data_split": "val",
    }


def _pope(item: Item, n: int, image: StoredImage) -> Row:
    return {
        "id": str(n),
        "question_id": str(n + 1),
        "question": item.question,
        "answer": item.answers[0].lower(),
        "image_source": item.image_id,
        "image": image.value,
        "category": item.category,
    }


def _mme(item: Item, n: int, image: StoredImage) -> Row:
    suffix = " Please answer yes or no."  # the Hub's column has it, and the task removes it
    return {
        "question_id": _pair(item),
        "image": image.value,
        "question": item.question.removesuffix(suffix) + suffix,
        "answer": item.answers[0].capitalize(),
        "category": item.category,
    }


def _mmbench(item: Item, n: int, image: StoredImage) -> Row:
    # The Hub's table has the text "nan" in empty cells, and the task expects it.
    options = dict(zip("ABCD", (*item.options, "nan", "nan"), strict=False))
    return {
        "index": n,
        "question": item.question,
        "hint": "nan",
        "answer": item.answers[0],
        **options,
        "category": item.category,
        "image": image.value,
        "source": "miniature",
        "L2-category": MMBENCH_GROUP_OF[item.category],
        "comment": "nan",
        "split": "dev",
    }


TABLES: dict[str, HubTable] = {
    "nocaps": HubTable(
        Features(
            {
                "image": ImageFeature(),
                "image_coco_url": Value("string"),
                "image_date_captured": Value("string"),
                "image_file_name": Value("string"),
                "image_height": Value("int32"),
                "image_width": Value("int32"),
                "image_id": Value("int32"),
                "image_license": Value("int8"),
                "image_open_images_id": Value("string"),
                "annotations_ids": List(Value("int32")),
                "annotations_captions": List(Value("string")),
            }
        ),
        row=_nocaps,
        per_image=1,
        one_row_per_image=True,
    ),
    "flickr30k": HubTable(
        Features(
            {
                "image": ImageFeature(),
                "caption": List(Value("string")),
                "sentids": List(Value("string")),
                "img_id": Value("string"),
                "filename": Value("string"),
            }
        ),
        row=_flickr30k,
        per_image=1,
        one_row_per_image=True,
    ),
    "vqav2": HubTable(
        Features(
            {
                "question_type": Value("string"),
                "multiple_choice_answer": Value("string"),
                "answers": List(
                    {"answer": Value("string"), "answer_confidence": Value("string"), "answer_id": Value("int64")}
                ),
                "image_id": Value("int64"),
                "answer_type": Value("string"),
                "question_id": Value("int64"),
                "question": Value("string"),
                "image": ImageFeature(),
            }
        ),
        row=_vqav2,
        answers=10,
    ),
    "gqa": HubTable(
        Features(
            {
                "id": Value("string"),
                "imageId": Value("string"),
                "question": Value("string"),
                "answer": Value("string"),
                "fullAnswer": Value("string"),
                "isBalanced": Value("bool"),
                "groups": {"global": Value("string"), "local": Value("string")},
                "entailed": Value("string"),
                "equivalent": Value("string"),
                "types": {"structural": Value("string"), "semantic": Value("string"), "detailed": Value("string")},
                "annotations": List(
                    {
                        "question": {"objectId": Value("string"), "value": Value("string")},
                        "answer": {"objectId": Value("string"), "value": Value("string")},
                        "fullAnswer": {"objectId": Value("string"), "value": Value("string")},
                    }
                ),
                "semantic": List(
                    {"operation": Value("string"), "argument": Value("string"), "dependencies": List(Value("int32"))}
                ),
                "semanticStr": Value("string"),
            }
        ),
        row=_gqa,
        answers=1,
        image_features=Features({"id": Value("string"), "image": ImageFeature()}),
    ),
    "okvqa": HubTable(
        Features(
            {
                "question_id": Value("string"),
                "image": ImageFeature(),
                "question": Value("string"),
                "answers": List(Value("string")),
                "question_type": Value("string"),
                "answer_type": Value("string"),
            }
        ),
        row=_okvqa,
        answers=10,
    ),
    "vizwiz": HubTable(
        Features(
            {
                "question_id": Value("string"),
                "image": ImageFeature(),
                "question": Value("string"),
                "answers": List(Value("string")),
                "category": Value("string"),
            }
        ),
        row=_vizwiz,
        answers=10,
    ),
    "textvqa": HubTable(
        Features(
            {
                "image_id": Value("string"),
                "question_id": Value("int32"),
                "question": Value("string"),
                "question_tokens": List(Value("string")),
                "image": ImageFeature(),
                "image_width": Value("int32"),
                "image_height": Value("int32"),
                "flickr_original_url": Value("string"),
                "flickr_300k_url": Value("string"),
                "answers": List(Value("string")),
                "image_classes": List(Value("string")),
                "set_name": Value("string"),
                "ocr_tokens": List(Value("string")),
            }
        ),
        row=_textvqa,
        answers=10,
    ),
    "chartqa": HubTable(
        Features(
            {"type": Value("string"), "question": Value("string"), "answer": Value("string"), "image": ImageFeature()}
        ),
        row=_chartqa,
        answers=1,
        categories=CHARTQA_SPLITS,
    ),
    "docvqa": HubTable(
        Features(
            {
                "questionId": Value("string"),
                "question": Value("string"),
                "question_types": List(Value("string")),
                "image": ImageFeature(),
                "docId": Value("int64"),
                "ucsf_document_id": Value("string"),
                "ucsf_document_page_no": Value("string"),
                "answers": List(Value("string")),
                "data_split": Value("string"),
            }
        ),
        row=_docvqa,
    ),
    "pope": HubTable(
        Features(
            {
                "id": Value("string"),
                "question_id": Value("string"),
                "question": Value("string"),
                "answer": Value("string"),
                "image_source": Value("string"),
                "image": ImageFeature(),
                "category": Value("string"),
            }
        ),
        row=_pope,
        answers=1,
        balanced=True,
        categories=POPE_CATEGORIES,
    ),
    "mme": HubTable(
        Features(
            {
                "question_id": Value("string"),
                "image": ImageFeature(),
                "question": Value("string"),
                "answer": Value("string"),
                "category": Value("string"),
            }
        ),
        row=_mme,
        answers=1,
        balanced=True,
        pair=True,
        categories=(*MME_PERCEPTION, *MME_COGNITION),
    ),
    "mmbench": HubTable(
        Features(
            {
                "index": Value("int64"),
                "question": Value("string"),
                "hint": Value("string"),
                "answer": Value("string"),
                "A": Value("string"),
                "B": Value("string"),
                "C": Value("string"),
                "D": Value("string"),
                "category": Value("string"),
                "image": ImageFeature(),
                "source": Value("string"),
                "L2-category": Value("string"),
                "comment": Value("string"),
                "split": Value("string"),
            }
        ),
        row=_mmbench,
        answers=1,
        per_image=1,
        lettered=True,
        categories=tuple(MMBENCH_GROUP_OF),
    ),
}


def _table_of(benchmark: str) -> HubTable:
    if benchmark not in TABLES:
        raise DatasetError(f"There is no benchmark '{benchmark}'; choose from {', '.join(TABLES)}.")
    return TABLES[benchmark]


def _features(benchmark: str) -> dict[str, Features]:
    """The columns of each configuration that the benchmark's task loads."""
    table, spec = _table_of(benchmark), BENCHMARKS[benchmark]
    features = {spec.config: table.features}
    if spec.images_config is not None and table.image_features is not None:
        features[spec.images_config] = table.image_features
    return features


def write_benchmark(root: Path, benchmark: str, items: Iterable[Item], images: Mapping[str, Image.Image]) -> None:
    """Write one data set below `root`, rows in the order of `items`.

    Args:
        images: by `Item.image_id`.

    Raises:
        DatasetError: for an item that the benchmark's task would score wrongly.
    """
    features, table, spec = _features(benchmark), TABLES[benchmark], BENCHMARKS[benchmark]
    same = next((name for name in TABLES if name != benchmark and BENCHMARKS[name].path == spec.path), None)
    if same is not None:
        raise DatasetError(
            f"{spec.title} and {BENCHMARKS[same].title} are both of the data set {spec.path}, and one would overwrite "
            "the other: the miniature world can have one of them."
        )
    items = list(items)
    _check_items(benchmark, items, images)
    stored: dict[str, StoredImage] = {}
    for item in items:
        if item.image_id not in stored:
            image = images[item.image_id]
            value: dict[str, object] = {"bytes": png(image), "path": f"{item.image_id}.png"}
            stored[item.image_id] = StoredImage(len(stored), *image.size, value)
    rows = {spec.config: [table.row(item, n, stored[item.image_id]) for n, item in enumerate(items)]}
    if spec.images_config:
        rows[spec.images_config] = [{"id": name, "image": image.value} for name, image in stored.items()]
    folder = Path(root) / spec.path
    files = {}
    for config, columns in features.items():
        pattern = spec.pattern(config)
        for stale in folder.glob(pattern):
            stale.unlink()
        stem = folder / pattern.replace("*", "00000-of-00001")
        file = write_table(stem, columns, rows[config])
        files[config] = {spec.split: file.relative_to(folder).as_posix()}
    write_card(folder / "README.md", f"{spec.title}, made by vtprune's miniature world", files)


def validate(root: Path, benchmark: str) -> int:
    """Check a data set below `root` and return its number of questions.

    Raises:
        DatasetError: for a missing file or column, a wrong type, an image that cannot be decoded, or rows that
            the task could not score.
    """
    features, table, spec = _features(benchmark), TABLES[benchmark], BENCHMARKS[benchmark]
    folder = Path(root) / spec.path
    tables = {}
    for config, columns in features.items():
        files = sorted(folder.glob(spec.pattern(config)))
        if not files:
            raise DatasetError(f"{spec.title}: there is no {spec.path}/{spec.pattern(config)}.")
        tables[config] = check_table(files, columns, spec.title)
    if not (folder / "README.md").is_file():
        raise DatasetError(f"{spec.title}: there is no {spec.path}/README.md.")
    questions = tables[spec.config]
    if spec.images_config:
        known = set(tables[spec.images_config].column("id").to_pylist())
        missing = sorted(set(questions.column("imageId").to_pylist()) - known)
        if missing:
            raise DatasetError(f"{spec.title}: there is no image '{missing[0]}'.")
    if table.pair:
        counts = Counter(questions.column("question_id").to_pylist())
        odd = next((name for name, count in counts.items() if count != 2), None)
        if odd is not None:
            raise DatasetError(f"{spec.title}: question '{odd}' has {counts[odd]} rows, not two.")
    return questions.num_rows


def _check_items(benchmark: str, items: list[Item], images: Mapping[str, Image.Image]) -> None:
    table, title = TABLES[benchmark], BENCHMARKS[benchmark].title
    if not items:
        raise DatasetError(f"{title}: there are no items.")
    for n, item in enumerate(items):
        label = f"{title}: item {n} ({item.image_id})"
        if item.benchmark != benchmark:
            raise DatasetError(f"{label} belongs to '{item.benchmark}'.")
        if item.image_id not in images:
            raise DatasetError(f"{label} has no image.")
        _check_answers(item, table, label)
    if table.one_row_per_image:
        image, count = Counter(item.image_id for item in items).most_common(1)[0]
        if count > 1:
            raise DatasetError(f"{title}: image '{image}' has {count} items, not one.")
    if table.pair:
        pairs: dict[str, list[str]] = {}
        for item in items:
            pairs.setdefault(_pair(item), []).append(item.answers[0].lower())
        for pair, answers in pairs.items():
            if sorted(answers) != ["no", "yes"]:
                raise DatasetError(f"{title}: '{pair}' needs one yes and one no.")


def _check_answers(item: Item, table: HubTable, label: str) -> None:
    if not item.answers:
        raise DatasetError(f"{label} has no answer.")
    if table.answers and len(item.answers) != table.answers:
        raise DatasetError(f"{label} has {len(item.answers)} answers, not {table.answers}.")
    if table.categories and item.category not in table.categories:
        raise DatasetError(f"{label} has the unknown category '{item.category}'.")
    if table.balanced and item.answers[0].lower() not in ("yes", "no"):
        raise DatasetError(f"{label} is not answered by yes or no.")
    if table.lettered:
        if not 2 <= len(item.options) <= 4:
            raise DatasetError(f"{label} has {len(item.options)} options, not two to four.")
        if item.answers[0] not in tuple("ABCD"[: len(item.options)]):
            raise DatasetError(f"{label} has no option '{item.answers[0]}'.")
