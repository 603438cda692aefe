"""The page in a real browser: sorted, filtered, opened to the sample, with nothing said by it that was not asked."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.board_pages import HOSTILE, Page, Write, column, data_of, needs_browser, render, visit

from simset_bench.leaderboard.page_data import GROUPS
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.read import read_runs

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install -e '.[dev]')")
pytestmark = pytest.mark.usefixtures("no_complaints")


@pytest.fixture
def page(wide: Page) -> Page:
    """`wide` with all rows, sorted as at first."""
    wide.get_by_role("button", name="Show all").click()
    if not wide.locator("#table th[aria-sort=ascending]", has_text="NLL").count():
        wide.get_by_role("button", name="NLL").click()
    return wide


def ranks(page: Page) -> list[tuple[int, str]]:
    cells = page.locator("#table td.rank")
    shown = zip(cells.locator("b").all_inner_texts(), cells.locator("small").all_inner_texts(), strict=True)
    return [(int(rank.removeprefix("=")), interval) for rank, interval in shown]


@needs_browser
def test_rows_are_sorted_by_mouse_and_by_keyboard(page: Page) -> None:
    nll = [float(text) for text in column(page, "NLL")]
    assert len(nll) == 12 and nll == sorted(nll)
    page.get_by_role("button", name="NLL").click()
    assert [float(text) for text in column(page, "NLL")] == sorted(nll, reverse=True)
    assert page.locator("#table th[aria-sort=descending]").inner_text().startswith("NLL")
    page.get_by_role("button", name="alpha", exact=True).focus()
    page.keyboard.press("Enter")
    assert column(page, "alpha") == ["0"] * 3 + ["1"] * 5 + ["5"] * 3 + ["–"]
    # The heading keeps the focus, so that a second press turns the order.
    page.keyboard.press("Enter")
    assert column(page, "alpha")[0] == "5"


@needs_browser
def test_filters_leave_rows_and_redraw_every_plot(page: Page) -> None:
    assert page.locator("#plot-tradeoff .foot p").inner_text().startswith("n = 8 rows"), (
        "of none and of a LoRA there is no specificity"
    )
    page.locator("#filters").get_by_label("simset2").check()
    page.locator("#filters").get_by_role("group", name="alpha").get_by_label("5").check()
    assert page.locator("#left").inner_text() == "1 of 12 rows: allocation simset2, alpha 5"
    assert column(page, "allocation") == ["simset2"] and column(page, "alpha") == ["5"]
    page.wait_for_function("document.querySelector('#plot-tradeoff .foot p').textContent.startsWith('n = 1 rows')")
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#left").inner_text() == "all 12 rows"


@needs_browser
def test_ranks_are_those_among_the_rows_that_filters_leave(page: Page, page_root: Path) -> None:
    table = read_runs([page_root / "outputs"])

    def due(where: str | None = None) -> list[tuple[int, str]]:
        stands = [row.standings["docmem/nll"] for row in make_leaderboard(table, where).rows]
        return [(each.rank, f"{each.lowest}–{each.highest}") for each in stands]

    everyone = ranks(page)
    assert page.locator("#table thead tr.heads th").first.inner_text() == "run rank", "each row is one run"
    assert "ranks order these runs and say nothing about their settings" in page.locator("#ranked").inner_text()
    assert everyone == due() and "among all 12 rows" in page.locator("#ranked").inner_text()
    chips = page.locator("#filters")
    for name in ("none", "simset2"):
        chips.get_by_role("group", name="allocation").get_by_label(name, exact=True).check()
    found = ranks(page)
    assert found == due("allocation in ['none', 'simset2']")
    names = column(page, "allocation")
    before = [rank for rank, row in zip(everyone, make_leaderboard(table).rows, strict=True) if row.kind in names]
    assert found != before, "this part of the table is ranked otherwise alone"
    assert "among the 8 rows that the filters leave" in page.locator("#ranked").inner_text()


@needs_browser
def test_rows_of_another_method_are_called_by_it(page: Page) -> None:
    assert sorted(set(column(page, "allocation or method"))) == ["lora", "none", "random", "simset2"]
    page.locator("#filters").get_by_label("lora").check()
    assert [column(page, name) for name in ("allocation", "layer", "alpha", "attrib.@1")] == [["lora"]] + [["–"]] * 3
    assert "lora" in page.locator("#legend").inner_text()


@needs_browser
def test_answers_after_question_answer_finetuning_have_columns_of_their_own(page: Page) -> None:
    groups = [text.lower() for text in page.locator("#table th.group").all_inner_texts()]
    assert groups == ["memorisation", "recall", "recall after q-a", "location", "damage"]
    assert column(page, "CF F1 ↑") == ["0.094" if text == "0.375" else "0.125" for text in column(page, "CF F1 +QA")]
    page.locator("#groups").get_by_label("recall after Q-A").uncheck()
    assert page.get_by_role("button", name="CF F1 +QA").count() == 0
    page.locator("#groups").get_by_label("recall after Q-A").check()


@needs_browser
def test_a_heat_map_is_of_one_setting_and_says_which(page: Page) -> None:
    heat = page.locator("#plot-heat")
    assert heat.locator(".foot p").inner_text() == "n = 9 cells; docmem/nll (nats a token); layer 22, 4 documents"
    lowest = column(page, "NLL")[0]
    assert lowest in heat.locator("svg").text_content(), "the value is written in its cell"
    heat.get_by_label("setting").select_option("layer 12, 4 documents")
    page.wait_for_function("document.querySelector('#plot-heat .foot p').textContent.startsWith('n = 1 cells')")
    heat.get_by_label("setting").select_option("the one with most cells")


@needs_browser
def test_lines_join_rows_that_differ_in_their_place_alone(page: Page) -> None:
    for name, left_out in (("depth", "layer"), ("documents", "number of documents")):
        said = page.locator(f"#plot-{name} .foot p").inner_text()
        assert said.startswith("n = 2 rows") and f"no like at another {left_out} are left out" in said


@needs_browser
def test_every_plot_is_drawn_with_n_and_comes_down_as_svg_and_csv(page: Page) -> None:
    for name in ("heat", "tradeoff", "depth", "documents", "overlap", "curves"):
        part = page.locator(f"#plot-{name}")
        assert part.locator("svg").count() == 1, name
        assert re.match(r"n = \d+", part.locator(".foot p").inner_text())
        svg = downloaded(page, part.get_by_role("button", name="SVG"))
        title = part.locator("h3").inner_text()
        assert svg.startswith("<svg") and title in svg
        lines = downloaded(page, part.get_by_role("button", name="CSV")).splitlines()
        assert len(lines) > 1 and "," in lines[0]


@needs_browser
def test_what_is_left_of_a_first_stage_is_drawn_where_runs_were_continued(
    opened: Callable[..., Page],
    page: Page,
    write_chain: Callable[..., list[Path]],
    tmp_path: Path,
) -> None:
    assert page.locator("#plot-retention").count() == 0
    write_chain([0.5, 1.5, 2.5])
    part = opened(render(tmp_path / "outputs", tmp_path / "page.html")).locator("#plot-retention")
    part.locator("svg").wait_for()
    assert part.locator(".foot p").inner_text().startswith("n = 3 points; scores on the documents of the first stage")
    lines = downloaded(part.page, part.get_by_role("button", name="CSV")).splitlines()
    assert [line.split(",")[1:3] for line in lines] == [["later", "value"], ["0", "0.5"], ["4", "1.5"], ["8", "2.5"]]


@needs_browser
def test_a_row_opens_to_its_samples_and_its_address_does_too(page: Page, page_file: Path) -> None:
    page.locator("#table tbody a.open", has_text="none").first.click()
    dialog = page.get_by_role("dialog")
    assert "none alpha 0, layer 22, 4 documents" in dialog.locator("h2").inner_text()
    assert "inductive form" in dialog.inner_text() and "d0#0" in dialog.inner_text()
    dialog.locator(".view svg").wait_for()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    visit(page, f"{page_file.as_uri()}#row-0")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")


def downloaded(page: Page, button: "playwright.Locator") -> str:
    """What a button's click saves. Of three hundred saves Chromium tells Playwright nothing about one or two."""
    for seconds in (5, 20, 60, 120):
        try:
            with page.expect_download(timeout=1000 * seconds) as download:
                button.click()
            return Path(download.value.path()).read_text()
        except playwright.TimeoutError:
            continue
    raise AssertionError(f"no download of {button}")


