"""The page in a real browser: sorted, filtered, opened to the sample, with nothing said by it that was not asked."""

import base64
import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from simset_bench.leaderboard.page import render_page
from simset_bench.leaderboard.page_data import page_data
from simset_bench.leaderboard.render import PREFERRED
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.read import read_runs

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install -e '.[dev]')")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium")
Write = Callable[..., Path]
HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    '=HYPERLINK("http://x")',
    "javascript:document.title='owned'",
    "${document.title='owned'}",
    "\u202eabc\u0000 \u2028\ud800",
]


def measures(shift: float) -> dict[str, dict[str, list[float]]]:
    values = [0.2 + shift, 0.3 + shift, 0.35 + shift, 0.5 + shift]
    return {
        "docmem": {"nll": values, "exact_match": [0.0, 1.0, 0.0, 0.0]},
        "location": {"on_share": [0.2, 0.3, 0.4, 0.2], "specificity": values, "attribution_at_1": [1.0, 1.0, 0.0, 1.0]},
        "docqa": {"f1": [0.1, 0.5, 0.2, 0.3]},
        "damage": {"nll_rise": [0.1, 0.2, 0.1, 0.0]},
    }


def dress(folder: Path) -> None:
    """Give a written run what training leaves beside its scores."""
    epochs = [{"epoch": epoch, "cross_entropy": 3.0 / (1 + epoch)} for epoch in range(6)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(epoch)}\n" for epoch in epochs))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"num_blocks": 30}))
    bands = [
        {"jaccard": 0.1, "overlap": 0.12, "pairs": 20, "overlap_due": 0.15},
        {"jaccard": 0.9, "overlap": 0.9, "pairs": 2},
    ]
    (folder / "overlap.json").write_text(json.dumps(bands))


def render(root: Path, to: Path, **options: int) -> Path:
    table = read_runs([root])
    to.write_text(render_page(page_data(make_leaderboard(table, ranked=PREFERRED), table), **options))
    return to


def data_of(page: Path) -> dict:
    packed = re.search(r'id="data">([^<]*)<', page.read_text())
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed.group(1))))


