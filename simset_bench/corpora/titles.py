"""When two titles, or a title and a subject, are the same."""

import unicodedata


def same_title_key(title: str) -> str:
    """A key equal for titles that differ only in case, white space or Unicode form (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())