@needs_browser
def test_hostile_texts_are_shown_and_do_nothing(hostile: Page) -> None:
    page = hostile
    page.get_by_label("every measure").check()
    assert page.locator("#table tbody a.open").first.inner_text() in HOSTILE
    assert page.locator("#table tbody tr").count() == len(HOSTILE)
    for number in range(len(HOSTILE)):
        page.evaluate(f"location.hash = 'row-{number}'")
        assert page.get_by_role("dialog").is_visible()
    assert page.title() == "simset-bench leaderboard"
    assert page.evaluate("document.querySelectorAll('img, iframe, object, script:not([type])').length") == 2
    page.evaluate("document.getElementById('detail').close()")
    saved = downloaded(page, page.get_by_role("button", name="Download Recall against erasability as CSV"))
    assert "'=HYPERLINK" in saved


@needs_browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page_is_accessible_and_never_wider_than_its_window(
    opened: Callable, page_file: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = opened(page_file, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.locator("#table tbody a.open").first.click()
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@needs_browser
def test_print_shows_the_whole_table_dark_on_white_without_controls(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 1047, "height": 740})
    assert not page.locator("#filters").is_visible() and not page.get_by_role("button", name="Show all").is_visible()
    assert page.locator("#table tbody tr").last.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).maxHeight") == "none"
    assert page.evaluate("document.querySelector('#table').getBoundingClientRect().right") <= 1047
    page.locator("#plot-heat svg").wait_for()
    for shown in ("#table td .value", "#plot-heat .role-axis-title text"):
        style = page.locator(shown).first.evaluate(
            "node => [getComputedStyle(node).color, getComputedStyle(node).fill]"
        )
        assert "rgb(0, 0, 0)" in style
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_page_says_what_was_left_out_and_holds_what_it_was_given(page_file: Path) -> None:
    data = data_of(page_file)
    assert len(data["rows"]) == 12 and len(data["runs"]) == 12
    assert [left["path"].endswith("broken/config.yaml") for left in data["left_out"]] == [True]
    assert {measure["group"] for measure in data["measures"]} == set(GROUPS)
    text = page_file.read_text()
    assert "src=" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S), "nothing is fetched"


def test_a_page_too_large_holds_fewer_samples_and_says_so(
    write_run: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator_values = [[(number * 7919 % 1000) / 997 + place / 7 for number in range(300)] for place in range(8)]
    for place, values in enumerate(generator_values):
        write_run({"docmem": {"nll": values}}, alpha=float(place))
    whole = render(tmp_path / "outputs", tmp_path / "whole.html")
    most = len(whole.read_bytes()) - 5_000
    cut = render(tmp_path / "outputs", tmp_path / "cut.html", most_bytes=most)
    assert len(cut.read_bytes()) < most
    task = data_of(cut)["runs"][0]["tasks"][0]
    assert 0 < len(task["samples"]) < task["of"] == 300
    assert "the page holds at most 64 samples of each task of a run" in capsys.readouterr().err
