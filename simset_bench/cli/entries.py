"""`simset-bench submit`, `pack`, `verify` and `reproduce`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.errors import RequestError
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    from simset_bench.leaderboard.verify import Verified

_COUNTS = ("results", "samples", "followed")
Entry = Annotated[Path, typer.Argument(help="An entry: its folder, or STUDY/NAME where it is packed.")]


def submit(
    run: Annotated[Path, typer.Argument(help="A finished and evaluated run's folder, or a baseline's.")],
    to: Annotated[Path, typer.Option(help="Folder of entries.")] = Path("leaderboards"),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Pack a run as an entry of a leaderboard: manifest, scores, samples and hashes, without weights.

    The run's own folder gets a model card (README.md) and results in the hub's form, with which it can be uploaded."""
    from simset_bench.leaderboard.entries import pack_entry, write_run_card
    from simset_bench.results.entry_files import files_of

    entry = pack_entry(run, to)
    card = write_run_card(run)
    size = sum((entry / name).stat().st_size for name in files_of(entry))
    if json_output:
        print_json({"entry": str(entry), "files": files_of(entry), "bytes": size, "card": card and str(card)})
        return
    say(f"{entry}: {len(files_of(entry))} files, {size / 1000:.0f} kB")
    if card:
        say(f"model card: {card}")


def pack(
    folder: Annotated[Path, typer.Argument(help="Folder of entries, such as leaderboards/study.")],
    add: Annotated[
        list[Path] | None, typer.Option(help="Also the entries of this folder, single or packed; may be repeated.")
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Pack a folder's entries: two files with a hash each instead of a folder an entry.

    Everything that reads entries reads packed ones as FOLDER/NAME. Entries that are added later give the same files as
    packing all of them at once."""
    from simset_bench.leaderboard.pack import pack_study

    packed = pack_study(folder, add or [])
    if json_output:
        print_json(asdict(packed) | {"folder": str(folder)})
        return
    each = packed.bytes / packed.entries
    say(f"{folder}: {packed.entries} entries packed, {packed.added} of them new, {packed.bytes / 1e6:.2f} MB")
    say(f"{each / 1000:.1f} kB an entry")


def verify(
    entry: Annotated[Path, typer.Argument(help="An entry: its folder, or STUDY/NAME where it is packed; or STUDY.")],
    recompute: Annotated[
        int | None, typer.Option(help="Also evaluate this many documents or records of each task again.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="With --recompute: the run that the entry was packed from, if it learned anything."),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check an entry's files, hashes and ranges, and that its figures follow from its samples."""
    if recompute is None and run is not None:
        raise RequestError(f"--run {run}: only used with --recompute N, which evaluates N documents of it again")
    if recompute is not None and recompute < 1:
        raise RequestError(f"--recompute {recompute}: must be at least 1")
    from simset_bench.leaderboard.verify import verify_entry, verify_packed
    from simset_bench.results.packed import is_packed

    if is_packed(entry):
        if recompute is not None:
            raise RequestError(f"--recompute asks the samples of one entry again: name one, as {entry}/NAME")
        _print_packed(entry, verify_packed(entry), json_output)
        return
    verified = verify_entry(entry)
    again = None
    if recompute is not None:
        from simset_bench.leaderboard.reproduce import recompute_samples

        again = recompute_samples(entry, run, recompute)
    if json_output:
        print_json(asdict(verified) | {"entry": str(entry), "recomputed": again})
        return
    say(
        f"{entry}: verified, {verified.results} results, {verified.samples} samples, {verified.followed} figures follow"
    )
    if verified.not_checked:
        say(f"samples cannot give: {', '.join(verified.not_checked)}")
    if again is not None:
        say(f"{again} samples evaluated again, with the same figures")


def _print_packed(study: Path, verified: "list[Verified]", json_output: bool) -> None:
    if json_output:
        print_json({"entries": [asdict(each) | {"entry": str(each.entry)} for each in verified]})
        return
    results, samples, followed = (sum(getattr(each, name) for each in verified) for name in _COUNTS)
    say(
        f"{study}: {len(verified)} packed entries verified, {results} results, {samples} samples, {followed} figures "
        "follow"
    )
    if missing := dict.fromkeys(name for each in verified for name in each.not_checked):
        say(f"samples cannot give: {', '.join(missing)}")


def reproduce(
    entry: Entry,
    save_dir: Annotated[Path, typer.Option(help="Folder for the new run.")] = Path("outputs/reproduced"),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train and evaluate an entry's exact configuration again, and compare each figure with its interval."""
    with quick_imports():
        from simset_bench.leaderboard.reproduce import reproduce as run_again
        from simset_bench.leaderboard.verify import verify_entry

    verify_entry(entry)
    figures = run_again(entry, save_dir)
    outside = [again.measure for again in figures if not again.within]
    if json_output:
        print_json({"figures": [asdict(again) | {"within": again.within} for again in figures], "outside": outside})
    else:
        _print_again(figures)
        say(f"{len(figures) - len(outside)} of {len(figures)} figures came out again within their intervals")
    if outside:
        raise typer.Exit(1)


def _print_again(figures: list) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("measure", "entry", "95% interval", "again", ""):
        table.add_column(name, justify="left" if name in ("measure", "") else "right")
    for again in figures:
        interval = "–" if again.interval is None else f"[{again.interval[0]:.4g}, {again.interval[1]:.4g}]"
        cells = (again.measure, f"{again.entry:.5g}", interval, f"{again.again:.5g}", "" if again.within else "outside")
        table.add_row(*map(Text, cells), style=None if again.within else "red")
    stdout.print(table)
