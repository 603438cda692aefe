"""What the page copies, read back as Markdown and LaTeX; two rows side by side; keys; dialogs; ten thousand rows."""

import html
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.board_pages import HOSTILE, Page, board_below, column, needs_browser, render, visit

from simset_bench.leaderboard.columns import number_text
from simset_bench.leaderboard.page import render_page
from simset_bench.leaderboard.render import column_heading, markdown
from simset_bench.results.compare_runs import compare_runs

pytestmark = [pytest.mark.usefixtures("no_complaints"), needs_browser]


@pytest.fixture
def page(wide: Page, page_file: Path) -> Page:
    """The page as it opens."""
    visit(wide, page_file.as_uri())
    return wide


def copied(page: Page, name: str) -> str:
    """What a button puts on the clipboard, once the page has said that it did."""
    page.evaluate("document.getElementById('message').textContent = ''")
    page.get_by_role("button", name=name).click()
    page.locator("#message", has_text="Copied").wait_for()
    return str(page.evaluate("navigator.clipboard.readText()"))


def markdown_cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table as a reader of it sees them; the rule below the head is left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.findall(r"((?:\\.|[^|\\])*)\|", line[1:]) for line in lines if not re.fullmatch(r"[| -]+", line)]
    return [[html.unescape(re.sub(r"\\([!-/:-@[-`{-~])", r"\1", cell.strip())) for cell in row] for row in cells]


_MARKS = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textbar": "|", "textless": "<"}
_MARKS |= {"textgreater": ">", "textasciigrave": "`", "ldots": "…"}
_SIGNS = {
    "$\\pm$": "±",
    "$\\uparrow$": "↑",
    "$\\downarrow$": "↓",
    "$-$": "−",
    "--": "–",
    "-{}": "-",
    "{[}": "[",
    "{]}": "]",
}
_ESCAPES = [r"\\(?P<name>[a-z]+)\{\}", r"\\(?P<mark>[{}$&#%_])", *map(re.escape, _SIGNS), r"(?P<bad>[\\{}$&#%_~^|<>`])"]
_TOKEN = re.compile("|".join(_ESCAPES))


def latex_cells(text: str) -> list[list[str]]:
    """The cells of a booktabs tabular as LaTeX would set them; any mark that LaTeX would take otherwise is an error."""
    body = text.split("\\toprule\n")[1].split("\\bottomrule")[0].replace("\\midrule\n", "")

    def read(cell: str) -> str:
        def shown(found: re.Match[str]) -> str:
            assert found["bad"] is None, f"{found[0]} in {cell}"
            return _MARKS[found["name"]] if found["name"] else found["mark"] or _SIGNS[found[0]]

        return _TOKEN.sub(shown, cell)

    lines = [line.removesuffix(" \\\\") for line in body.splitlines()]
    assert all(line.endswith(" \\\\") for line in body.splitlines())
    return [[read(cell) for cell in line.split(" & ")] for line in lines]


def test_a_copied_table_is_the_one_that_python_writes(hostile: Page, hostile_root: Path, hostile_file: Path) -> None:
    """Headings and cells alike, to the escapes; the order of the columns is the page's own."""
    board = board_below(hostile_root / "outputs")
    shown = "&".join(f"show={name}" for name in (*board.columns, "x/m0", "x/m1", "x/m2", "seeds"))
    visit(hostile, f"{hostile_file.as_uri()}#{shown}")
    whole = copied(hostile, "Copy as Markdown")
    tables = [[line for line in text.splitlines() if line[:1] == "|"] for text in (whole, markdown(board))]
    mine, due = ([line[2:-2].split(" | ") for line in lines] for lines in tables)
    assert len(mine) == len(due) == 2 + len(HOSTILE)
    places = {name: place for place, name in enumerate(mine[0])}
    shared = [(place, places[name]) for place, name in enumerate(due[0]) if name in places]
    assert {"rank", "range", "allocation", "alpha", "corpus", "seeds", "NLL ↓"} <= {
        due[0][place] for place, _ in shared
    }
    assert column_heading(board, "allocation") == "allocation"
    for line, theirs in zip(mine, due, strict=True):
        assert [line[own] for _, own in shared] == [theirs[place] for place, _ in shared]
    assert "- values are means over seeds; ± is one standard error" in whole
    cells = markdown_cells(whole)
    for name in ("x/m0", "x/m1", "x/m2"):
        texts = [row[cells[0].index(name)].split(" ")[0] for row in cells[1:]]
        assert texts == [number_text(row.scores[name].value) for row in board.rows]
        assert {"0.062", "0.188", "1.2e-4", "1.2e5", "10.000"} & set(texts), "halves are rounded alike"


