"""A packed entry as a folder again, for what reads entries file by file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, write_json
from simset_bench.results.entry_files import ENTRY, ENTRY_SCHEMA, KIND, files_of
from simset_bench.results.packed import PackedRun
from simset_bench.results.packed_columns import records_of
from simset_bench.results.run_files import check_packed
from simset_bench.results.samples import PARQUET, write_samples
from simset_bench.training.run_folder import EVALUATIONS


@contextmanager
def entry_folder(entry: Path) -> Iterator[Path]:
    """The folder of an entry or run; of a packed entry (STUDY/NAME) a temporary one with its files, for the context.

    Raises RequestError where there is neither. Errors in the context name `entry`.
    """
    if entry.is_dir():
        yield entry
        return
    run = check_packed(entry)
    with tempfile.TemporaryDirectory(prefix="simset-bench-") as temporary:
        folder = Path(temporary) / run.name
        _write_entry(folder, run)
        try:
            yield folder
        except RequestError as error:
            raise RequestError(str(error).replace(str(folder), str(entry))) from error


def _write_entry(folder: Path, run: PackedRun) -> None:
    (folder / EVALUATIONS).mkdir(parents=True)
    for name, text in run.texts.items():
        (folder / name).write_bytes(text.encode())
    for stem, columns in run.samples.items():
        write_samples(folder / EVALUATIONS / f"{stem}{PARQUET}", records_of(columns))
    files = {name: sha256_of_file(folder / name) for name in files_of(folder)}
    write_json(folder / ENTRY, {"schema": ENTRY_SCHEMA, "kind": KIND, "made_with": run.made_with, "files": files})
