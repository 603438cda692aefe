"""Rewrites wikitext where mwparserfromhell would read it otherwise than MediaWiki shows it."""

import re

from simset_bench.corpora.readers.mediawiki_site import is_language

_ATTRIBUTES = r"""(?:\s(?:[^<>"']|"[^"]*"|'[^']*')*)?"""
# Whatever stands between these tags is no wikitext. Of the first it is shown as it stands, of the others it is not.
_LITERAL = "nowiki|pre|syntaxhighlight|source"
_DROPPED = (
    "math|chem|ce|score|timeline|hiero|graph|gallery|imagemap|mapframe|maplink|templatedata|templatestyles|inputbox|"
    "categorytree|dynamicpagelist"
)
_NOT_WIKITEXT = re.compile(
    rf"(?:^[ \t]*<!--(?:(?!-->).)*-->[ \t]*\n)|<!--.*?(?:-->|\Z)"
    rf"|<(?P<tag>{_LITERAL}|{_DROPPED}){_ATTRIBUTES}\s*(?:/>|(?<!/)>(?P<content>.*?)</(?P=tag)\s*>)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_BAR = re.compile(r"\{\{\s*!\s*\}\}")
_BREAK = re.compile(
    rf"</?(?:br|p|hr|div|center|blockquote|poem|ul|ol|li|dl|dt|dd){_ATTRIBUTES}[\s./\\]*>", re.IGNORECASE
)
# Left to the parser, an unclosed one of these would stay in the text.
_STYLE = re.compile(
    rf"</?(?:small|big|span|sub|sup|i|b|u|s|em|strong|font|tt|code|kbd|samp|var|abbr|cite|del|ins|strike|bdi|bdo|q|mark|"
    rf"ruby|rt|rp|noinclude|onlyinclude|section|nowiki|gallery|references){_ATTRIBUTES}\s*/?>",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"<ref(?:\s[^<>]*?)?\s*(?P<whole>/)?>|(?P<close></ref\s*>)", re.IGNORECASE)
_BRACES = re.compile(r"\{\{|\}\}")
_NEXT_PARAGRAPH = re.compile(r"\n(?=[ \t]*(?:\n|\Z)|[=*#:;]|\{\||\[\[)")
_VARIANTS = re.compile(r"-\{(?!\{)((?:(?!-\{)(?!\}-).)*)\}-", re.DOTALL)
_FLAGS = {"A", "D", "E", "H", "N", "R", "S", "T", "+", "-", ""}
_VARIANT = re.compile(r"(?:[^;]*?=>\s*)?([a-z]{2,}(?:-[a-z]+)*)\s*:(.*)", re.DOTALL)
_BETWEEN_VARIANTS = re.compile(r";\s*(?=(?:[^;]*?=>\s*)?[a-z]{2,}(?:-[a-z]+)*\s*:|\Z)")


def prepared(wikitext: str) -> tuple[str, list[str]]:
    """Wikitext to parse, and the literal parts that were taken out of it; `\\x02N\\x03` stands for part N.

    Comments, references, formulas and galleries are gone, line breaks and blocks are white space, `{{!}}` is a bar, and
    of a choice between variants of the language the first is left.
    """
    literals: list[str] = []

    def without(match: re.Match[str]) -> str:
        content = match["content"]
        if content is None or match["tag"].lower() not in _LITERAL.split("|"):
            return ""
        literals.append(content)
        return f"\x02{len(literals) - 1}\x03"

    text = _NOT_WIKITEXT.sub(without, wikitext.replace("\x02", " "))
    text = _without_references(_BAR.sub("|", text))
    while _VARIANTS.search(text):
        text = _VARIANTS.sub(lambda match: _first_variant(match[1]), text)
    return _STYLE.sub("", _BREAK.sub(" ", text)), literals


def _without_references(text: str) -> str:
    kept, position = list[str](), 0
    while token := _REFERENCE.search(text, position):
        kept.append(text[position : token.start()])
        is_open = not token["whole"] and not token["close"]
        position = _end_of_reference(text, token.end()) if is_open else token.end()
    return "".join([*kept, text[position:]])


def _end_of_reference(text: str, start: int) -> int:
    """Where a reference ends whose content begins at `start`.

    One that no tag closes before the next begins ends with its template, its link or its paragraph.
    """
    following = next((token for token in _REFERENCE.finditer(text, start) if not token["whole"]), None)
    if following and following["close"]:
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
