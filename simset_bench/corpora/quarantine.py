"""Malformed records, set aside in a file and counted against what is allowed."""

import json
from collections.abc import Iterable
from pathlib import Path

from simset_bench.corpora.records import BadRecord
from simset_bench.errors import RequestError
from simset_bench.files import write_text


class Quarantine:
    """The malformed records of a corpus on its way to `output`; they lie in `OUTPUT.quarantine.jsonl`.

    A line holds `origin`, `reason` and `text`, the record as it begins. The file is there only if a record is.
    """

    def __init__(self, output: Path, max_bad: int) -> None:
        if max_bad < 0:
            raise RequestError(f"--max-bad {max_bad}: must be at least 0")
        self.path = output.with_name(output.name + ".quarantine.jsonl")
        self.records: list[dict[str, str]] = []
        self._max_bad = max_bad

    def add(self, bad: BadRecord) -> None:
        """Set a record aside. Raises RequestError where that is one too many; the file then says which all were."""
        self.extend([{"origin": bad.origin, "reason": bad.reason, "text": bad.raw}])

    def extend(self, records: Iterable[dict[str, str]]) -> None:
        """Set records aside, as `add` does one."""
        self.records += records
        if len(self.records) > self._max_bad:
            self.close()
            first = self.records[0]
            found = f"{first['origin']}: {first['reason']}"
            if len(self.records) == 1:
                raise RequestError(f"{found} (--max-bad N would set up to N such records aside)")
            raise RequestError(
                f"{len(self.records)} malformed records are more than --max-bad {self._max_bad}; "
                f"they are in {self.path}, the first is {found}"
            )

    def close(self) -> None:
        """Write the file, or remove an earlier one where no record is malformed."""
        if self.records:
            write_text(self.path, "".join(json.dumps(record, ensure_ascii=True) + "\n" for record in self.records))
        else:
            self.path.unlink(missing_ok=True)