@pytest.fixture
def page_file(write_run: Write, tmp_path: Path) -> Path:
    """A page of nine rows: three allocations by three alphas, on two numbers of documents and two layers."""
    for place, allocation in enumerate(("none", "random", "simset2")):
        for alpha in (0.0, 1.0, 5.0):
            options = {"allocation": allocation, "alpha": alpha, "num_docs": 4 if alpha else 50}
            dress(write_run(measures(place + alpha), **options, layer=22 if alpha < 5 else 12))
    (tmp_path / "outputs" / "broken").mkdir()
    (tmp_path / "outputs" / "broken" / "manifest.json").write_text("{")
    return render(tmp_path / "outputs", tmp_path / "page.html")


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: "playwright.Browser") -> Iterator[Callable[..., "playwright.Page"]]:
    """Open a page file without a network; at the end nothing may have been complained of, and nothing asked for."""
    said: list[str] = []
    contexts = []

    def open_page(file: Path, **options: object) -> "playwright.Page":
        context = browser.new_context(offline=True, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.goto(file.as_uri() if isinstance(file, Path) else file)
        page.wait_for_function("document.body.dataset.ready === 'yes'", timeout=120_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def column(page: "playwright.Page", name: str) -> list[str]:
    heads = [text.strip() for text in page.locator("#table thead tr.heads th").all_inner_texts()]
    place = next(number for number, text in enumerate(heads) if text.startswith(name))
    return [
        cell.split("\n")[0] for cell in page.locator(f"#table tbody tr > :nth-child({place + 1})").all_inner_texts()
    ]


@needs_browser
def test_rows_are_sorted_by_mouse_and_by_keyboard(opened: Callable, page_file: Path) -> None:
    page = opened(page_file)
    nll = [float(text) for text in column(page, "NLL")]
    assert len(nll) == 9 and nll == sorted(nll)
    page.get_by_role("button", name="NLL").click()
    assert [float(text) for text in column(page, "NLL")] == sorted(nll, reverse=True)
    assert page.locator("#table th[aria-sort=descending]").inner_text().startswith("NLL")
    page.get_by_role("button", name="alpha", exact=True).focus()
    page.keyboard.press("Enter")
    assert [float(text) for text in column(page, "alpha")] == sorted([0.0, 1.0, 5.0] * 3)
    # The heading keeps the focus, so that a second press turns the order.
    page.keyboard.press("Enter")
    assert column(page, "alpha")[0] == "5"


@needs_browser
def test_filters_leave_rows_and_redraw_every_plot(opened: Callable, page_file: Path) -> None:
    page = opened(page_file)
    assert page.locator("#plot-tradeoff .foot p").inner_text().startswith("n = 9 rows")
    page.locator("#filters").get_by_label("simset2").check()
    page.locator("#filters").get_by_role("group", name="alpha").get_by_label("5").check()
    assert page.locator("#left").inner_text() == "1 of 9 rows"
    assert column(page, "allocation") == ["simset2"] and column(page, "alpha") == ["5"]
    page.wait_for_function("document.querySelector('#plot-tradeoff .foot p').textContent.startsWith('n = 1 rows')")
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#left").inner_text() == "all 9 rows"


@needs_browser
def test_every_plot_is_drawn_with_n_and_comes_down_as_svg_and_csv(opened: Callable, page_file: Path) -> None:
    page = opened(page_file)
    for name in ("heat", "tradeoff", "depth", "documents", "overlap", "curves"):
        part = page.locator(f"#plot-{name}")
        assert part.locator("svg").count() == 1, name
        assert re.match(r"n = \d+", part.locator(".foot p").inner_text())
        with page.expect_download() as download:
            part.get_by_role("button", name="SVG").click()
        svg = Path(download.value.path()).read_text()
        title = part.locator("h3").inner_text()
        assert svg.startswith("<svg") and title in svg
        with page.expect_download() as download:
            part.get_by_role("button", name="CSV").click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert len(lines) > 1 and "," in lines[0]
    heat = page.locator("#plot-heat svg").text_content()
    assert "0.338" in heat, "the value is written in its cell"


@needs_browser
def test_a_row_opens_to_its_samples_and_its_address_does_too(opened: Callable, page_file: Path) -> None:
    page = opened(page_file)
    page.locator("#table tbody a.open").first.click()
    dialog = page.get_by_role("dialog")
    assert "none alpha 0" in dialog.locator("h2").inner_text()
    assert "inductive form" in dialog.inner_text() and "d0#0" in dialog.inner_text()
    assert dialog.locator(".view svg").count() == 1
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    again = opened(f"{page_file.as_uri()}#row-0")
    assert again.get_by_role("dialog").is_visible()


@needs_browser
def test_hostile_texts_are_shown_and_do_nothing(opened: Callable, write_run: Write, tmp_path: Path) -> None:
    for number, text in enumerate(HOSTILE):
        name = text.replace("\u0000", "").replace("\ud800", "")
        folder = write_run(measures(number) | {"x": {name: [1.0, 2.0]}}, allocation=name, alpha=float(number % 3))
        config = yaml.safe_load((folder / "config.yaml").read_text()) | {"corpus": name}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        path = folder / "eval" / "docmem.free.samples.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        dressed = {"sample": text, "responses": [text], "arguments": [[text, text]]}
        lines = [json.dumps(record | dressed) for record in records]
        path.write_text("".join(f"{line}\n" for line in lines))
    page = opened(render(tmp_path / "outputs", tmp_path / "page.html"))
    page.get_by_label("every measure").check()
    assert page.locator("#table tbody a.open").first.inner_text() in HOSTILE
    for number in range(len(HOSTILE)):
        page.goto(f"{(tmp_path / 'page.html').as_uri()}#row-{number}")
        page.wait_for_function("document.body.dataset.ready === 'yes'")
        assert page.get_by_role("dialog").is_visible()
    assert page.title() == "simset-bench leaderboard"
    assert page.evaluate("document.querySelectorAll('img, iframe, object, script:not([type])').length") == 2
    with page.expect_download() as download:
        page.evaluate("document.getElementById('detail').close()")
        page.get_by_role("button", name="Download Alpha by allocation as CSV").click()
    assert "'=HYPERLINK" in Path(download.value.path()).read_text()


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
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
def test_print_shows_the_whole_table_without_controls(opened: Callable, page_file: Path) -> None:
    page = opened(page_file)
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible() and not page.get_by_role("button", name="Show all").is_visible()
    assert page.locator("#table tbody tr").last.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).maxHeight") == "none"


def test_a_page_says_what_was_left_out_and_holds_what_it_was_given(page_file: Path) -> None:
    data = data_of(page_file)
    assert len(data["rows"]) == 9 and len(data["runs"]) == 9
    assert [left["path"].endswith("broken/config.yaml") for left in data["left_out"]] == [True]
    assert {measure["group"] for measure in data["measures"]} == {"memorisation", "recall", "location", "damage"}
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
