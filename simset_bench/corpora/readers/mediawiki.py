"""`mediawiki:FILE`: the articles of a MediaWiki XML dump, streamed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from simset_bench.console import note_once
from simset_bench.corpora.bad_records import BadRecord, Record
from simset_bench.corpora.documents import Article
from simset_bench.corpora.files.lines import LARGEST_RECORD
from simset_bench.corpora.files.paths import DAMAGE, damaged, open_bytes
from simset_bench.corpora.readers.mediawiki_markup import strip_markup
from simset_bench.corpora.readers.mediawiki_site import KNOWN_NAMES, Site, site_of
from simset_bench.errors import RequestError

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Page:
    """One article of a dump, with its markup, and its wiki; the title is unique in a dump."""

    title: str
    wikitext: str
    origin: str
    site: Site = KNOWN_NAMES


def mediawiki_records(location: str) -> Iterator[Record]:
    """Articles of a dump (`.xml`, `.xml.bz2`, `.xml.gz`, `.xml.zst`), markup stripped, the title as id.

    Redirects, pages outside the namespace of articles and pages of data or programs are left out, and counted in a note
    at the end. A page without text is a malformed record. Raises RequestError where the XML or its compression is
    damaged, or a page too large.
    """
    for page in mediawiki_pages(location):
        yield page if isinstance(page, BadRecord) else page_article(page)


def page_article(page: Page) -> Record:
    """A page without its markup, or a malformed record where nothing is left or the markup is nested too deep."""
    try:
        paragraphs = strip_markup(page.wikitext, page.site)
    except RecursionError:
        return BadRecord(page.origin, "markup that is nested too deep", page.wikitext[:2000])
    if not paragraphs:
        return BadRecord(page.origin, "no text besides markup", page.wikitext[:2000])
    return Article(page.title, page.title, paragraphs, None, page.origin)


def mediawiki_pages(location: str) -> Iterator[Page | BadRecord]:
    """The articles of a dump with their markup; leaves out and raises as `mediawiki_records` does."""
    path = Path(location)
    left_out: Counter[str] = Counter()
    pages, site = 0, KNOWN_NAMES
    try:
        with open_bytes(path) as stream:
            for element in _elements(stream, path):
                if _local(element.tag) == "siteinfo":
                    site = site_of(element)
                    continue
                pages += 1
                page = _page(element, f"{path}, page {pages}", site)
                if isinstance(page, str):
                    left_out[page] += 1
                else:
                    yield page
    except ElementTree.ParseError as error:
        raise RequestError(f"{path}: not MediaWiki XML after page {pages} ({error})") from error
    except DAMAGE as error:
        raise damaged(path, f"page {pages}", error) from error
    if not pages:
        raise RequestError(f"{path}: no <page> in this file, which a MediaWiki dump has")
    if left_out:
        note_once(f"{path}: left out " + ", ".join(f"{count} {what}" for what, count in sorted(left_out.items())))


def _elements(stream: BinaryIO, path: Path) -> Iterator[ElementTree.Element]:
    """The `siteinfo` and the pages of a dump in their order, each page with its last revision only."""
    parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(("start", "end"))
    parents: list[ElementTree.Element] = []
    pages = pending = 0
    while block := stream.read(_BLOCK):
        pending += len(block)
        if pending > LARGEST_RECORD:
            raise RequestError(f"{path}: after page {pages}: a revision of more than {LARGEST_RECORD >> 20} MiB")
        _feed(parser, block, path)
        events: Any = parser.read_events()
        for event, element in events:
            kind = _local(element.tag)
            if event == "start":
                parents.append(element)
                continue
            parents.pop()
            if kind in ("siteinfo", "page"):
                pages, pending = pages + (kind == "page"), 0
                yield element
                # Otherwise all pages already read would stay in memory below the root.
                (parents or [element])[0].clear()
            elif kind == "revision" and parents:
                pending = 0
                _drop_revisions_before(element, parents[-1])
    # Raises where the root element is not closed.
    parser.close()


def _drop_revisions_before(revision: ElementTree.Element, page: ElementTree.Element) -> None:
    for earlier in list(page):
        # Later ones may be there too: a block is parsed before its events are read.
        if earlier is revision:
            return
        if earlier.tag == revision.tag:
            page.remove(earlier)


def _feed(parser: "ElementTree.XMLPullParser[Any]", block: bytes, path: Path) -> None:
    try:
        parser.feed(block)
    except (LookupError, ValueError) as error:
        raise RequestError(f"{path}: declares an encoding that XML readers do not know ({error})") from error


def _page(page: ElementTree.Element, origin: str, site: Site) -> Page | BadRecord | str:
    """The page, a malformed record, or the name of a kind of page that is left out."""
    fields = {_local(element.tag): element for element in page}
    texts = [element.text for element in page.iter() if _local(element.tag) == "text"]
    namespace = fields["ns"].text if "ns" in fields else "0"
    if namespace != "0":
        return "pages of other namespaces"
    models = [element.text for element in page.iter() if _local(element.tag) == "model"]
    if models and models[-1] != "wikitext":
        return "pages that hold no wikitext"
    if "redirect" in fields or _is_redirect(texts[-1] if texts else None, site):
        return "redirects"
    title = (fields["title"].text or "").strip() if "title" in fields else ""
    if not title:
        return BadRecord(origin, "a page without a title")
    if not texts or not (texts[-1] or "").strip():
        return BadRecord(origin, f"page {title!r} has no text", title)
    return Page(title, texts[-1] or "", origin, site)


def _is_redirect(wikitext: str | None, site: Site) -> bool:
    """Whether a page sends its reader to another: by a known word, or by any other and with no prose after the link."""
    redirect = site.redirect_of(wikitext or "")
    if redirect is None or redirect.is_known_word:
        return redirect is not None
    try:
        return not strip_markup(redirect.rest, site)
    except RecursionError:
        return False


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
