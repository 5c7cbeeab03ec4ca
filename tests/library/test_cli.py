"""The command `vtprune`: its output, its pictures, and its errors."""

import re
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.tiny_llava import GRID, PATCH, build_checkpoint
from PIL import Image
from rich.table import Table

import vtprune
from vtprune import cli, drawing
from vtprune.ask import Answer, _open, panels_of
from vtprune.attach import FAMILIES, Kept
from vtprune.command import parse_parameters, print_table
from vtprune.drawing import Panel
from vtprune.methods import Count, VisionZip, methods

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a checkpoint."""
    folder = tmp_path_factory.mktemp("place")
    build_checkpoint(folder / "tiny-llava")
    return folder


def test_methods_lists_every_method_on_a_line(capsys):
    assert cli.main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [number for number, line in enumerate(lines) if line.split()[1:] == ["description"]]
    assert [lines[number].split()[0] for number in heads] == ["method", "family"]
    of_methods, of_families = lines[1 : heads[1]], lines[heads[1] + 1 :]
    assert [line.split()[0] for line in of_methods] == sorted(methods())
    assert [line.split("  ")[0].strip() for line in of_families] == [family.title() for family in FAMILIES.values()]
    lines = of_methods + of_families
    for line in lines:
        assert len(line.split()) > 3 and len(line) < 130, f"one short line a method, not {line!r}"


def ask(place, tmp_path, *more, image=None, question="What color is the Cup?", out="seen.png") -> int:
    if image is None:
        image = tmp_path / "image.png"
        Image.new("RGB", (40, 30), (200, 30, 30)).save(image)
    given = (
        "--checkpoint",
        place / "tiny-llava",
        "--device",
        "cpu",
        "--max-new-tokens",
        2,
        "--out",
        tmp_path / out,
        *more,
    )
    return cli.main(["ask", str(image), question, *map(str, given)])


def tokens_of(out: str) -> dict[str, int]:
    """The numbers of image tokens in the printed table, by the label of the answer."""
    rows = [re.fullmatch(r"(.*?) +(\d+) +\d+\.\d{3}(  .*)?", line) for line in out.splitlines()[1:-1]]
    return {row[1]: int(row[2]) for row in rows}


def test_a_question_with_the_word_for_an_image_is_refused(place, tmp_path, capsys):
    assert ask(place, tmp_path, question="What is <image> here?") == 2
    error = capsys.readouterr().err
    assert "<image>" in error and "What is" in error and not (tmp_path / "seen.png").exists()


def test_ask(place, tmp_path, capsys):
    assert ask(place, tmp_path, "--keep", 0.25) == 0
    out = capsys.readouterr().out
    assert tokens_of(out) == {"unpruned": 16, "adaptprune, keep 0.25": 4}
    assert out.splitlines()[-1] == f"picture: {tmp_path / 'seen.png'}" and Image.open(tmp_path / "seen.png").width > 500


def test_a_phone_s_photo_is_asked_about_upright(tmp_path):
    """It is stored on its side, and says so: orientation 6 is a quarter turn clockwise."""
    photo = Image.new("RGB", (40, 20), "white")
    photo.paste("red", (0, 0, 8, 20))  # the left end, which is the top of the picture
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "photo.png", exif=exif)
    upright = _open(tmp_path / "photo.png")
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 2)) == (255, 0, 0) and upright.getpixel((10, 30)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("options", "titles", "counts"),
    [
        (("adaptprune", "--keep", 0.5), ["adaptprune: 8 of 16 tokens"], [8]),
        (
            ("visionzip", "--keep", 0.5),
            ["visionzip: 7 dominant of 16 tokens", "and 1 contextual (mean of others)"],
            [7, 1],
        ),
        (("visionzip", "--keep", 0.25), ["visionzip: 4 of 16 tokens"], [4]),  # 4 * 10 / 64 is less than one
        (("visionzip", "--keep", 1.0), ["visionzip: 16 of 16 tokens"], [16]),  # nothing is dropped, nothing merged
    ],
)
def test_a_picture_shows_means_apart(place, tmp_path, capsys, monkeypatch, options, titles, counts):
    drawn = []
    monkeypatch.setattr("vtprune.drawing.picture", lambda image, shown, path: drawn.extend(shown))
    assert ask(place, tmp_path, "--method", *options) == 0
    assert [title for title, _, _ in drawn] == titles
    assert [mask.sum() for _, _, mask in drawn] == counts and not sum(
        mask.astype(int) for _, _, mask in drawn
    ).max() > 1
    assert all(part.size == (PATCH * GRID, PATCH * GRID) for _, part, _ in drawn)  # the tower's, not the file's
    assert list(tokens_of(capsys.readouterr().out).values()) == [16, sum(counts)]


def pictured(name, image, tmp_path, monkeypatch, *more) -> tuple[Image.Image, list]:
    """The picture that is written with a committed checkpoint, and what is drawn on it."""
    panels, draw = [], drawing.picture
    image.save(tmp_path / "given.png")
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "picture", lambda image, shown, path: (panels.extend(shown), draw(image, shown, path)))
        more = ("--checkpoint", ROOT / "data/checkpoints" / name, "--max-new-tokens", 1, *more)
        assert ask(tmp_path, tmp_path, *more, image=tmp_path / "given.png") == 0
    return Image.open(tmp_path / "seen.png").convert("RGB"), panels


def test_tiles_are_drawn_as_the_model_sees_them(tmp_path, monkeypatch, capsys):
    image = Image.new("RGB", (96, 48), (200, 0, 0))
    image.paste((0, 0, 200), (48, 0, 96, 48))
    written, panels = pictured("miniature-internvl-small", image, tmp_path, monkeypatch, "--keep", 0.5)
    assert [title.partition(":")[0] for title, _, _ in panels] == [
        f"adaptprune, {part}" for part in ("tile 1", "tile 2", "thumbnail")
    ]
    left, right, thumbnail = (
        np.asarray(part.resize((2, 1), Image.Resampling.BOX)).tolist()[0] for _, part, _ in panels
    )
    assert left == [[200, 0, 0]] * 2 and right == [[0, 0, 200]] * 2
    assert thumbnail[0][0] > 150 > thumbnail[0][2] and thumbnail[1][2] > 150 > thumbnail[1][0]
    assert [f"{mask.sum()} of {mask.size} tokens" for _, _, mask in panels] == [
        title.partition(": ")[2] for title, _, _ in panels
    ]
    assert sum(mask.sum() for _, _, mask in panels) == 54 == list(tokens_of(capsys.readouterr().out).values())[1]
    # Each tile's own colour is on the picture, in its panel.
    seen = np.asarray(written)
    red, blue = ((seen == colour).all(axis=2) for colour in ([200, 0, 0], [0, 0, 200]))
    quarter = written.width // 4
    assert red[:, quarter : 2 * quarter].any() and not blue[:, quarter : 2 * quarter].any()
    assert blue[:, 2 * quarter : 3 * quarter].any() and not red[:, 2 * quarter : 3 * quarter].any()


def test_many_tiles_are_drawn_in_lines(tmp_path):
    image = Image.new("RGB", (48, 48), (0, 120, 0))
    drawing.picture(image, [Panel("tile", image, np.ones((6, 6), dtype=bool))] * 6, tmp_path / "many.png")
    written = Image.open(tmp_path / "many.png").convert("RGB")
    green = (np.asarray(written) == (0, 120, 0)).all(axis=2)
    middle = [int((column + 0.5) * written.width / 5) for column in range(5)]
    first, second = int(written.height * 0.25), int(written.height * 0.75)
    assert [bool(green[first - 40 : first + 40, x - 40 : x + 40].any()) for x in middle] == [True] * 5
    assert [bool(green[second - 40 : second + 40, x - 40 : x + 40].any()) for x in middle] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_newline_tokens_are_counted_but_not_drawn(tmp_path, monkeypatch, capsys):
    _, panels = pictured("miniature-next", Image.new("RGB", (96, 48), (9, 99, 9)), tmp_path, monkeypatch, "--keep", 1)
    (base, _, whole), (any_res, part, tiles) = panels
    assert base == "adaptprune, base: 36 of 36 tokens" and whole.shape == (6, 6)
    assert any_res == "adaptprune, any-res: 78 of 78 tokens, 6 of them newlines (not drawn)"
    assert tiles.shape == (6, 12) and tiles.all() and part.size == (96, 48)
    positions = torch.tensor([[0, 0], [0, 2], [1, 2]])
    kept = Kept(torch.tensor([0, 2, 5]), positions, (2, 3), 0, "any-res", torch.zeros(3, dtype=torch.bool))
    ((title, _, mask),) = panels_of("random", kept, Image.new("RGB", (6, 4)))
    assert title == "random: 3 of 6 tokens, 2 of them newlines (not drawn)" and mask.tolist() == [
        [True, False],
        [False, False],
    ]


@pytest.mark.parametrize("size", [(1000, 20), (20, 1000)])
def test_strips_are_drawn(tmp_path, monkeypatch, capsys, size):
    """LLaVA-NeXT's any-res grid has no row of such a wide picture, and only newlines of such a tall one."""
    written, panels = pictured("miniature-next", Image.new("RGB", size, (9, 99, 9)), tmp_path, monkeypatch, "--keep", 1)
    assert panels[0][0] == "adaptprune, base: 36 of 36 tokens" and panels[0][2].shape == (6, 6)
    if size == (1000, 20):
        assert len(panels) == 1
    else:
        (title, _, mask) = panels[1]
        assert title == "adaptprune, any-res: 12 of 12 tokens, 12 of them newlines (not drawn)" and not mask.any()
    assert 100 < written.height < 1200 and 900 < written.width < 1600
    assert (np.asarray(written) == (9, 99, 9)).all(axis=2).any()


