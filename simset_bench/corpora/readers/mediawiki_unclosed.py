"""Makes text of the brackets and tags of wikitext that nothing closes.

The parser reads on to the end of the page from each of them, which would take hours where there are thousands.
"""

import re
from collections import Counter
from dataclasses import dataclass

_TOKEN = re.compile(
    r"^[ \t:]*(?P<table>\{)\||^[ \t]*(?P<table_end>\|\})(?!\})|\{{2,}|\}{2,}|\[\[|\[(?=[a-z][a-z0-9+.-]*:|//)|\]+"
    r"|<(?P<slash>/?)(?P<tag>[a-z][^\s<>/]*)[^<>]*>|\n",
    re.IGNORECASE | re.MULTILINE,
)
# Tags that need no end.
_SINGLE = {"li", "dt", "dd", "th", "td", "tr", "br", "wbr", "hr", "meta", "link", "img"}
_REFERENCES = {"{": "&#123;", "[": "&#91;", "<": "&lt;"}
# The parser gives up below 100 levels, and does so again at each of them.
_MOST_DEPTH = 90


@dataclass
class _Bracket:
    kind: str
    start: int
    size: int


class _Brackets:
    """The brackets that are open at one place of a page, the innermost last, and the places of those never closed."""

    def __init__(self) -> None:
        self._open = list[_Bracket]()
        self._count = Counter[str]()
        self.unclosed = list[int]()

    def open(self, kind: str, start: int, size: int) -> None:
        self._open.append(_Bracket(kind, start, size))
        self._count[kind] += 1

    def innermost(self) -> str:
        return self._open[-1].kind if self._open else ""

    def close(self, kind: str, most: int = 1) -> int:
        """Close up to `most` characters of the nearest bracket of a kind, and return how many; 0 where none is open.

        What was opened after it is never closed. Raises RecursionError where the bracket lies too deep.
        """
        if not self._count[kind]:
            return 0
        while self._open[-1].kind != kind:
            self._drop()
        if len(self._open) > _MOST_DEPTH:
            raise RecursionError
        bracket = self._open[-1]
        # Of a run of braces three are a parameter, two a template.
        size = bracket.size if kind != "{{" else 3 if min(bracket.size, most) >= 3 else 2
        bracket.size -= size
        if bracket.size < 2:
            # A single brace is text.
            self._drop()
        return size

    def end(self) -> None:
        while self._open:
            self._drop()

    def end_line(self) -> None:
        while self.innermost() == "[":
            self._drop()

    def _drop(self) -> None:
        bracket = self._open.pop()
        self._count[bracket.kind] -= 1
        self.unclosed += range(bracket.start, bracket.start + bracket.size)


def without_unclosed(wikitext: str) -> str:
    """Wikitext in which links, templates, tables and tags that are not closed are text, by character references.

    Each `<` must have a `>` before the next `<`. Raises RecursionError where closed ones are nested too deep.
    """
    brackets = _Brackets()
    for token in _TOKEN.finditer(wikitext):
        _read(token, brackets)
    brackets.end()
    pieces, position = list[str](), 0
    for place in sorted(brackets.unclosed):
        pieces += [wikitext[position:place], _REFERENCES[wikitext[place]]]
        position = place + 1
    return "".join([*pieces, wikitext[position:]])


def _read(token: re.Match[str], brackets: _Brackets) -> None:
    text = token[0]
    if text == "\n":
        brackets.end_line()
    elif token["table"]:
        brackets.open("{|", token.start("table"), 1)
    elif token["table_end"]:
        brackets.close("{|")
    elif token["tag"]:
        kind = "<" + token["tag"].lower()
        if token["slash"]:
            brackets.close(kind)
        elif not text.endswith("/>") and kind[1:] not in _SINGLE:
            brackets.open(kind, token.start(), 1)
    elif text[0] == "{":
        brackets.open("{{", token.start(), len(text))
    elif text[0] == "[":
        brackets.open(text, token.start(), len(text))
    elif text[0] == "}":
        _close_braces(len(text), brackets)
    else:
        _close_links(len(text), brackets)


def _close_braces(size: int, brackets: _Brackets) -> None:
    while size >= 2 and (closed := brackets.close("{{", size)):
        size -= closed


def _close_links(size: int, brackets: _Brackets) -> None:
    while size:
        is_outer = brackets.innermost() == "[" or size < 2
        closed = brackets.close("[" if is_outer else "[[")
        if not closed:
            return
        size -= closed
