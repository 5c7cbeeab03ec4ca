"""The benchmarks' data sets as the Hub has them: configurations, splits, columns and shards, with a few rows each."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetInfo, Features, List, SplitDict, SplitInfo, Value
from datasets import Image as ImageFeature
from huggingface_hub import DatasetCard, DatasetCardData

from helpers.replicas.pictures import ODD, StoredPicture, pictures
from vtstudy.benchmarks import BENCHMARKS, MMBENCH_GROUP_OF, MME_COGNITION, MME_PERCEPTION
from vtstudy.world.hub_rows import CHARTQA_SPLITS, POPE_CATEGORIES, TABLES, Row, StoredImage
from vtstudy.world.items import Item

MAIN_SHARDS, OTHER_SHARDS, OTHER_ROWS = 3, 2, 4
ROWS_IN_GROUP = 2
COLORS = ("red", "green", "blue", "yellow")
THINGS = ("cup", "boat", "lamp", "tree", "house")
SUBTASKS = (*MME_PERCEPTION, *MME_COGNITION)
DATA_SETS: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "NoCaps": {"default": {"validation": 16, "test": OTHER_ROWS}},
    "flickr30k": {"default": {"test": 16}},
    "VQAv2": {"default": {"validation": 16, "testdev": OTHER_ROWS, "test": OTHER_ROWS}},
    "GQA": {
        "testdev_balanced_instructions": {"testdev": 16},
        "testdev_balanced_images": {"testdev": 16},
        "val_balanced_instructions": {"val": OTHER_ROWS},
        "val_balanced_images": {"val": OTHER_ROWS},
        "train_balanced_instructions": {"train": OTHER_ROWS},
        "train_balanced_images": {"train": OTHER_ROWS},
    },
    "OK-VQA": {"default": {"val2014": 16}},
    "VizWiz-VQA": {"default": {"val": 16, "test": OTHER_ROWS}},
    "textvqa": {"default": {"train": OTHER_ROWS, "validation": 16, "test": OTHER_ROWS}},
    "ChartQA": {"default": {"test": 12}},
    "DocVQA": {
        "DocVQA": {"validation": 16, "test": OTHER_ROWS},
        "InfographicVQA": {"validation": OTHER_ROWS, "test": OTHER_ROWS},
    },
    "POPE": {
        "default": {"test": 12},
        "Full": {"adversarial": OTHER_ROWS, "popular": OTHER_ROWS, "random": OTHER_ROWS},
    },
    "MME": {"default": {"test": 2 * len(SUBTASKS)}},
    "MMBench": {
        "cc": {"test": OTHER_ROWS},
        "cn": {"dev": len(MMBENCH_GROUP_OF), "test": OTHER_ROWS},
        "en": {"dev": len(MMBENCH_GROUP_OF), "test": OTHER_ROWS},
    },
    "MMVet": {"default": {"test": 12}},
    "SEED-Bench": {"default": {"test": 16}},
    "ScienceQA": {
        "ScienceQA-FULL": {"train": OTHER_ROWS, "validation": OTHER_ROWS, "test": OTHER_ROWS},
        "ScienceQA-IMG": {"train": OTHER_ROWS, "validation": OTHER_ROWS, "test": 12},
    },
}
"""By data set, configuration and split: the number of rows. Configurations and splits are as published."""


def rows_in(benchmark: str) -> int:
    """How many questions the replica of a benchmark's split has."""
    spec = BENCHMARKS[benchmark]
    return DATA_SETS[spec.dataset][spec.config][spec.split]


# ---- rows


