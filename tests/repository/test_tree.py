"""What must hold for every file of the repository."""

import re
import subprocess
import tomllib

import pytest
import yaml
from helpers import ROOT

# Written in pieces, so that this file does not name them.
REGISTRY_HOSTS = [
    "pypi." + "org",
    "python" + "hosted.org",
    "anaconda." + "org",
    "download." + "pytorch.org",
    "npmjs." + "org",
]
REGISTRY_OPTIONS = ["--" + "index-url", "--" + "extra-index-url", "--" + "find-links"]
MACHINE_FOLDERS = r"(?<![\w.:-])/(?:root|work|opt|tmp|Users|home/(?!someone\b)\w+)/\w"


@pytest.fixture(scope="module")
def texts():
    """The text of every tracked text file, by its path."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git repository")
    texts = {}
    for path in listed.stdout.split("\0"):
        file = ROOT / path
        if not file.is_file():
            continue
        try:
            texts[path] = file.read_text()
        except UnicodeDecodeError:
            continue
    return texts


def test_no_file_names_a_package_registry(texts):
    pattern = re.compile("|".join(map(re.escape, REGISTRY_HOSTS + REGISTRY_OPTIONS)))
    assert [path for path, text in texts.items() if pattern.search(text)] == []


def test_no_file_names_a_folder_of_somebodys_machine(texts):
    pattern = re.compile(MACHINE_FOLDERS)
    found = {path: pattern.search(text)[0] for path, text in texts.items() if pattern.search(text)}
    assert found == {}


def test_the_lock_file_pins_every_package_and_names_no_address():
    lines = (ROOT / "requirements.lock").read_text().splitlines()[1:]
    assert len(lines) > 50
    pinned = re.compile(r"[A-Za-z0-9._-]+==[^\s@/]+( ; sys_platform == \"linux\")?")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    released = re.findall(r"(?m)^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text())
    assert citation == version
    assert released[0] == version


def test_the_page_on_citing_has_what_the_citation_file_has():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    page = (ROOT / "docs/cite.md").read_text()
    entries = [
        dict(re.findall(r"(?m)^  (\w+) +=+ \{(.*)\},$", entry)) for entry in re.findall(r"(?ms)^@\w+\{.*?^\}", page)
    ]
    software, *papers = entries
    assert (software["title"], software["version"]) == (citation["title"], citation["version"])
    for paper, reference in zip(papers, citation["references"], strict=True):
        authors = [f"{author['family-names']}, {author['given-names']}" for author in reference["authors"]]
        assert paper["author"].split(" and ") == authors
        assert (paper["title"], paper["year"]) == (reference["title"], str(reference["year"]))
        assert paper["journal"].endswith(reference["notes"])


@pytest.mark.parametrize("path", sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / ".github").rglob("*.yml")))
def test_a_workflow_runs_targets_that_the_makefile_has(path):
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    jobs = yaml.safe_load((ROOT / path).read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands
    assert {target for command in commands for target in re.findall(r"^make ([\w-]+)$", command)} <= targets
