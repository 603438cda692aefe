"""Strips MediaWiki's markup, by mwparserfromhell."""

import re
from contextlib import suppress
from types import ModuleType
from typing import Any

from simset_bench.corpora.documents import Paragraph
from simset_bench.errors import missing_extra

# Links into these namespaces are pictures or categories, named in the wiki's language or in English.
_NOT_PROSE = re.compile(
    r"^:?\s*(file|image|category|media|datei|bild|kategorie|fichier|catégorie|archivo|categoría|imagen|immagine|"
    r"categoria|ficheiro|файл|категория|ファイル|画像|文件|分类|分類|檔案|파일|분류|ملف|تصنيف|चित्र|श्रेणी)\s*:",
    re.IGNORECASE,
)
_DROPPED_TAGS = {"ref", "table", "gallery", "timeline", "imagemap", "math", "chem", "score"}
_MAGIC_WORD = re.compile(r"__[^\W_]+__")
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def strip_markup(wikitext: str) -> tuple[Paragraph, ...]:
    """The prose of a page in paragraphs, each with the heading of its section.

    Templates, tables, references, pictures, categories and comments are left out; of links the shown text is kept. A
    heading begins the first paragraph of its section; a section without prose gives no paragraph.
    """
    parser = _parser()
    prose = []
    for section in parser.parse(wikitext).get_sections(flat=True, include_lead=True):
        headings = section.filter_headings()
        heading = headings[0].title.strip_code().strip() if headings else ""
        if headings:
            section.remove(headings[0])
        _drop(section)
        text = _MAGIC_WORD.sub("", str(section.strip_code()))
        blocks = [part for part in (_clean(block) for block in _BLANK_LINES.split(text)) if part]
        if heading and blocks:
            blocks[0] = f"{heading}\n{blocks[0]}"
        prose += [Paragraph(block, section=heading) for block in blocks]
    return tuple(prose)


def _drop(section: Any) -> None:
    """Remove references, tables, pictures and categories, of which `strip_code` would leave words."""
    nodes = section.filter_tags(matches=lambda tag: str(tag.tag).strip().lower() in _DROPPED_TAGS)
    nodes += section.filter_wikilinks(matches=lambda link: _NOT_PROSE.match(str(link.title)))
    for node in nodes:
        # A node inside another one was removed with it.
        with suppress(ValueError):
            section.remove(node)


def _clean(block: str) -> str:
    lines = (" ".join(line.split()) for line in block.split("\n"))
    return "\n".join(line for line in lines if line)


def _parser() -> ModuleType:
    try:
        import mwparserfromhell
    except ImportError as error:
        raise missing_extra("mwparserfromhell", "a mediawiki corpus") from error
    return mwparserfromhell