def test_means_are_drawn_where_the_targets_stand():
    """Two grids of one prompt: VisionZip's means, by its own rule, in their panels."""
    from helpers.given_features import features, select

    method, given = VisionZip(Count(12), contextual=0.5), features(rows=1, images=[(3, 4), (5, 5)])
    chosen = select(method, given)[0]
    kept = torch.zeros(1, 37, dtype=torch.bool)
    kept[0, chosen] = True
    merged = method.merge(given, kept)[0] == torch.arange(37)
    for image, (first, shape) in enumerate(((0, (3, 4)), (12, (5, 5)))):
        tokens = torch.tensor([token for token in sorted(chosen) if first <= token < first + shape[0] * shape[1]])
        grid = Kept(tokens - first, torch.zeros(len(tokens), 2), shape, image, "tile", merged[tokens])
        dominant, contextual = (
            set((mask.flatten().nonzero()[0] + first).tolist())
            for _, _, mask in panels_of("visionzip", grid, Image.new("RGB", (8, 8)))
        )
        assert dominant == set(chosen[:6]) & set(tokens.tolist())
        assert contextual == set(chosen[6:]) & set(tokens.tolist()) != set()


def test_the_miniature_is_asked_from_any_folder(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.chdir(tmp_path)
    answer = Answer("unpruned", "a cup", 0.1, 16)
    monkeypatch.setattr(
        "vtprune.ask.ask", lambda image, question, checkpoint, *more, **options: asked.append(checkpoint) or [answer]
    )
    assert cli.main(["ask", "image.png", "What is it?"]) == 0
    assert asked == [ROOT / "data/checkpoints/miniature-llava"] and (asked[0] / "config.json").is_file()
    monkeypatch.setattr(cli, "MINIATURE", "data/checkpoints/none")
    assert cli.main(["ask", "image.png", "What is it?"]) == 2
    assert "--checkpoint" in error_of(capsys)


def error_of(capsys) -> str:
    """The one line that the command wrote for an error, without its name."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vtprune: ")]
    return line.removeprefix("vtprune: ")


@pytest.mark.parametrize(
    ("more", "key_words"),
    [
        ({"image": "/nowhere.png"}, "image /nowhere.png"),
        ({"image": __file__}, "damaged"),
        ({"question": " "}, "question is empty"),
        ({"out": "seen.txt"}, "'seen.txt'"),
        ({"options": ("--method", "none")}, "method 'none'"),
        ({"options": ("--method", "nope")}, "no method 'nope'"),
        ({"options": ("--keep", "2.0")}, "keep must lie in"),
        ({"options": ("--max-new-tokens", "0")}, "max-new-tokens"),
        ({"options": ("--param", "radius")}, "--param takes NAME=VALUE"),
        ({"options": ("--param", "keep=0.3")}, "--keep"),
        ({"options": ("--param", "colour=red")}, "no parameter 'colour'"),
        ({"options": ("--device", "cuda:99")}, "device cuda:99"),
        ({"options": ("--device", "mps:9")}, "device mps:9"),
        ({"options": ("--device", "tpu7")}, "no device 'tpu7'"),
        ({"options": ("--checkpoint", "/nowhere/at/all")}, "/nowhere/at/all"),
    ],
)
def test_mistakes_in_asking_are_one_line(place, tmp_path, capsys, more, key_words):
    more = dict(more)
    assert ask(place, tmp_path, *more.pop("options", ()), **more) == 2
    assert key_words in error_of(capsys)


@pytest.mark.parametrize("arguments", [["ask"], ["ask", "a.png", "What?", "--nothing"], ["nothing"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    assert cli.main(arguments) == 2
    assert "Usage" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["methods", "--help"]])
def test_help(arguments, capsys):
    assert cli.main(arguments) == 0
    assert "Usage" in capsys.readouterr().out


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "methods", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["methods"])


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "methods", interrupted)
    assert cli.main(["methods"]) == 130
    assert error_of(capsys) == "interrupted"


@pytest.mark.parametrize("package", ["PIL", "matplotlib"])
def test_ask_says_which_packages_to_install(package, monkeypatch, capsys):
    for module in ("ask", "drawing"):  # imported by other tests, when the packages were there
        monkeypatch.delattr(vtprune, module)
        monkeypatch.delitem(sys.modules, f"vtprune.{module}")
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["ask", "image.png", "What is it?"]) == 2
    assert "pillow and matplotlib" in error_of(capsys)


def test_tables_print_text_as_it_is_on_one_line_a_row(capsys):
    table = Table("method [a]", box=None)
    table.add_row(":cat: [bold] " + 99 * "long ")
    print_table(table)
    header, row = capsys.readouterr().out.splitlines()
    assert "[a]" in header and ":cat: [bold] long" in row and row.count("long") == 99


def test_parameters_are_json_or_text():
    parsed = parse_parameters(["radius=3", "distance=False", "reading=as_written", "layers=[1, 0.5]"])
    assert parsed == {"radius": 3, "distance": False, "reading": "as_written", "layers": [1, 0.5]}
