"""How fast entries are allocated, with how much memory, and how well overlap recovers similarity.

    python benchmarks/allocation.py --sizes 10000 100000 1000000 --output benchmarks/allocation.json

Corpora are made of the sentences of the `vital` corpus, drawn by a fixed seed, so that nothing is downloaded; every
twentieth document shares a known part of its sentences with the one before. Each measurement is a process of its own:
`seconds` are from reading the corpus to the finished file, `cpu_seconds` those of all its threads, `peak_bytes` its
largest resident set. Needs the extras `scale` and, for the yardstick, `pip install rensa`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simset_bench.corpora.load import CorpusOptions, load_corpus
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.lookup import open_lookup
from simset_bench.simset.shingles import jaccard, word_shingles

WORDS, PLANTED_EVERY, ROWS_TOGETHER = 300, 20, 5000
HASHES, ENTRIES, SHINGLE_WORDS, SEED = 64, 4096, 2, 1
PAIRS_CHECKED = 400
LOOKUPS = 2000


def write_corpus(documents: int, path: Path, words: int = WORDS) -> None:
    """Write a Parquet corpus of documents of about `words` words; row n with n % 20 == 19 is like row n - 1."""
    sentences = sentences_of_vital()
    long = max(2, round(words / np.mean([len(sentence.split()) for sentence in sentences])))
    pool = pa.array(sentences)
    with pq.ParquetWriter(path, pa.schema([("id", pa.string()), ("text", pa.string())]), compression="zstd") as writer:
        for start in range(0, documents, ROWS_TOGETHER):
            rows = min(ROWS_TOGETHER, documents - start)
            chosen = np.random.default_rng([SEED, start]).integers(len(sentences), size=(rows, long))
            for row in range(PLANTED_EVERY - 1, rows, PLANTED_EVERY):
                shared = 1 + (start + row) // PLANTED_EVERY % long
                chosen[row, :shared] = chosen[row - 1, :shared]
            lists = pa.ListArray.from_arrays(np.arange(rows + 1) * long, pool.take(pa.array(chosen.reshape(-1))))
            ids = [f"d{number}" for number in range(start, start + rows)]
            writer.write_table(pa.table({"id": ids, "text": pc.binary_join(lists, " ")}))


def sentences_of_vital() -> list[str]:
    """Sentences of eight words or more, each once, in the corpus's order."""
    found = [part.strip() for document in load_corpus("vital") for part in document.text.split(". ")]
    return list(dict.fromkeys(f"{sentence.rstrip('.')}." for sentence in found if len(sentence.split()) >= 8))


def allocate_by(engine: str, corpus: Path, output: Path) -> None:
    """One end-to-end allocation: datasketch or daft as the command does it, rensa as a script would."""
    if engine == "rensa":
        sign_by_rensa(corpus, output)
        return
    options = CorpusOptions(f"parquet:{corpus}")
    allocate_to_file(AllocationRequest(options, f"simset{SHINGLE_WORDS}", ENTRIES, HASHES, SEED), output, engine)


def sign_by_rensa(corpus: Path, output: Path) -> None:
    """Signatures of the same shingles by rensa's R-MinHash, one document after the other."""
    import rensa

    with pq.ParquetWriter(output, pa.schema([("document", pa.string()), ("signature", pa.list_(pa.uint32()))])) as to:
        for batch in pq.ParquetFile(corpus).iter_batches(ROWS_TOGETHER):
            signed = []
            for text in batch["text"].to_pylist():
                sketch = rensa.RMinHash(num_perm=HASHES, seed=SEED)
                sketch.update(list(word_shingles(text, SHINGLE_WORDS)))
                signed.append(sketch.digest())
            columns = [batch["id"], pa.array(signed, pa.list_(pa.uint32()))]
            to.write_table(pa.table(columns, names=["document", "signature"]))


def jaccard_error(corpus: Path, output: Path) -> dict[str, float]:
    """Root of the mean squared error of similarities read off a file, over planted pairs, and what theory expects.

    From entries, J is (overlap - k/M) / (1 - k/M); from signatures alone, the share of equal values.
    """
    texts, squares, expected = pq.ParquetFile(corpus), [], []
    column = "entries" if "entries" in pq.read_schema(output).names else "signature"
    made = pq.ParquetFile(output).read_row_group(0, columns=[column])[column]
    first = texts.read_row_group(0, columns=["text"])["text"].to_pylist()
    chance = HASHES / ENTRIES if column == "entries" else 0.0
    for row in list(range(PLANTED_EVERY - 1, min(len(first), len(made)), PLANTED_EVERY))[:PAIRS_CHECKED]:
        true = jaccard(*(word_shingles(first[number], SHINGLE_WORDS) for number in (row - 1, row)))
        equal = np.mean(np.array(made[row - 1].as_py()) == np.array(made[row].as_py()))
        squares.append(((equal - chance) / (1 - chance) - true) ** 2)
        due = true + (1 - true) * chance
        expected.append(due * (1 - due) / HASHES / (1 - chance) ** 2)
    return {"jaccard_rmse": float(np.mean(squares) ** 0.5), "jaccard_rmse_due": float(np.mean(expected) ** 0.5)}


