"""`text:FOLDER`: every `.txt` file below a folder is an article."""

from collections.abc import Iterator
from pathlib import Path

from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.text import read_text
from simset_bench.errors import RequestError


def text_articles(location: str) -> Iterator[Article]:
    """Articles of a folder in the order of their relative paths, which are their ids; the title is the file's stem.

    Raises RequestError where there is no such folder or no `.txt` file in it.
    """
    folder = Path(location)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    paths = sorted(folder.rglob("*.txt"), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise RequestError(f"{folder}: no .txt file below this folder")
    for path in paths:
        identity = path.relative_to(folder).as_posix()
        yield Article(identity, path.stem, split_paragraphs(read_text(path)), None, str(path))
