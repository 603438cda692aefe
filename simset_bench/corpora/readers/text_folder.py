"""`text:FOLDER`: every `.txt` or `.TXT` file below a folder is an article."""

from collections.abc import Iterator
from pathlib import Path

from simset_bench.corpora.bad_records import BadRecord, Record
from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.lines import LARGEST_RECORD
from simset_bench.corpora.files.paths import files_below
from simset_bench.corpora.files.text import read_text
from simset_bench.errors import RequestError


def text_records(location: str) -> Iterator[Record]:
    """Articles of a folder in the order of their relative paths, which are their ids; the title is the file's stem.

    What `files_below` leaves out is left out. A file that is empty, not UTF-8 or longer than LARGEST_RECORD is a
    malformed record. Raises RequestError where there is no such folder or no `.txt` file in it.
    """
    folder = Path(location)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    paths = sorted(files_below(folder, (".txt",)), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise RequestError(f"{folder}: no .txt file below this folder")
    for path in paths:
        identity = path.relative_to(folder).as_posix()
        try:
            text = read_text(path, LARGEST_RECORD)
        except RequestError as error:
            place, _, reason = str(error).removeprefix(str(path)).partition(": ")
            yield BadRecord(f"{path}{place}", reason, identity)
        else:
            yield Article(identity, path.stem, split_paragraphs(text), None, str(path))
