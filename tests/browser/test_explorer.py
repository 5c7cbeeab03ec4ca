"""The explorer in a browser, on made-up data: choosing with the keyboard and on a phone, pictures, tokens, answers."""

import re

import pytest
from helpers.explorer_files import GRID, KEEPS, METHODS, QUESTIONS, kept_cells, write_explorer_files

from vtstudy.report.explorer import write_explorer

from .conftest import DESKTOP, PHONE, violations

pytestmark = pytest.mark.slow

PICTURES = [(key, number) for key, (_, _, count) in QUESTIONS.items() for number in range(count)]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_explorer(write_explorer_files(folder / "results/explorer"), folder / "explorer")


@pytest.fixture
def opened(open_page, file):
    """The page as it opens, which must end without a complaint and without a request to any network."""
    found = open_page(file)
    yield found
    assert found.errors == [] and found.requests == []


@pytest.fixture
def page(opened):
    return opened.page


def drawn(page, name="kept"):
    """The cells that are drawn as kept or as merged."""
    corners = re.findall(r"M([\d.]+) ([\d.]+)h", page.locator(f"#veil .{name}").get_attribute("d"))
    return sorted(int(float(row)) * GRID + int(float(column)) for column, row in corners)


def state(page):
    """What is shown: the benchmark, the number of the picture, the method and the budget."""
    return (
        page.locator("#benchmark").input_value(),
        int(page.locator("input[name=picture]:checked").input_value()),
        page.locator("#method").input_value(),
        float(page.locator("input[name=keep]:checked").input_value()),
    )


def answers(page, table="answers"):
    """The rows of a table, as the texts of their cells."""
    return [row.locator("th, td").all_inner_texts() for row in page.locator(f"#{table} tr").all()]


def test_every_picture_loads_with_its_question(page):
    for key, (question, _, count) in QUESTIONS.items():
        page.locator("#benchmark").select_option(key)
        assert page.locator("input[name=picture]").count() == count
        for number in range(count):
            page.locator("input[name=picture]").nth(number).check()
            assert page.locator("#question").inner_text() == question
            page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth === 32)")
            for id_ in ("whole", "behind"):
                assert page.locator(f"#{id_}").get_attribute("src") == f"pictures/{key}-{number}.webp"


def test_each_method_and_budget_shows_its_own_tokens(page):
    for method in METHODS:
        page.locator("#method").select_option(method)
        for keep in KEEPS:
            page.locator(f"input[name=keep][value='{keep:g}']").check()
            kept = kept_cells(method, keep, 0)
            assert drawn(page) == kept
            assert drawn(page, "dropped") == sorted(set(range(GRID * GRID)) - set(kept))
            assert drawn(page, "merged") == (kept[:1] if method == "pooled" else [])
            assert f"{len(kept)} " in page.locator("#pruned").get_attribute("aria-label")
        assert METHODS[method] in page.locator("#summary").inner_text()


def test_the_answers_stand_beside_the_references_with_their_verdicts(page):
    page.locator("#benchmark").select_option("textvqa")
    page.locator("#method").select_option("pooled")
    page.locator("input[name=keep][value='0.25']").check()
    (_, references), unpruned, pruned, blind = answers(page)
    assert all(f"“{answer}”" in references for answer in QUESTIONS["textvqa"][1][:3]) and "1 more" in references
    assert unpruned[1:] == ["“baseline”", "right"] and blind[1:] == ["“blind”", "wrong"]
    assert pruned[1:] == ["“pooled at 0.25”", "partly right, 0.3 of 1"]
    by_method = {row[0]: row[1:] for row in answers(page, "all")}
    assert len(by_method) == len(METHODS) and by_method["FastV"] == ["4", "“fastv at 0.25”", "wrong"]
    assert f"Right answers: 1 of {len(METHODS)}." in page.locator("#all-caption").inner_text()


def test_a_caption_has_its_cider_and_markup_in_answers_is_text(page):
    page.locator("#benchmark").select_option("nocaps")
    (_, reference), unpruned, _, _ = answers(page)
    assert reference == "“a <b>dog</b> & a cat”" and unpruned[2] == "CIDEr 100"
    assert "Right answers" not in page.locator("#all-caption").inner_text()