def _item(benchmark: str, number: int) -> Item:
    color, thing = COLORS[number % len(COLORS)], THINGS[number % len(THINGS)]
    name = f"{benchmark}{number:06d}"
    if benchmark in ("nocaps", "flickr30k"):
        captions = (f"A {color} {thing} stands near the house.", f"There is one {color} {thing}.")
        return Item(benchmark, name, "", captions)
    if benchmark == "mme":
        category = SUBTASKS[number // 2 % len(SUBTASKS)]
        return Item(
            benchmark, f"{number // 2:06d}", f"Is there a {thing}?", (("Yes", "No")[number % 2],), category=category
        )
    if benchmark == "pope":
        category = sorted(POPE_CATEGORIES)[number // 4 % 3]
        return Item(
            benchmark, name, f"Is there a {thing} in the image?", (("yes", "no")[number % 2],), category=category
        )
    if benchmark == "mmbench":
        category = tuple(MMBENCH_GROUP_OF)[number % len(MMBENCH_GROUP_OF)]
        options = THINGS[: 2 + number % 3]
        return Item(
            benchmark, name, "What is it?", ("ABCD"[number % len(options)],), category=category, options=options
        )
    if benchmark == "chartqa":
        category = CHARTQA_SPLITS[number // 6 % 2]
        return Item(benchmark, name, f"How high is the {color} bar?", (str(10 * (number % 2 + 1)),), category=category)
    answers = TABLES[benchmark].answers or 2
    return Item(
        benchmark, name, f"What color is the {thing}?", (color,) * answers, words=(thing.upper(), str(number), "ÖPNV")
    )


def _row(benchmark: str, number: int, picture: StoredPicture) -> Row:
    image = StoredImage(number, picture.width, picture.height, picture.value)
    return TABLES[benchmark].row(_item(benchmark, number), number, image)


def _mmbench_cn(number: int, picture: StoredPicture) -> Row:
    return _row("mmbench", number, picture) | {"question": "图中是什么？", "A": "杯子", "B": "船"}


def _mmvet(number: int, picture: StoredPicture) -> Row:
    return {
        "question_id": f"v1_{number}",
        "image": picture.value,
        "question": f"What color is the {THINGS[number % 5]}?",
        "answer": "red<OR>dark red" if number % 2 else "blue<AND>green",
        "image_source": "synthetic",
        "capability": "rec,ocr",
    }


def _seedbench(number: int, picture: StoredPicture) -> Row:
    """Every fourth question shows the frames of a video."""
    video = number % 4 == 3
    return {
        "answer": "ABCD"[number % 4],
        "choice_a": "red",
        "choice_b": "green",
        "choice_c": "blue",
        "choice_d": "yellow",
        "data_id": f"{number}.mp4" if video else picture.name,
        "data_type": "video" if video else "image",
        "question": f"What color is the {THINGS[number % 5]}?",
        "question_id": str(101669 + number),
        "question_type_id": 10 if video else 1 + number % 9,
        "image": [picture.value] * (8 if video else 1),
        "segment": [0.0, 8.0] if video else None,
    }


def _scienceqa(number: int, picture: StoredPicture) -> Row:
    return {
        "image": picture.value,
        "question": f"What color is the {THINGS[number % 5]}?",
        "choices": list(COLORS[: 2 + number % 3]),
        "answer": number % 2,
        "hint": "Look at the picture." if number % 2 else "",
        "task": "closed choice",
        "grade": "grade2",
        "subject": "natural science",
        "topic": "physics",
        "category": "Materials",
        "skill": "Identify colors",
        "lecture": "",
        "solution": "",
    }


SEEDBENCH = Features(
    {
        "answer": Value("string"),
        "choice_a": Value("string"),
        "choice_b": Value("string"),
        "choice_c": Value("string"),
        "choice_d": Value("string"),
        "data_id": Value("string"),
        "data_type": Value("string"),
        "question": Value("string"),
        "question_id": Value("string"),
        "question_type_id": Value("int16"),
        "image": List(ImageFeature()),
        "segment": List(Value("float64")),
    }
)
MMVET = Features(
    {
        "question_id": Value("string"),
        "image": ImageFeature(),
        "question": Value("string"),
        "answer": Value("string"),
        "image_source": Value("string"),
        "capability": Value("string"),
    }
)
SCIENCEQA = Features(
    {
        "image": ImageFeature(),
        "question": Value("string"),
        "choices": List(Value("string")),
        "answer": Value("int8"),
        "hint": Value("string"),
        "task": Value("string"),
        "grade": Value("string"),
        "subject": Value("string"),
        "topic": Value("string"),
        "category": Value("string"),
        "skill": Value("string"),
        "lecture": Value("string"),
        "solution": Value("string"),
    }
)
OTHERS: Mapping[str, tuple[Features, Callable[[int, StoredPicture], Row]]] = {
    "MMVet": (MMVET, _mmvet),
    "SEED-Bench": (SEEDBENCH, _seedbench),
    "ScienceQA": (SCIENCEQA, _scienceqa),
}
"""The data sets that the miniature world does not have."""


def _columns(data_set: str, config: str) -> tuple[Features, Callable[[int, StoredPicture], Row]]:
    if data_set in OTHERS:
        return OTHERS[data_set]
    benchmark = next(key for key, spec in BENCHMARKS.items() if spec.dataset == data_set and key in TABLES)
    table = TABLES[benchmark]
    if table.image_features is not None and config.endswith("_images"):
        return table.image_features, lambda number, picture: {
            "id": f"{benchmark}{number:06d}",
            "image": picture.value,
        }
    if (data_set, config) == ("MMBench", "cn"):
        return table.features, _mmbench_cn
    return table.features, lambda number, picture: _row(benchmark, number, picture)


# ---- files


def write_data_sets(root: Path, *benchmarks: str) -> None:
    """Write the data sets of these benchmarks to `root/datasets/<owner>/<name>`; all of them if none is named."""
    specs = [BENCHMARKS[name] for name in benchmarks or BENCHMARKS]
    for path, name in {spec.path: spec.dataset for spec in specs}.items():
        _write(Path(root) / "datasets" / path, name)


def _write(folder: Path, data_set: str) -> None:
    infos, configs = [], []
    for config, splits in DATA_SETS[data_set].items():
        features, make_row = _columns(data_set, config)
        directory = "data" if config == "default" else config
        described = {}
        for split, count in splits.items():
            # Another split has other pictures, but the two configurations of GQA have the same.
            place = int(hashlib.sha256(f"{data_set}-{split}".encode()).hexdigest()[:4], 16)
            kinds = tuple(ODD) if count > OTHER_ROWS else ()
            first = place % len(ODD)
            shown = pictures(count, place, kinds[first:] + kinds[:first])
            if data_set in ("MME", "POPE"):  # two questions about each picture
                shown = [shown[number // 2] for number in range(count)]
            rows = [make_row(number, picture) for number, picture in enumerate(shown)]
            shards = MAIN_SHARDS if count > OTHER_ROWS else OTHER_SHARDS
            size = _write_shards(folder / directory, split, features, rows, shards)
            described[split] = SplitInfo(split, num_bytes=size, num_examples=count)
        # Published cards tell the numbers of rows, and `datasets` compares them with what it reads.
        size = sum(split.num_bytes for split in described.values())
        info = DatasetInfo(features=features, splits=SplitDict(described), download_size=size, dataset_size=size)
        infos.append({"config_name": config, **info._to_yaml_dict()})
        files = [{"split": split, "path": f"{directory}/{split}-*"} for split in splits]
        configs.append({"config_name": config, "data_files": files})
    metadata = DatasetCardData(dataset_info=infos if len(infos) > 1 else infos[0], configs=configs)
    DatasetCard(f"---\n{metadata.to_yaml()}\n---\n# {data_set}\n").save(folder / "README.md")


def _write_shards(folder: Path, split: str, features: Features, rows: list[Row], count: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    for number in range(count):
        part = rows[len(rows) * number // count : len(rows) * (number + 1) // count]
        table = pa.Table.from_pylist(part, schema=features.arrow_schema)
        path = folder / f"{split}-{number:05d}-of-{count:05d}.parquet"
        pq.write_table(table, path, row_group_size=ROWS_IN_GROUP)
        size += path.stat().st_size
    return size