def test_markdown_and_latex_say_the_same_of_nasty_names(hostile: Page, hostile_file: Path) -> None:
    visit(hostile, f"{hostile_file.as_uri()}#sort=alpha&order=down")
    rows = markdown_cells(copied(hostile, "Copy as Markdown"))
    text = copied(hostile, "Copy as LaTeX")
    assert latex_cells(text) == rows
    assert {len(row) for row in rows} == {len(rows[0])} and len(rows) == 1 + len(HOSTILE)
    names = [re.sub("[\u0000\ud800]", "", name) for name in HOSTILE]
    safe = {re.sub("[\u202e\u2028]", "\ufffd", name) for name in names}
    assert {row[rows[0].index("allocation")] for row in rows[1:]} == safe
    assert [float(row[rows[0].index("alpha")]) for row in rows[1:]] == [2.0] * 3 + [0.3] * 3 + [1e-05] * 3
    assert "booktabs" in text and text.count("{") == text.count("}")
    assert re.search(r"\\begin\{tabular\}\{rrl", text), "numbers are set to the right, names to the left"


def test_what_is_copied_is_what_is_shown(page: Page, page_file: Path) -> None:
    visit(
        page,
        f"{page_file.as_uri()}#only.allocation=simset2&sort=alpha&order=down&group=memorisation&show=layer&hide=documents",
    )
    cells = markdown_cells(copied(page, "Copy as Markdown"))
    assert cells[0] == ["run rank", "range", "allocation or method", "layer", "alpha", "NLL ↓", "verbatim ↑"]
    assert [row[4] for row in cells[1:]] == column(page, "alpha") == ["5", "1", "1", "1", "0"]
    assert all(re.fullmatch(r"\d\.\d{3} ±\d\.\d{3}", cell) for row in cells[1:] for cell in row[5:])
    assert page.locator("#message").get_attribute("role") == "status"


def test_a_refused_clipboard_leaves_the_text_marked_in_a_dialog(page: Page) -> None:
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    assert markdown_cells(copied(page, "Copy as Markdown"))[0][0] == "run rank", "the older way to copy does it"
    page.evaluate("() => { document.execCommand = () => false; }")
    page.get_by_role("button", name="Copy as LaTeX").click()
    dialog = page.get_by_role("dialog", name="Copy this text")
    dialog.wait_for()
    marked = page.evaluate("(node => node.value.slice(node.selectionStart, node.selectionEnd))(document.activeElement)")
    assert "\\toprule" in marked and marked == dialog.locator("textarea").input_value()
    dialog.locator("#message", has_text="press Ctrl+C").wait_for()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_two_rows_stand_side_by_side_with_the_command_for_their_difference(
    hostile: Page, hostile_file: Path, hostile_root: Path
) -> None:
    visit(hostile, hostile_file.as_uri())
    hostile.get_by_role("button", name="Compare").click()
    hostile.locator("#message", has_text="Tick the boxes of two rows first").wait_for()
    for number in (4, 0, 1):
        hostile.locator(".pick").nth(number).check()
    assert [hostile.locator(".pick").nth(number).is_checked() for number in (0, 1, 4)] == [True, True, False]
    hostile.get_by_role("button", name="Compare (2 of 2)").click()
    dialog = hostile.get_by_role("dialog")
    board = board_below(hostile_root / "outputs")
    settings = dialog.get_by_role("region", name="settings that differ").locator("tbody tr")
    assert settings.first.locator("td").all_inner_texts()[0] == "allocation"
    assert {row.split("\t")[0] for row in settings.all_inner_texts()} == {"allocation", "alpha", "corpus"}
    figures = dialog.get_by_role("region", name="best known figures").locator("tr", has_text="docmem/nll").locator("td")
    low, high = board.rows[0].intervals["docmem/nll"] or (0, 0)
    value = board.rows[0].scores["docmem/nll"].value
    assert figures.all_inner_texts()[1:3] == [f"{value:.3f}", f"{low:.3f} to {high:.3f}"]
    told = 1 not in board.rows[0].standings["docmem/nll"].tied
    assert figures.last.inner_text() == ("yes" if told else "no")
    lines = [shlex.split(line) for line in dialog.locator("pre").first.inner_text().splitlines()]
    assert [line[:2] for line in lines] == [["simset-bench", "compare"]] * 2, "one for each seed"
    for line, one, other in zip(lines, board.rows[0].folders, board.rows[1].folders, strict=True):
        assert line[2:] == [one, other]
        assert compare_runs(Path(one), Path(other))
    assert "compare=" in hostile.url
    visit(hostile, hostile.url)
    assert hostile.get_by_role("dialog").locator("tbody tr").first.inner_text().startswith("allocation")
    hostile.keyboard.press("Escape")
    hostile.wait_for_function("!location.hash.includes('compare=')")
    assert hostile.title() == "simset-bench leaderboard"


