"""The table of benchmarks: what each is called, which lmms-eval task asks it, and in which unit it is scored.

Everything that speaks of a benchmark imports this module: the data sets of the miniature world, evaluation,
experiments and the report. It imports nothing of this project but the base of its errors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vtprune.errors import UserError

HUB_NAMESPACE = "lmms-lab-encoder"
"""The owner of the data sets on the Hugging Face Hub, and the folder's name of local copies."""

_SHORT = "{}\nAnswer the question using a single word or phrase."
_UNANSWERABLE = (
    "{}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n"
    "Answer the question using a single word or phrase."
)
_CAPTION = "Provide a one-sentence caption for the provided image."


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark is loaded, scored and named.

    Attributes:
        title: its name for readers.
        task: lmms-eval's name of the task.
        dataset: name of the data set on the Hub; ``owner/name`` if the owner is not ``lmms-lab-encoder``.
        split: of the data set.
        metric: lmms-eval's name of the metric, without the filter's suffix.
        unit: the metric and its unit, for readers.
        config: of the data set.
        images_config: a second configuration that holds the images (GQA); None if the first holds them.
        scale: factor from lmms-eval's units to the papers'.
        prompt: how lmms-eval's task words a question; ``{}`` is replaced by the question. None for a benchmark
            that the miniature world does not have: it needs the Hub's data.
        capitalized: whether the task changes the question's first letter to upper case and the others to lower.
        column: the column's header in the papers' tables, where it differs from the title.
        chance: score of fair guesses; None where it depends on the questions.
        java: whether the task's metrics start a Java process.
        judge: whether the task asks a GPT judge over the network.
        variant_of: the benchmark whose data set it has, where it is the same questions in another prompt or with
            another metric; None for a benchmark of its own.
        rows: how many questions the split has on the Hub, as the data set's card says; None if that is not known.
        split_bytes: the size of the split's files on the Hub, as the data set's page says; None if that is not known.
    """

    title: str
    task: str
    dataset: str
    split: str
    metric: str
    unit: str = "exact match, %"
    config: str = "default"
    images_config: str | None = None
    scale: float = 100.0
    prompt: str | None = _SHORT
    capitalized: bool = False
    column: str | None = None
    chance: float | None = None
    java: bool = False
    judge: bool = False
    variant_of: str | None = None
    rows: int | None = None
    split_bytes: int | None = None

    @property
    def path(self) -> str:
        """The argument of ``datasets.load_dataset``, and the data set's folder under the data root."""
        return self.dataset if "/" in self.dataset else f"{HUB_NAMESPACE}/{self.dataset}"

    @property
    def in_world(self) -> bool:
        """Whether the miniature world has a data set for it."""
        return self.prompt is not None

    def pattern(self, config: str) -> str:
        """Where the files of a configuration lie, relative to the data set's folder."""
        folder = "data" if config == "default" else config
        return f"{folder}/{self.split}-*"