def test_an_empty_answer_is_named(page):
    page.locator("#method").select_option("fastv")
    page.locator(f"input[name=keep][value='{KEEPS[-1]:g}']").check()
    assert answers(page)[2][1] == "no answer"


def test_a_change_is_announced(page):
    status = page.get_by_role("status")
    before = status.inner_text()
    page.locator("#method").select_option("fastv")
    after = status.inner_text()
    assert after != before and "FastV" in after and "wrong" in after and "“baseline” (right)" in after


def test_a_method_can_be_chosen_from_the_table(page):
    page.locator("#all button", has_text="FastV").press("Enter")
    assert state(page)[2] == "fastv" and page.locator("#all tr[aria-current]").inner_text().startswith("FastV")
    assert page.evaluate("document.activeElement.dataset.method") == "fastv"


def focus_shows(page):
    """Whether a focus ring is drawn on what has the focus (a picture, for the button that lies over it)."""
    return page.evaluate(
        """() => {
          const focused = document.activeElement;
          const ringed = focused.name === "picture" ? focused.nextElementSibling : focused;
          const style = getComputedStyle(ringed);
          return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        }"""
    )


def test_everything_can_be_chosen_with_the_keyboard_and_the_focus_is_seen(page):
    reached = []
    start = state(page)
    for _ in range(9):
        page.keyboard.press("Tab")
        assert focus_shows(page)
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        if reached[-1] in ("benchmark", "method"):
            page.keyboard.press("ArrowDown")
        if reached[-1] == "picture" or reached[-1] == "keep":
            page.keyboard.press("ArrowRight")
    order = [name for name in reached if name in ("benchmark", "method", "previous", "picture", "next", "keep")]
    assert order == ["benchmark", "method", "previous", "picture", "next", "keep"]
    assert start == ("pope", 0, "adaptprune", KEEPS[1])
    assert state(page) == ("textvqa", 1, "fastv", KEEPS[2])
    assert drawn(page) == kept_cells("fastv", KEEPS[2], 1)


def test_arrow_keys_and_buttons_go_through_all_pictures(page):
    seen = []
    for _ in PICTURES:
        seen.append(state(page)[:2])
        page.keyboard.press("ArrowRight")
    assert seen == PICTURES and state(page)[:2] == PICTURES[0]
    page.keyboard.press("ArrowLeft")
    assert state(page)[:2] == PICTURES[-1]
    page.locator("#next").click()
    page.locator("#next").click()
    page.locator("#previous").click()
    assert state(page)[:2] == PICTURES[0]


def test_the_address_names_what_is_shown(opened, open_page, file):
    opened.page.locator("#benchmark").select_option("textvqa")
    opened.page.locator("#method").select_option("pooled")
    fragment = opened.page.evaluate("location.hash")
    assert state(open_page(file, fragment=fragment).page) == state(opened.page) == ("textvqa", 0, "pooled", KEEPS[1])
    opened.page.evaluate("location.hash = '#textvqa/2/fastv/0.5'")
    opened.page.wait_for_function("document.getElementById('method').value === 'fastv'")
    assert state(opened.page) == ("textvqa", 1, "fastv", 0.5)


@pytest.mark.parametrize("fragment", ["#nothing", "#pope/77/none/3", "#pope", "#%E2%82/1"])
def test_an_address_that_names_nothing_does_no_harm(open_page, file, fragment):
    found = open_page(file, fragment=fragment)
    assert state(found.page) == ("pope", 0, "adaptprune", KEEPS[1]) and found.errors == []


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_is_accessible_and_fits_its_width(open_page, file, width):
    found = open_page(file, width=width)
    for key in QUESTIONS:
        found.page.locator("#benchmark").select_option(key)
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    assert found.errors == [] and violations(found.page) == {}


def test_dark_and_light_differ(open_page, file):
    colours = [
        open_page(file, dark=dark).page.evaluate("getComputedStyle(document.body).backgroundColor") for dark in (0, 1)
    ]
    assert colours[0] != colours[1]


def test_nothing_moves(page):
    """No animation and no transition, so that a wish for less motion is always granted."""
    page.locator("#method").select_option("fastv")
    assert page.evaluate("document.getAnimations().length") == 0
