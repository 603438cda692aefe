"""The page's address holds what is shown, and brings it back; what a board does not have is left out."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from fixtures.board_pages import HOSTILE, Page, column, needs_browser, visit

pytestmark = [pytest.mark.usefixtures("no_complaints"), needs_browser]


@pytest.fixture
def page(wide: Page, page_file: Path) -> Page:
    """The page as it opens."""
    visit(wide, page_file.as_uri())
    return wide


def asked(page: Page) -> dict[str, list[str]]:
    """What the address says, by key."""
    return parse_qs(page.url.partition("#")[2], keep_blank_values=True, strict_parsing=bool(page.url.count("#")))


def shown(page: Page) -> list[str]:
    """All that the table says, its heads too."""
    return page.locator("#table th, #table td").all_inner_texts()


def test_an_address_brings_back_filters_order_columns_and_groups(page: Page, page_file: Path) -> None:
    assert "#" not in page.url, "the page as it opens needs no more than its file"
    page.locator("#filters").get_by_role("group", name="allocation").get_by_label("simset2").check()
    page.locator("#filters").get_by_role("group", name="allocation").get_by_label("none", exact=True).check()
    page.get_by_role("button", name="verbatim").click()
    page.get_by_role("button", name="alpha", exact=True).click()
    page.get_by_role("button", name="alpha", exact=True).click()
    page.locator("#groups").get_by_label("damage").uncheck()
    page.get_by_role("button", name="choose…").click()
    page.get_by_role("dialog").get_by_label("model", exact=True).check()
    page.get_by_role("dialog").get_by_label("location/on_share").uncheck()
    page.keyboard.press("Escape")
    assert asked(page) == {
        "only.allocation": ["simset2", "none"],
        "sort": ["alpha"],
        "order": ["down"],
        "rank": ["docmem/exact_match"],
        "group": ["memorisation", "recall", "recall after Q-A", "location"],
        "show": ["model"],
        "hide": ["location/on_share"],
    }
    before = shown(page)
    assert len(column(page, "alpha")) == 8 and column(page, "model") == ["m"] * 8
    visit(page, page.url)
    assert shown(page) == before
    assert page.locator("#filters").get_by_label("simset2").is_checked()
    assert not page.locator("#groups").get_by_label("damage").is_checked()
    assert "Ranked on docmem/exact_match" in page.locator("#ranked").inner_text()
    page.get_by_role("button", name="choose…").click()
    page.get_by_role("button", name="Columns as at first").click()
    page.keyboard.press("Escape")
    assert asked(page).keys() == {"only.allocation", "sort", "order", "rank"}
    assert page.locator("#table th.group").count() == 5


def test_back_and_forward_go_from_step_to_step(page: Page) -> None:
    chips = page.locator("#filters").get_by_role("group", name="alpha")
    chips.get_by_label("5").check()
    page.get_by_role("button", name="NLL").click()
    assert column(page, "alpha") == ["5"] * 3
    page.locator("#table tbody a.open").first.click()
    name = page.get_by_role("dialog").locator("h2").inner_text()
    assert asked(page)["row"] == [name]
    page.go_back()
    assert not page.get_by_role("dialog").is_visible() and asked(page).keys() == {"only.alpha", "sort", "order"}
    page.go_back()
    page.wait_for_function("document.querySelector('#table th[aria-sort=ascending]')")
    page.go_back()
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length === 12")
    assert not chips.get_by_label("5").is_checked() and "#" not in page.url
    page.go_forward()
    page.go_forward()
    page.go_forward()
    page.get_by_role("dialog").wait_for()
    assert page.get_by_role("dialog").locator("h2").inner_text() == name
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('row=')")


def test_what_a_board_does_not_have_is_left_out_and_named(page: Page, page_file: Path) -> None:
    before = shown(page)
    unknown = [
        ("only.allocation", "simset9"),
        ("only.__proto__", "x"),
        ("sort", "constructor"),
        ("order", "sideways"),
        ("rank", "docmem/none"),
        ("group", "<b>"),
        ("show", HOSTILE[0]),
        ("hide", "__proto__"),
        ("row", HOSTILE[1]),
        ("compare", "none alpha 0, layer 22, 4 documents"),
        ("javascript:document.title='owned'", "1"),
    ]
    visit(page, f"{page_file.as_uri()}#{urlencode(unknown)}&%E0%A4%A&=&&")
    assert shown(page) == before and page.title() == "simset-bench leaderboard"
    assert not page.get_by_role("dialog").is_visible()
    page.locator("#message", has_text="Not on this board, and left out: only.allocation simset9").wait_for()
    assert "<img src=x" in page.locator("#message").inner_text(), "as a text"
    assert page.evaluate("document.querySelectorAll('img, b b').length") == 0
    visit(page, f"{page_file.as_uri()}#only.allocation=simset2&only.allocation=simset9&sort=alpha")
    assert column(page, "allocation") == ["simset2"] * 5, "what is known of an address counts"


def test_hostile_names_come_back_through_the_address(hostile: Page) -> None:
    for number in (1, 7):
        hostile.locator("#table tbody a.open").nth(number).click()
        name = hostile.get_by_role("dialog").locator("h2").inner_text()
        visit(hostile, hostile.url)
        assert hostile.get_by_role("dialog").locator("h2").inner_text() == name
        assert hostile.locator("#table tbody tr").count() == len(HOSTILE), "a name is no filter"
        hostile.keyboard.press("Escape")
        hostile.wait_for_function("!location.hash.includes('row=')")
    chip = hostile.locator("#filters").get_by_role("group", name="allocation").get_by_label(HOSTILE[7], exact=True)
    chip.check()
    visit(hostile, hostile.url)
    assert chip.is_checked() and hostile.locator("#table tbody tr").count() == 1
    assert hostile.title() == "simset-bench leaderboard"
    hostile.get_by_role("button", name="Show all").click()


def test_the_link_to_what_is_shown_is_copied_and_stays_when_skipping_to_the_table(page: Page) -> None:
    page.get_by_role("button", name="NLL").click()
    page.get_by_role("button", name="Copy link").click()
    page.locator("#message", has_text="Copied the link to what is shown").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    assert "sort=docmem" in page.url
    address = page.url
    page.locator("a.skip").focus()
    page.keyboard.press("Enter")
    assert page.url == address and page.evaluate("document.activeElement.id") == "board"


def test_columns_that_say_the_same_in_every_row_can_be_chosen(hostile: Page) -> None:
    heads = hostile.locator("#table thead tr.heads").inner_text()
    assert "doccloze/exact_match" in heads and "cloze ↑" not in heads
    assert "seeds 2" in hostile.locator("#table caption").inner_text()
    hostile.get_by_role("button", name="choose…").click()
    box = hostile.get_by_role("dialog").get_by_label("doccloze/truth_preference")
    assert "the same in every row" in box.locator("..").inner_text()
    box.check()
    hostile.get_by_role("dialog").get_by_label("seeds").check()
    hostile.keyboard.press("Escape")
    assert column(hostile, "cloze ↑") == ["1.000"] * len(HOSTILE) and column(hostile, "seeds") == ["2"] * len(HOSTILE)
    hostile.go_back()
    hostile.go_back()
    hostile.wait_for_function("!location.hash.includes('show=')")