# The twelve of the first paper, in its order, then those that only the second paper has, then variants: the numbers
# of the two papers are not of the same prompts and metrics.
BENCHMARKS: dict[str, Benchmark] = {
    "nocaps": Benchmark(
        "Nocaps",
        "nocaps_val",
        "NoCaps",
        "validation",
        "nocaps_CIDEr",
        "CIDEr",
        prompt=_CAPTION,
        java=True,
        rows=4_500,
        split_bytes=1_419_828_832,
    ),
    "flickr30k": Benchmark(
        "Flickr30K",
        "flickr30k_test",
        "flickr30k",
        "test",
        "flickr_CIDEr",
        "CIDEr",
        prompt=_CAPTION,
        java=True,
        rows=31_783,
        split_bytes=4_409_506_758,
    ),
    # Its size: 159.6 kB a row, from a published tenth of the split.
    "vqav2": Benchmark(
        "VQAv2", "vqav2_val", "VQAv2", "validation", "exact_match", rows=214_354, split_bytes=34_200_000_000
    ),
    "gqa": Benchmark(
        "GQA",
        "gqa",
        "GQA",
        "testdev",
        "exact_match",
        config="testdev_balanced_instructions",
        images_config="testdev_balanced_images",
        rows=12_578,
        split_bytes=67_600_000,
    ),
    "okvqa": Benchmark(
        "OK-VQA",
        "ok_vqa_val2014",
        "OK-VQA",
        "val2014",
        "exact_match",
        prompt=_UNANSWERABLE,
        rows=5_046,
        split_bytes=831_000_000,
    ),
    "vizwiz": Benchmark(
        "VizWiz",
        "vizwiz_vqa_val",
        "VizWiz-VQA",
        "val",
        "exact_match",
        prompt=_UNANSWERABLE,
        capitalized=True,
        rows=4_319,
        split_bytes=2_097_998_373,
    ),
    "textvqa": Benchmark(
        "TextVQA",
        "textvqa_val",
        "textvqa",
        "validation",
        "exact_match",
        capitalized=True,
        rows=5_000,
        split_bytes=920_000_000,
    ),
    "chartqa": Benchmark(
        "ChartQA",
        "chartqa",
        "ChartQA",
        "test",
        "relaxed_overall",
        "relaxed accuracy, %",
        prompt="{}\nAnswer the question with a single word.",
        rows=2_500,
        split_bytes=72_600_000,
    ),
    "docvqa": Benchmark(
        "DocVQA",
        "docvqa_val",
        "DocVQA",
        "validation",
        "anls",
        "ANLS, %",
        config="DocVQA",
        rows=5_349,
        split_bytes=2_532_447_207,
    ),
    "pope": Benchmark(
        "POPE", "pope", "POPE", "test", "pope_accuracy", "accuracy, %", chance=50.0, rows=9_000, split_bytes=255_000_000
    ),
    # The sum of the ten perception sub-tasks, at most 2000. Guessing gives 75 for each: 50 for the accuracy
    # and 25 for both questions of a pair right.
    "mme": Benchmark(
        "MME",
        "mme",
        "MME",
        "test",
        "mme_perception_score",
        "points of 2,000",
        scale=1.0,
        chance=750.0,
        rows=2_374,
        split_bytes=864_600_000,
    ),
    # The metric keeps its name although no GPT is asked.
    "mmbench": Benchmark(
        "MMBench",
        "mmbench_en_dev_static",
        "MMBench",
        "dev",
        "gpt_eval_score",
        "accuracy, % (static judge, no GPT)",
        config="en",
        scale=1.0,
        prompt="{}\n\nAnswer with the option's letter from the given choices directly.",
        column="MMB",
        rows=4_329,
        split_bytes=96_600_000,
    ),
    "mmvet": Benchmark(
        "MM-Vet",
        "mmvet",
        "MMVet",
        "test",
        "gpt_eval_score",
        "GPT’s grade, %",
        scale=1.0,
        prompt=None,
        judge=True,
        rows=218,
        split_bytes=67_200_000,
    ),
    # The questions about images, of 17,990. lmms-eval's task seedbench asks about videos as well, frame by frame.
    "seedbench": Benchmark(
        "SEED-Bench", "seedbench_image", "SEED-Bench", "test", "seed_image", "accuracy, %", prompt=None, rows=14_233
    ),
    # The questions that have an image.
    "scienceqa": Benchmark(
        "ScienceQA",
        "scienceqa_img",
        "ScienceQA",
        "test",
        "exact_match",
        config="ScienceQA-IMG",
        prompt=None,
        rows=2_017,
        split_bytes=130_000_000,
    ),
    "mmbench_cn": Benchmark(
        "MMBench-CN",
        "mmbench_cn_dev_static",
        "MMBench",
        "dev",
        "gpt_eval_score",
        "accuracy, % (static judge, no GPT)",
        config="cn",
        scale=1.0,
        prompt=None,
        rows=4_329,
        split_bytes=96_700_000,
    ),
    # With the words in the image that an OCR system read. It moves LLaVA-1.5-7B from about 46 to 58.
    "textvqa_ocr": Benchmark(
        "TextVQA with OCR tokens",
        "textvqa_val_ocr",
        "textvqa",
        "validation",
        "exact_match",
        prompt=None,
        variant_of="textvqa",
    ),
    # The answers are those of `pope`.
    "pope_f1": Benchmark("POPE, F1", "pope", "POPE", "test", "pope_f1_score", "F1, %", prompt=None, variant_of="pope"),
}
ADAPTPRUNE: tuple[str, ...] = (
    "nocaps",
    "flickr30k",
    "vqav2",
    "gqa",
    "okvqa",
    "vizwiz",
    "textvqa",
    "chartqa",
    "docvqa",
    "pope",
    "mme",
    "mmbench",
)
"""Keys of the twelve benchmarks of AdaptPrune's Table 1, in its order: TextVQA without OCR tokens, POPE's accuracy."""
EADAPRUNE: dict[str, str] = {
    "POPE": "pope_f1",
    "TextVQA": "textvqa_ocr",
    "MME": "mme",
    "MMBench-CN": "mmbench_cn",
    "GQA": "gqa",
    "SEED-Bench": "seedbench",
    "MMBench": "mmbench",
    "MM-Vet": "mmvet",
}
"""By name of a benchmark in E-AdaPrune's published rows, the key of the variant that its numbers are of.

The summaries do not name the variants, but the published scores tell them, beside LLaVA-1.5-7B's official ones:
TextVQA 58.1 is with OCR tokens (without them, it is 46), MME 1510 is perception alone (with cognition, it is 1862),
SEED-Bench 65 is its images. POPE is probably F1: the official 85.9 is F1, the accuracy is 87.0.
"""
WORLD: tuple[str, ...] = tuple(key for key, benchmark in BENCHMARKS.items() if benchmark.in_world)
"""Keys of the benchmarks that the miniature world has a data set of."""

