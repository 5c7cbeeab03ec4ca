"""A wheel of the library works where only torch, transformers and what these require are installed."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from helpers import ROOT
from packaging.requirements import Requirement

PRUNE_A_TINY_LLAVA = """
import sys
import vtprune
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
import torch

model = LlavaForConditionalGeneration(LlavaConfig(
    vision_config=CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4),
    text_config=LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=2),
    image_token_index=63,
)).eval()
ids = torch.tensor([[1, *[63] * 16, 2, 3]])
pixels = torch.zeros(1, 3, 16, 16)
with vtprune.AdaptPrune(keep=0.25).attach(model) as pruned:
    model.generate(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), max_new_tokens=2)
    print("kept", len(pruned.kept[0][0].positions))
print("imported", [n for n in ("pandas", "lmms_eval", "dvc", "matplotlib", "PIL", "vtstudy") if n in sys.modules])
"""


def required(names):
    """The distributions of these names and, without extras, of all that they require here."""
    distributions = {}
    waiting = list(names)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in distributions or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            distributions[name] = distribution(name)
        except PackageNotFoundError:
            continue
        waiting += distributions[name].requires or []
    return distributions.values()


@pytest.mark.exhaustive
def test_a_wheel_prunes_with_torch_and_transformers_alone(tmp_path):
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "src", sources / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(sources)], check=True)
    (wheel,) = tmp_path.glob("vtprune-*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert (site / "vtprune/py.typed").is_file()
    (metadata,) = site.glob("vtprune-*.dist-info/METADATA")
    requirements = re.findall(r"(?m)^Requires-Dist: ([\w-]+)[^;\n]*$", metadata.read_text())
    assert requirements == ["torch", "transformers"]

    for package in required(["torch", "transformers"]):
        for top in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            link = site / top
            if not link.exists():
                link.symlink_to(package.locate_file(top))

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "PYTHONPATH": str(site)
    }
    done = subprocess.run(
        [sys.executable, "-S", "-c", PRUNE_A_TINY_LLAVA], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["kept 4", "imported []"]
