"""Rewrites wikitext where mwparserfromhell would read it otherwise than MediaWiki shows it."""

import re

from simset_bench.corpora.readers.mediawiki_site import is_language
from simset_bench.corpora.readers.mediawiki_unclosed import without_unclosed

# What may stand between a tag's name and its end, a slash before the end included.
_ATTRIBUTES = r"""(?:[\s/](?:[^<>"']|"[^"]*"|'[^']*')*)?"""
# Whatever stands between these tags is no wikitext. Of the first it is shown as it stands, of the others it is not.
_LITERAL = "nowiki|pre|syntaxhighlight|source"
_DROPPED = (
    "math|chem|ce|score|timeline|hiero|graph|gallery|imagemap|mapframe|maplink|templatedata|templatestyles|inputbox|"
    "categorytree|dynamicpagelist"
)
_OPENING = re.compile(rf"<!--|<(?P<tag>{_LITERAL}|{_DROPPED}){_ATTRIBUTES}>", re.IGNORECASE)
_REST_OF_LINE = re.compile(r"[ \t]*\n")
_BAR = re.compile(r"\{\{\s*!\s*\}\}")
_BREAK = re.compile(
    rf"</?(?:br|p|hr|div|center|blockquote|poem|ul|ol|li|dl|dt|dd|h[1-6])[.\\]?{_ATTRIBUTES}>", re.IGNORECASE
)
# Left to the parser, an unclosed one of these would stay in the text.
_STYLE = re.compile(
    rf"</?(?:small|big|span|sub|sup|i|b|u|s|em|strong|font|tt|code|kbd|samp|var|abbr|cite|del|ins|strike|bdi|bdo|q|mark|"
    rf"ruby|rt|rp|noinclude|onlyinclude|section|nowiki|pre|gallery|references){_ATTRIBUTES}>",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"<ref(?:[\s/][^<>]*)?>|</ref\s*>", re.IGNORECASE)
# No tag: the parser would try each one up to the end of the text.
_STRAY = re.compile(r"<(?=[^<>]*(?:<|\Z))")
_BRACES = re.compile(r"\{\{|\}\}")
_NEXT_PARAGRAPH = re.compile(r"\n(?=[ \t]*(?:\n|\Z)|[=*#:;]|\{\||\[\[)")
_VARIANTS = re.compile(r"-\{(?!\{)((?:(?!-\{)(?!\}-).)*)\}-", re.DOTALL)
# MediaWiki's own limit.
_MOST_VARIANTS_DEEP = 10
_FLAGS = {"A", "D", "E", "H", "N", "R", "S", "T", "+", "-", ""}
_VARIANT = re.compile(r"(?:[^;]*?=>\s*)?([a-z]{2,}(?:-[a-z]+)*)\s*:(.*)", re.DOTALL)
_BETWEEN_VARIANTS = re.compile(r";\s*(?=(?:[^;]*?=>\s*)?[a-z]{2,}(?:-[a-z]+)*\s*:|\Z)")


def prepared(wikitext: str) -> tuple[str, list[str]]:
    """Wikitext to parse, and the literal parts that were taken out of it; `\\x02N\\x03` stands for part N.

    Comments, references, formulas and galleries are gone, line breaks and blocks are white space, `{{!}}` is a bar, and
    of a choice between variants of the language the first is left.
    """
    text, literals = _without_literals(wikitext.replace("\x02", " "))
    text = _without_references(_BAR.sub("|", text))
    for _ in range(_MOST_VARIANTS_DEEP):
        text, count = _VARIANTS.subn(lambda match: _first_variant(match[1]), text)
        if not count:
            break
    return without_unclosed(_STRAY.sub("&lt;", _STYLE.sub("", _BREAK.sub(" ", text)))), literals


def _without_literals(text: str) -> tuple[str, list[str]]:
    """The text without comments and what is no wikitext, and the parts that are shown as they stand."""
    kept, literals, position = list[str](), list[str](), 0
    never_closed = set[str]()
    while opening := _OPENING.search(text, position):
        kept.append(text[position : opening.start()])
        position = opening.end()
        tag = (opening["tag"] or "").lower()
        if not tag:
            position = _end_of_comment(text, opening.start())
        elif not _is_whole(opening):
            # Where one has no end, later ones have none either: looking again would take quadratic time.
            pattern = re.compile(rf"</{tag}\s*>", re.IGNORECASE)
            closing = None if tag in never_closed else pattern.search(text, position)
            if not closing:
                never_closed.add(tag)
                kept.append(opening[0])
                continue
            if tag in _LITERAL.split("|"):
                kept.append(f"\x02{len(literals)}\x03")
                literals.append(text[position : closing.start()])
            position = closing.end()
    return "".join([*kept, text[position:]]), literals


def _end_of_comment(text: str, start: int) -> int:
    """Where the comment at `start` ends, its line end included where it stands alone on its line."""
    end = text.find("-->", start)
    if end < 0:
        return len(text)
    rest = _REST_OF_LINE.match(text, end + 3)
    is_alone = rest and not text[text.rfind("\n", 0, start) + 1 : start].strip()
    return rest.end() if rest and is_alone else end + 3


def _without_references(text: str) -> str:
    kept, position = list[str](), 0
    while token := _REFERENCE.search(text, position):
        kept.append(text[position : token.start()])
        is_open = not (_is_closing(token) or _is_whole(token))
        position = _end_of_reference(text, token.end()) if is_open else token.end()
    return "".join([*kept, text[position:]])


def _is_closing(tag: re.Match[str]) -> bool:
    return tag[0].startswith("</")


def _is_whole(tag: re.Match[str]) -> bool:
    """Whether a tag ends itself, as `<br />` does."""
    return tag[0].removesuffix(">").rstrip().endswith("/")


def _end_of_reference(text: str, start: int) -> int:
    """Where a reference ends whose content begins at `start`.

    One that no tag closes before the next begins ends with its template, its link or its paragraph.
    """
    following = next((token for token in _REFERENCE.finditer(text, start) if not _is_whole(token)), None)
    if following and _is_closing(following):
        return following.end()
    limit = following.start() if following else len(text)
    content = text[start:limit]
    paragraph = _NEXT_PARAGRAPH.search(content)
    length = paragraph.start() if paragraph else len(content)
    if content.lstrip().startswith("{{"):
        length = _end_of_template(content) or length
    elif link := re.match(r"\s*\[(?!\[)[^\]\n]*\]", content):
        length = link.end()
    return start + length


def _end_of_template(text: str) -> int | None:
    depth = 0
    for brace in _BRACES.finditer(text):
        depth += 1 if brace[0] == "{{" else -1
        if not depth:
            return brace.end()
    return None


def _first_variant(content: str) -> str:
    """What `-{content}-` shows: nothing for a rule that is only declared, a text as it stands, or the first variant."""
    before, bar, rest = content.partition("|")
    flags = {flag.strip() for flag in before.split(";")}
    if not bar or not all(flag in _FLAGS or is_language(flag.lower()) for flag in flags):
        flags, rest = set(), content
    if flags & {"H", "T", "N", "-"}:
        return ""
    first = _VARIANT.fullmatch(_BETWEEN_VARIANTS.split(rest.strip())[0])
    if "R" in flags or not first or not is_language(first[1]):
        return rest
    return first[2].strip()
