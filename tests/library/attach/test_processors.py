"""The families of today through their real processors: from a checkpoint to a pruned answer."""

import pytest
import torch
from helpers.attaching import first_fast, recompute
from helpers.tiny_families import IMAGE, TODAY, flat
from helpers.tiny_processors import save
from PIL import Image

from vtprune import load
from vtprune.attach.inference import Question, chat_prompt, encode
from vtprune.methods import AdaptPrune, FastV

FAMILIES = list(dict.fromkeys(family for family, _ in TODAY if family != "internvl"))
# (width, height) of the pictures of three prompts: one of them with two, one of an extreme shape.
PICTURES = [[(70, 30)], [(20, 100), (64, 64)], [(300, 4)]]
PARTS = {
    "qwen2_vl": [[("image", (4, 9))], [("image", (12, 2)), ("image", (6, 6))], [("image", (1, 18))]],
    # Pictures of a prompt with several have one tile each, and (300, 4) leaves newline tokens alone.
    "llava_onevision": [
        [("base", (4, 4)), ("any-res", (3, 9))],
        [("image", (4, 4)), ("newline", (1, 1))] * 2,
        [("base", (4, 4)), ("any-res", (0, 13))],
    ],
    "idefics3": [
        [("tile", (4, 4))] * 6 + [("thumbnail", (4, 4))],
        [("tile", (4, 4))] * 3 + [("thumbnail", (4, 4))] + [("tile", (4, 4))] * 9 + [("thumbnail", (4, 4))],
        [("tile", (4, 4))] * 3 + [("thumbnail", (4, 4))],
    ],
    "gemma3": [[("image", (4, 4))], [("image", (4, 4))] * 2, [("image", (4, 4))]],
}
PARTS |= {"qwen2_5_vl": PARTS["qwen2_vl"], "qwen3_vl": PARTS["qwen2_vl"], "smolvlm": PARTS["idefics3"]}


def picture(size, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 255, (*reversed(size), 3), generator=generator).to(torch.uint8)
    return Image.fromarray(values.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("family", first_fast(FAMILIES))
def test_a_checkpoint_is_loaded_and_pruned_with_its_processor(family, tmp_path, monkeypatch):
    """A batch equals its rows, each of which equals the recomputation; grids are those of the pictures."""
    pytest.importorskip("torchvision")
    if family == "smolvlm":  # its processor counts the frames of videos in words
        monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", str)
    save(family, tmp_path)
    model, processor = load(tmp_path, device="cpu")
    model.generation_config.eos_token_id = None
    questions = [
        Question(number, chat_prompt(processor, "what ?", len(sizes)), tuple(map(picture, sizes, range(len(sizes)))))
        for number, sizes in enumerate(PICTURES)
    ]
    options = {"do_sample": False, "max_new_tokens": 3}
    for method in (AdaptPrune(0.3, layer=1), FastV(5, layer=2)):
        with torch.no_grad(), method.attach(model) as pruned:
            inputs = encode(model, processor, questions)
            together = model.generate(**inputs, **options)[:, -3:].tolist()
            kept = [flat(row) for row in pruned.kept]
            assert [[(part.part, part.grid) for part in row] for row in pruned.kept] == PARTS[family]
            for number, question in enumerate(questions):
                alone = encode(model, processor, [question])
                assert model.generate(**alone, **options)[0, -3:].tolist() == together[number]
                assert flat(pruned.kept[0]) == kept[number]
        for number, question in enumerate(questions):
            alone = encode(model, processor, [question])
            total = int((alone["input_ids"] == IMAGE).sum())
            assert len(kept[number]) == (5 if method.name == "fastv" else int(0.3 * total))
            layer = pruned.stage_layers[0]
            assert together[number] == recompute(model, alone, {layer: kept[number]}, tokens=3)[0]
