"""The training curves of a run: the measures of each epoch."""

from pathlib import Path

from simset_bench.results.run_files import is_there, text_of
from simset_bench.strict_json import brief, is_count, is_number, parse_json_lines

Epoch = dict[str, float]


def read_epochs(path: Path) -> list[Epoch]:
    """The epochs of a `metrics.jsonl`, each with its number, `epoch`, and its measures; empty where there is no file.

    Raises OSError where it cannot be read, ValueError where it is damaged.
    """
    if not is_there(path):
        return []
    epochs = parse_json_lines(text_of(path))
    for epoch in epochs:
        if not isinstance(epoch, dict) or not is_count(epoch.get("epoch")):
            raise ValueError(f"{path.name}: an epoch cannot be {brief(epoch)}")
        wrong = [name for name, value in epoch.items() if not is_number(value)]
        if wrong:
            raise ValueError(f"{path.name}: {brief(wrong[0])} cannot be {brief(epoch[wrong[0]])}")
    return epochs