# MME's sub-tasks: lmms-eval's name of each, and the papers'.
MME_PERCEPTION = {
    "existence": "Existence",
    "count": "Count",
    "position": "Position",
    "color": "Color",
    "posters": "Posters",
    "celebrity": "Celebrity",
    "scene": "Scene",
    "landmark": "Landmark",
    "artwork": "Artwork",
    "OCR": "OCR",
}
MME_COGNITION = {
    "commonsense_reasoning": "Commonsense Reasoning",
    "numerical_calculation": "Numerical Calculation",
    "text_translation": "Text Translation",
    "code_reasoning": "Code Reasoning",
}
# MMBench's hierarchy: the groups (its L2 categories), and the categories of each.
MMBENCH_GROUPS = {
    "coarse_perception": "Coarse Perception",
    "finegrained_perception (instance-level)": "Finegrained Perception (Instance-Level)",
    "finegrained_perception (cross-instance)": "Finegrained Perception (Cross-Instance)",
    "attribute_reasoning": "Attribute Reasoning",
    "relation_reasoning": "Relation Reasoning",
    "logic_reasoning": "Logic Reasoning",
}
MMBENCH_CATEGORIES: dict[str, dict[str, str]] = {
    "coarse_perception": {
        "image_style": "Image Style",
        "image_topic": "Image Topic",
        "image_scene": "Image Scene",
        "image_emotion": "Image Emotion",
        "image_quality": "Image Quality",
    },
    "finegrained_perception (instance-level)": {
        "attribute_recognition": "Attribute Recognition",
        "celebrity_recognition": "Celebrity Recognition",
        "object_localization": "Object Localization",
        "ocr": "OCR",
    },
    "finegrained_perception (cross-instance)": {
        "spatial_relationship": "Spatial Relationship",
        "attribute_comparison": "Attribute Comparison",
        "action_recognition": "Action Recognition",
    },
    "attribute_reasoning": {
        "physical_property_reasoning": "Physical Property Reasoning",
        "function_reasoning": "Function Reasoning",
        "identity_reasoning": "Identity Reasoning",
    },
    "relation_reasoning": {
        "social_relation": "Social Relation",
        "nature_relation": "Nature Relation",
        "physical_relation": "Physical Relation",
    },
    "logic_reasoning": {
        "structuralized_imagetext_understanding": "Structured Image-Text Understanding",
        "future_prediction": "Future Prediction",
    },
}
MMBENCH_GROUP_OF = {category: group for group, categories in MMBENCH_CATEGORIES.items() for category in categories}


def printed_parts() -> dict[str, str]:
    """By key of a benchmark's part (``mme/OCR``, ``mmbench/ocr``), the name that the papers print."""
    parts = {f"mme/{key}": name for key, name in (MME_PERCEPTION | MME_COGNITION).items()}
    parts |= {f"mmbench/{key}": name for categories in MMBENCH_CATEGORIES.values() for key, name in categories.items()}
    return parts | {f"mmbench/{key}": name for key, name in MMBENCH_GROUPS.items()}


def check_benchmarks(names: Iterable[str]) -> list[str]:
    """The names as a list.

    Raises:
        UserError: if one is not a benchmark's.
    """
    names = list(names)
    for name in names:
        if name not in BENCHMARKS:
            raise UserError(f"there is no benchmark {name!r}; the benchmarks are {', '.join(BENCHMARKS)}")
    return names


def limit_of(limit: int | Mapping[str, int | None] | None, benchmark: str) -> int | None:
    """How many of a benchmark's questions are asked at most; None for all.

    The number is made even, since MME's questions come in pairs.

    Args:
        limit: a number for every benchmark, or numbers by benchmark with ``default`` for the others. A variant that is
            not named has the limit of the benchmark that it is a variant of.

    Raises:
        UserError: if a number is less than 1, or a name is not a benchmark's.
    """
    if isinstance(limit, Mapping):
        check_benchmarks(name for name in limit if name != "default")
        names = (benchmark, BENCHMARKS[benchmark].variant_of or benchmark, "default")
        limit = next((limit[name] for name in names if name in limit), None)
    if limit is not None and limit < 1:
        raise UserError(f"limit must be at least 1, not {limit}")
    return limit + limit % 2 if limit else None


def check_available(name: str, data: str | Path | None) -> None:
    """Check that a benchmark has a data set.

    Args:
        data: the folder of the data sets; None for the Hub. A folder that is not there yet is the miniature world's.

    Raises:
        UserError: for a benchmark that the folder lacks.
    """
    if data is None:
        return
    benchmark, folder = BENCHMARKS[name], Path(data).expanduser()
    base = BENCHMARKS[benchmark.variant_of or name]
    if folder.is_dir():
        available = any((folder / benchmark.path).glob(benchmark.pattern(benchmark.config)))
    else:
        available = base.in_world
    if not available:
        needs = "" if base.in_world else ", nor has the miniature world; it needs the Hub's (evaluation.data: null)"
        raise UserError(f"{benchmark.title} has no data set {benchmark.path} in {data}{needs}")
