"""Strips MediaWiki's markup, by mwparserfromhell and, for what it leaves, by rules of our own."""

import html
import re
from types import ModuleType
from typing import Any

from simset_bench.corpora.documents import Paragraph
from simset_bench.corpora.readers.mediawiki_prepare import prepared
from simset_bench.corpora.readers.mediawiki_site import KNOWN_NAMES, Site
from simset_bench.corpora.readers.mediawiki_templates import shown_arguments
from simset_bench.errors import missing_extra

# Tags whose contents are not shown, and what a reader sees in their place.
_DROPPED_TAGS = {"table": " ", "includeonly": ""}
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_MAGIC_WORD = re.compile(r"__([^\s_](?:\S{0,60}?[^\s_])?)__")
# Magic words in any case; in other languages they are recognised by their capitals, which `__init__` lacks.
_ENGLISH_MAGIC_WORDS = {"NOTOC", "FORCETOC", "TOC", "NOEDITSECTION", "NOGALLERY", "HIDDENCAT", "NOINDEX", "INDEX"}
# What is left where the braces of a template are not closed: its lines of parameters, or all up to its last bar.
_UNCLOSED_TEMPLATE = re.compile(
    r"\{\{[^{}\n]*(?:\n[ \t]*[|}][^\n]*)+|^[ \t]*\{\{[^{}\n|]*$|\{\{(?:[^{}\n|]*\|)*|\}\}", re.MULTILINE
)
_UNCLOSED_LINK = re.compile(r"\[\[\s*([^\[\]|\n]*)[^\n]*")
_GALLERY_LINE = re.compile(r"^([^\n:|]*:)[^\n|]*\.\w{2,4}[ \t]*(?:\|.*)?$", re.MULTILINE)
_UNCLOSED_TABLE = re.compile(r"^[ \t]*\{\|", re.MULTILINE)
_TABLE_LINE = re.compile(r"^[ \t]*(?:\{?\||!).*$", re.MULTILINE)


def strip_markup(wikitext: str, site: Site = KNOWN_NAMES) -> tuple[Paragraph, ...]:
    """The prose of a page in paragraphs, each with the heading of its section; `site` knows the wiki's own names.

    Templates, tables, references, pictures, categories, links to other languages and comments are left out; of links
    the shown text is kept, of a choice between variants of the language the first. A heading begins the first paragraph
    of its section; a section without prose gives no paragraph.
    """
    source, literals = prepared(wikitext)
    prose = []
    for section in _parser().parse(source).get_sections(flat=True, include_lead=True):
        headings = section.filter_headings()
        heading = " ".join(_restored(_shown(headings[0].title, site), literals).split()) if headings else ""
        if headings:
            headings[0].title = ""
        text = _restored(_shown(section, site), literals)
        blocks = [part for part in (_clean(block) for block in _BLANK_LINES.split(text)) if part]
        if heading and blocks:
            blocks[0] = f"{heading}\n{blocks[0]}"
        prose += [Paragraph(block, section=heading) for block in blocks]
    return tuple(prose)


def _shown(code: Any, site: Site) -> str:
    """The text that a reader sees of parsed wikitext."""
    # What is not shown is emptied where it stands: removing it would search the whole page for each.
    for tag in code.filter_tags():
        tag.contents = _DROPPED_TAGS.get(str(tag.tag).strip().lower(), tag.contents)
    for template in code.filter_templates():
        template.params[:] = shown_arguments(template)
    for link in code.filter_wikilinks():
        title = str(link.title).strip()
        named = title.removeprefix(":")
        # A colon makes a link to a picture, a category or a language one like any other, shown by its text.
        has_colon = named != title
        is_picture = site.is_picture_or_category(named) and not (has_colon and link.text is not None)
        if is_picture or (site.is_language_link(named) and not has_colon):
            link.title, link.text = "", None
        else:
            link.title = named
    text = _UNCLOSED_TEMPLATE.sub("", str(code.strip_code(keep_template_params=True)))
    for line in (_UNCLOSED_LINK, _GALLERY_LINE):
        text = line.sub(lambda match: "" if site.is_picture_or_category(match[1]) else match[0], text)
    if table := _UNCLOSED_TABLE.search(text):
        text = text[: table.start()] + _TABLE_LINE.sub("", text[table.start() :])
    return _MAGIC_WORD.sub(_magic_word_shown, text)


def _magic_word_shown(match: re.Match[str]) -> str:
    word = match[1]
    return "" if word == word.upper() or word.upper() in _ENGLISH_MAGIC_WORDS else match[0]


def _restored(text: str, literals: list[str]) -> str:
    """The text with its literal parts, which `prepared` took out, in their places."""
    return re.sub("\x02([0-9]+)\x03", lambda match: html.unescape(literals[int(match[1])]), text)


def _clean(block: str) -> str:
    lines = (" ".join(line.split()) for line in block.split("\n"))
    return "\n".join(line for line in lines if line)


def _parser() -> ModuleType:
    try:
        import mwparserfromhell
    except ImportError as error:
        raise missing_extra("mwparserfromhell", "a mediawiki corpus") from error
    return mwparserfromhell
