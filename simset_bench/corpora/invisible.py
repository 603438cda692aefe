"""Characters that no reader sees, such as soft hyphens and joiners."""

import re

# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, the same in versions 9 to 17), places not yet
# assigned included. `unicodedata` does not know it.
_INVISIBLE = re.compile(
    "["
    "\u00ad"  # soft hyphen
    "\u034f"  # combining grapheme joiner
    "\u061c"  # Arabic letter mark
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5"  # Khmer inherent vowels
    "\u180b-\u180f"  # Mongolian variation selectors and vowel separator
    "\u200b-\u200f"  # zero-width space, joiners, direction marks
    "\u202a-\u202e"  # embeddings and overrides of direction
    "\u2060-\u206f"  # word joiner, invisible operators, isolates of direction
    "\ufe00-\ufe0f"  # variation selectors
    "\ufeff"  # byte order mark
    "\ufff0-\ufffb"  # the last three are marks of interlinear annotations, which Unicode lists apart
    "\U0001bca0-\U0001bca3"  # shorthand controls
    "\U0001d173-\U0001d17a"  # musical controls
    "\U000e0000-\U000e0fff"  # tags and further variation selectors
    "]+"
)


def visible(text: str) -> str:
    """A text without default-ignorable characters and marks of annotations, so that texts that look alike are equal.

    Joiners and non-joiners go too, which shape letters of Arabic and Indic scripts but seldom tell two words apart.
    """
    return text if text.isascii() else _INVISIBLE.sub("", text)
