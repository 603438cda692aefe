"""`mediawiki:FILE`: the articles of a MediaWiki XML dump, streamed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from simset_bench.console import note
from simset_bench.corpora.bad_records import BadRecord, Record
from simset_bench.corpora.documents import Article
from simset_bench.corpora.files.paths import open_bytes
from simset_bench.corpora.readers.mediawiki_markup import strip_markup
from simset_bench.errors import RequestError


@dataclass(frozen=True)
class Page:
    """One article of a dump, with its markup; the title is unique in a dump."""

    title: str
    wikitext: str
    origin: str


def mediawiki_records(location: str) -> Iterator[Record]:
    """Articles of a dump (`.xml`, `.xml.bz2`, `.xml.gz`, `.xml.zst`), markup stripped, the title as id.

    Redirects and pages outside the namespace of articles are left out, and counted in a note at the end. A page without
    text is a malformed record. Raises RequestError where the XML or its compression is damaged.
    """
    for page in mediawiki_pages(location):
        yield page if isinstance(page, BadRecord) else page_article(page)


def page_article(page: Page) -> Record:
    """A page without its markup, or a malformed record where nothing is left."""
    paragraphs = strip_markup(page.wikitext)
    if not paragraphs:
        return BadRecord(page.origin, "no text besides markup", page.wikitext[:2000])
    return Article(page.title, page.title, paragraphs, None, page.origin)


def mediawiki_pages(location: str) -> Iterator[Page | BadRecord]:
    """The articles of a dump with their markup; leaves out and raises as `mediawiki_records` does."""
    path = Path(location)
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file")
    left_out: Counter[str] = Counter()
    pages = 0
    try:
        with open_bytes(path) as stream:
            for element in _page_elements(stream):
                pages += 1
                page = _page(element, f"{path}, page {pages}")
                if isinstance(page, str):
                    left_out[page] += 1
                else:
                    yield page
    except ElementTree.ParseError as error:
        raise RequestError(f"{path}: not MediaWiki XML after page {pages} ({error})") from error
    except (OSError, EOFError) as error:
        raise RequestError(f"{path}: damaged after page {pages} ({' '.join(str(error).split())})") from error
    if not pages:
        raise RequestError(f"{path}: no <page> in this file, which a MediaWiki dump has")
    if left_out:
        note(f"{path}: left out " + ", ".join(f"{count} {what}" for what, count in sorted(left_out.items())))


def _page_elements(stream: object) -> Iterator[ElementTree.Element]:
    events = ElementTree.iterparse(stream, events=("start", "end"))  # type: ignore[call-overload]
    _, root = next(events)
    for event, element in events:
        if event == "end" and _local(element.tag) == "page":
            yield element
            # Otherwise all pages already read would stay in memory below the root.
            root.clear()


def _page(page: ElementTree.Element, origin: str) -> Page | BadRecord | str:
    """The page, a malformed record, or the name of a kind of page that is left out."""
    fields = {_local(element.tag): element for element in page}
    namespace = fields["ns"].text if "ns" in fields else "0"
    if namespace != "0":
        return "pages of other namespaces"
    if "redirect" in fields:
        return "redirects"
    title = (fields["title"].text or "").strip() if "title" in fields else ""
    if not title:
        return BadRecord(origin, "a page without a title")
    texts = [element.text for element in page.iter() if _local(element.tag) == "text"]
    if not texts or not (texts[-1] or "").strip():
        return BadRecord(origin, f"page {title!r} has no text", title)
    return Page(title, texts[-1] or "", origin)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