def test_rows_that_differ_in_one_setting_have_a_contrast(
    opened: Callable[..., Page], write_run: Callable, tmp_path: Path
) -> None:

    for allocation in ("none", "random"):
        for seed in (0, 1):
            values = [1.0 + seed / 10, 1.5, 1.25, 2.0, 1.75, 1.6 + 0.1 * (allocation == "none")]
            write_run({"docmem": {"nll": values}}, allocation=allocation, mem_seed=seed)
    page = opened(render(tmp_path / "outputs", tmp_path / "page.html"))
    page.locator(".pick").nth(0).check()
    page.locator(".pick").nth(1).check()
    page.get_by_role("button", name="Compare").click()
    line = shlex.split(page.get_by_role("dialog").locator("pre").last.inner_text())
    assert line[:3] == ["simset-bench", "contrast", str(tmp_path / "outputs")]
    assert line[3:] in (
        ["--between", f"allocation={pair}", "--sort", "docmem/nll"] for pair in ("none,random", "random,none")
    )


def test_everything_is_done_by_keys(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Help and keys")
    dialog.wait_for()
    assert "goes to the next control" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    links = page.locator("#table tbody a.open")
    links.nth(0).focus()
    for key, place in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 11), ("Home", 0)):
        page.keyboard.press(key)
        assert links.nth(place).evaluate("node => node === document.activeElement"), key
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Compare (2 of 2)").focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus can be seen"
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("button", name="Compare (2 of 2)").evaluate("node => node === document.activeElement")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "copy-link", "no trap"
    # Where a letter is typed or chosen, it is no key of the page.
    page.locator("#plots select").first.focus()
    page.keyboard.press("?")
    assert not dialog.is_visible()


def many_rows(count: int) -> dict:
    """A page's data with `count` rows of one measure."""
    measure = {"name": "docmem/nll", "short": "NLL", "better": "lower", "group": "memorisation", "unit": "nats a token"}
    measure |= {"headline": True, "differs": True, "ranks_of": "settings", "chance": None}
    rows = [
        {
            "name": f"row {number}",
            "kind": "random",
            "labels": {"allocation": "random", "layer": number % 7, "lr": number / 1000},
            "scores": {0: [number / 100, number / 100 - 0.1, number / 100 + 0.1, None, 1, 0.05]},
            "ranks": {0: [1 + number, 1 + number, 1 + number]},
            "runs": [number],
        }
        for number in range(count)
    ]
    run = {"config": {}, "blocks": None, "facts": {}, "versions": {}, "hashes": {}, "curve": []}
    runs = [run | {"folder": f"/nowhere/{number}"} for number in range(count)]
    empty = {name: [] for name in ("overlaps", "retention", "sentences", "remarks", "errors", "left_out")}
    columns = {name: name for name in ("allocation", "layer", "lr")}
    data = {"columns": columns, "filters": ["layer"], "level": 0.95, "pairs": {}, "sort": 0, "averaged": "seeds"}
    return (
        data
        | empty
        | {"groups": ["memorisation"], "measures": [measure], "rows": rows, "runs": runs, "more_sentences": 0}
    )


def test_thousands_of_rows_come_a_part_at_a_time(opened: Callable[..., Page], tmp_path: Path) -> None:
    file = tmp_path / "many.html"
    file.write_text(render_page(many_rows(3000)))
    page = opened(file, permissions=["clipboard-read"])
    rows = page.locator("#table tbody tr")
    assert rows.count() < 200 and "all 3000 rows" in page.locator("#left").inner_text()
    page.get_by_role("button", name="Show 60 more").click()
    drawn = rows.count()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "row 60: details and samples"
    page.locator(".scroll").first.evaluate("node => { node.scrollTop = node.scrollHeight; }")
    page.wait_for_function(f"document.querySelectorAll('#table tbody tr').length > {drawn}")
    page.locator("#filters").get_by_label("3", exact=True).check()
    assert "429 of 3000 rows" in page.locator("#left").inner_text() and rows.count() < 200
    assert len(markdown_cells(copied(page, "Copy as Markdown"))) == 1 + 429, "what is copied is whole"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert rows.count() == 429, "and so is what is printed"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dialogs_are_accessible(opened: Callable[..., Page], hostile_file: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = opened(hostile_file, color_scheme=scheme, viewport={"width": 360, "height": 780}, bypass_csp=True)
    page.locator(".pick").nth(0).check()
    page.locator(".pick").nth(1).check()
    page.evaluate("document.getElementById('copy').showModal()")
    page.keyboard.press("Escape")
    dialogs = {"Compare": "Two rows side by side", "choose…": "Columns", "Help and keys": "Help and keys"}
    for name, title in dialogs.items():
        page.get_by_role("button", name=name).click()
        dialog = page.get_by_role("dialog", name=title)
        dialog.wait_for()
        found = axe.Axe().run(page, context=f"#{dialog.get_attribute('id')}")
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        dialog.get_by_role("button", name="Close").click()