def lookup_times(output: Path, documents: int) -> dict[str, float]:
    """Milliseconds from a random document's id to its entries: of the first, their median and 99th percentile."""
    if "entries" not in pq.read_schema(output).names:
        return {}
    lookup = open_lookup(output)
    taken = []
    for number in np.random.default_rng(SEED).integers(documents, size=LOOKUPS):
        started = time.perf_counter()
        np.array(lookup.entries[lookup.numbers_of([f"d{number}"])[0]])
        taken.append(1000 * (time.perf_counter() - started))
    names = ("lookup_ms_first", "lookup_ms_median", "lookup_ms_p99")
    return dict(zip(names, (taken[0], *np.percentile(taken, [50, 99]).tolist()), strict=True))


def measure(engine: str, cores: int, corpus: Path, documents: int, folder: Path) -> dict[str, object]:
    """Run one allocation in a process of its own on some cores."""
    output = folder / f"{engine}-{cores}.parquet"
    command = [sys.executable, __file__, "--run", engine, "--cores", str(cores), str(corpus), str(output)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    found |= {"engine": engine, "cores": cores, "documents": documents}
    found["documents_per_second"] = documents / found["seconds"]
    found["output_bytes"] = output.stat().st_size
    found |= jaccard_error(corpus, output) | lookup_times(output, documents)
    for leftover in folder.glob(f"{output.name}*"):
        subprocess.run(["rm", "-r", str(leftover)], check=True)
    return found


def run_here(engine: str, cores: int, corpus: Path, output: Path) -> None:
    """The process that is measured; prints its figures."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    started = time.monotonic()
    allocate_by(engine, corpus, output)
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_bytes": peak}))


def table(results: list[dict]) -> str:
    """The results as a Markdown table, ratios against datasketch at the same number of documents."""
    lines = [
        "| documents | engine | cores | seconds | CPU seconds | documents/s | x datasketch | x by CPU time | peak MiB "
        "| Jaccard RMSE (due) | lookup ms, median (99%) |",
        "| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    base = {r["documents"]: r for r in results if r["engine"] == "datasketch"}
    for r in results:
        reference = base.get(r["documents"])
        wall = f"{reference['seconds'] / r['seconds']:.1f}" if reference else "–"
        lookup = f"{r['lookup_ms_median']:.3f} ({r['lookup_ms_p99']:.3f})" if "lookup_ms_median" in r else "–"
        cpu = f"{reference['cpu_seconds'] / r['cpu_seconds']:.1f}" if reference else "–"
        lines.append(
            f"| {r['documents']:,} | {r['engine']} | {r['cores']} | {r['seconds']:.1f} | {r['cpu_seconds']:.1f} "
            f"| {r['documents_per_second']:,.0f} | {wall} | {cpu} | {r['peak_bytes'] / 2**20:,.0f} "
            f"| {r['jaccard_rmse']:.4f} ({r['jaccard_rmse_due']:.4f}) | {lookup} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--words", type=int, default=WORDS, help="of a document, about [300]")
    parser.add_argument("--engines", nargs="+", default=["datasketch:1", "daft:1", "daft:2", "rensa:1"])
    parser.add_argument("--folder", type=Path, help="where corpora are kept [a temporary folder]")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("paths", type=Path, nargs="*", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.run:
        run_here(chosen.run, chosen.cores, *chosen.paths)
        return
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        folder.mkdir(exist_ok=True)
        for documents in chosen.sizes:
            corpus = folder / f"corpus-{documents}-{chosen.words}.parquet"
            if not corpus.is_file():
                write_corpus(documents, corpus, chosen.words)
            for engine, cores in (name.split(":") for name in chosen.engines):
                load = os.getloadavg()[0]
                results.append(measure(engine, int(cores), corpus, documents, folder) | {"load_before": load})
                print(json.dumps(results[-1]), file=sys.stderr)
                if chosen.output:
                    chosen.output.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
