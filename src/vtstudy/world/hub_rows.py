"""The twelve benchmarks in the schemas of the Hub data sets that lmms-eval's tasks load.

`write_benchmark(root, "pope", items, images)` writes `root/lmms-lab-encoder/POPE/...`; with
`root` as the working directory, `load_dataset("lmms-lab-encoder/POPE")` reads it offline.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vtstudy.benchmarks import BENCHMARKS, MMBENCH_GROUP_OF, MME_COGNITION, MME_PERCEPTION
from vtstudy.world.hub_files import DatasetError, Schema, check_table, png, write_card, write_table
from vtstudy.world.items import Item

POPE_CATEGORIES = ("random", "popular", "adversarial")
CHARTQA_SPLITS = ("human_test", "augmented_test")


@dataclass(frozen=True)
class HubTable:
    """The columns of a benchmark's data set, and what its rows must hold.

    Attributes:
        schema: column by column, as of :data:`vtstudy.world.hub_files.Schema`.
        answers: how many answers a row must have; None for any number.
        categories: the allowed values of `Item.category`; empty for any.
        balanced: each image has as many questions with yes as with no.
        pair: two rows form one unit of the score, so a bootstrap draws pairs.
        per_image: questions about one image of the miniature, at most, where not balanced.
        image_schema: of the second configuration that holds the images (GQA).
    """

    schema: Schema
    answers: int | None = None
    categories: tuple[str, ...] = ()
    balanced: bool = False
    pair: bool = False
    per_image: int = 2
    image_schema: Schema | None = None


TABLES = {
    "nocaps": HubTable(
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
    ),
    "flickr30k": HubTable(
        {
            "image": "image",
            "caption": ["string"],
            "sentids": ["string"],
            "img_id": "string",
            "filename": "string",
        },
        per_image=1,
    ),
    "vqav2": HubTable(
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
    "gqa": HubTable(
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
        answers=1,
        image_schema={"id": "string", "image": "image"},
    ),
    "okvqa": HubTable(
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
    "vizwiz": HubTable(
        {
            "question_id": "string",
            "image": "image",
            "question": "string",
            "answers": ["string"],
            "category": "string",
        },
        answers=10,
    ),
    "textvqa": HubTable(
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
    "chartqa": HubTable(
        {"type": "string", "question": "string", "answer": "string", "image": "image"},
        answers=1,
    ),
    "docvqa": HubTable(
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
    ),
    "pope": HubTable(
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
        balanced=True,
        categories=POPE_CATEGORIES,
    ),
    "mme": HubTable(
        {
            "question_id": "string",
            "image": "image",
            "question": "string",
            "answer": "string",
            "category": "string",
        },
        answers=1,
        balanced=True,
        pair=True,
        categories=(*MME_PERCEPTION, *MME_COGNITION),
    ),
    "mmbench": HubTable(
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
        answers=1,
        per_image=1,
        categories=tuple(MMBENCH_GROUP_OF),
    ),
}


def _table_of(benchmark: str) -> HubTable:
    if benchmark not in TABLES:
        raise DatasetError(f"There is no benchmark '{benchmark}'; choose from {', '.join(TABLES)}.")
    return TABLES[benchmark]


def _schemas(benchmark: str) -> dict[str, Schema]:
    """Schema of each configuration that the benchmark's task loads."""
    table, spec = _table_of(benchmark), BENCHMARKS[benchmark]
    schemas = {spec.config: table.schema}
    if spec.images_config is not None and table.image_schema is not None:
        schemas[spec.images_config] = table.image_schema
    return schemas


def write_benchmark(root: Path, benchmark: str, items: Iterable[Item], images: Mapping[str, Image.Image]) -> None:
    """Write one data set below `root`, rows in the order of `items`.

    Raises `DatasetError` on an item that its task could not score as meant.
    """
    schemas, spec = _schemas(benchmark), BENCHMARKS[benchmark]
    items = list(items)
    _check_items(benchmark, items, images)
    pictures = {}
    for item in items:
        if item.image_id not in pictures:
            image = images[item.image_id]
            stored = {"bytes": png(image), "path": f"{item.image_id}.png"}
            pictures[item.image_id] = _Picture(len(pictures), *image.size, stored)
    row = _ROWS[benchmark]
    rows = {spec.config: [row(item, n, pictures[item.image_id]) for n, item in enumerate(items)]}
    if spec.images_config:
        rows[spec.images_config] = [{"id": name, "image": picture.stored} for name, picture in pictures.items()]
    folder = Path(root) / spec.path
    cards = {}
    for config, schema in schemas.items():
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
    schemas, table, spec = _schemas(benchmark), TABLES[benchmark], BENCHMARKS[benchmark]
    folder = Path(root) / spec.path
    tables = {}
    for config, schema in schemas.items():
        files = sorted(folder.glob(spec.pattern(config)))
        if not files:
            raise DatasetError(f"{spec.title}: there is no {spec.path}/{spec.pattern(config)}.")
        tables[config] = check_table(files, schema, spec.title)
    if not (folder / "README.md").is_file():
        raise DatasetError(f"{spec.title}: there is no {spec.path}/README.md.")
    questions = tables[spec.config]
    if spec.images_config:
        known = set(tables[spec.images_config].column("id").to_pylist())
        lost = sorted(set(questions.column("imageId").to_pylist()) - known)
        if lost:
            raise DatasetError(f"{spec.title}: there is no image '{lost[0]}'.")
    if table.pair:
        counts = Counter(questions.column("question_id").to_pylist())
        odd = next((name for name, count in counts.items() if count != 2), None)
        if odd is not None:
            raise DatasetError(f"{spec.title}: question '{odd}' has {counts[odd]} rows, not two.")
    return questions.num_rows


def _check_items(name: str, items: list[Item], images: Mapping[str, Image.Image]) -> None:
    table, title = TABLES[name], BENCHMARKS[name].title
    if not items:
        raise DatasetError(f"{title}: there are no items.")
    for n, item in enumerate(items):
        where = f"{title}: item {n} ({item.image_id})"
        if item.benchmark != name:
            raise DatasetError(f"{where} belongs to '{item.benchmark}'.")
        if item.image_id not in images:
            raise DatasetError(f"{where} has no image.")
        if not item.answers:
            raise DatasetError(f"{where} has no answer.")
        if table.answers and len(item.answers) != table.answers:
            raise DatasetError(f"{where} has {len(item.answers)} answers, not {table.answers}.")
        if table.categories and item.category not in table.categories:
            raise DatasetError(f"{where} has the unknown category '{item.category}'.")
        if table.balanced and item.answers[0].lower() not in ("yes", "no"):
            raise DatasetError(f"{where} is not answered by yes or no.")
        if name == "mmbench":
            if not 2 <= len(item.options) <= 4:
                raise DatasetError(f"{where} has {len(item.options)} options, not two to four.")
            if item.answers[0] not in tuple("ABCD"[: len(item.options)]):
                raise DatasetError(f"{where} has no option '{item.answers[0]}'.")
    if name in ("nocaps", "flickr30k"):  # the metrics know a prediction by its image
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
        "L2-category": MMBENCH_GROUP_OF[item.category],
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
