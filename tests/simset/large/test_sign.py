"""Signatures by Daft: the overlap law, and that neither chunks nor their order show in a result."""

import json
from pathlib import Path

import numpy as np
import pytest

from simset_bench.corpora.in_parts.chunks import plan_chunks
from simset_bench.errors import RequestError
from simset_bench.simset.large.sign import SignedChunk, Sketch, sign_chunks, sign_texts
from simset_bench.simset.shingles import word_shingles
from simset_bench.simset.signatures import signatures
from simset_bench.simset.strategies import entries_by_signature

pytest.importorskip("daft", reason="needs the extra `scale`")

HASHES, ENTRIES = 64, 4096


def _pairs(count: int, shared: int, own: int, seed: int) -> tuple[list[str], list[str]]:
    """Pairs of texts of unrepeated words: single words are shingles, `shared` of them common to both."""
    generator = np.random.default_rng(seed)
    ones, others = [], []
    for _ in range(count):
        words = [f"w{number}" for number in generator.choice(10**9, shared + 2 * own, replace=False)]
        ones.append(" ".join(words[: shared + own]))
        others.append(" ".join(words[:shared] + words[shared + own :]))
    return ones, others


@pytest.mark.parametrize("engine", ["daft", "datasketch"])
@pytest.mark.parametrize(("shared", "own"), [(0, 100), (50, 100), (100, 50), (160, 20)])
def test_overlap_estimates_jaccard(engine: str, shared: int, own: int) -> None:
    jaccard = shared / (shared + 2 * own)
    due = jaccard + (1 - jaccard) * HASHES / ENTRIES
    sign = _by_daft if engine == "daft" else _by_datasketch
    pairs, seeds = 40, range(6)
    overlaps = []
    for seed in seeds:
        ones, others = _pairs(pairs, shared, own, seed)
        one, other = (entries_by_signature(sign(texts, seed), ENTRIES) for texts in (ones, others))
        overlaps.append((one == other).mean())
    # Every slot of every pair is a draw of its own, since no two pairs have a word in common.
    error = (due * (1 - due) / (pairs * HASHES * len(seeds))) ** 0.5
    assert abs(np.mean(overlaps) - due) < 4 * error


def _by_daft(texts: list[str], seed: int) -> np.ndarray:
    return sign_texts(texts, Sketch(1, HASHES), seed)


def _by_datasketch(texts: list[str], seed: int) -> np.ndarray:
    return signatures([word_shingles(text, 1) for text in texts], HASHES, seed)


def test_signatures_are_of_the_shingles_of_the_reference() -> None:
    # Two texts with equal sets of shingles, as word_shingles defines them, have equal signatures.
    texts = [
        "The cat, the dog!",
        "the CAT the dog",
        "the cat the dog the cat",
        "东京 abc",
        "東京",
        "?!",
        " ?! ",
        "The c\u00adat, the\u200b dog!",
        "?\u2060!",
    ]
    signed = sign_texts(texts, Sketch(2, 32), 1)
    for one in range(len(texts)):
        for other in range(len(texts)):
            same = word_shingles(texts[one], 2) == word_shingles(texts[other], 2)
            assert (signed[one] == signed[other]).all() == same, (texts[one], texts[other])


def test_chunks_do_not_show_in_signatures(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"d{n}", "text": f"word{n} and {n * n} more"}) + "\n" for n in range(300))
    )
    found = []
    for size in (100, 1000, 1 << 20):
        chunks = plan_chunks("jsonl", str(path), size)
        assert chunks is not None
        found.append(_joined(sign_chunks(chunks, 0, "article", [Sketch(2, 16)], 1, None)))
    assert found[0][0] == [f"d{n}" for n in range(300)]
    for ids, signed in found[1:]:
        assert ids == found[0][0]
        assert (signed == found[0][1]).all()


def _joined(chunks: object) -> tuple[list[str], np.ndarray]:
    parts: list[SignedChunk] = list(chunks)  # type: ignore[call-overload]
    return [i for part in parts for i in part.ids.to_pylist()], np.concatenate([part.signatures[0] for part in parts])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "corpus.parquet"
    pq.write_table(pa.table({"id": ["a"] * 5000, "text": [f"text {n}" for n in range(5000)]}), path)
    chunks = plan_chunks("parquet", str(path))
    assert chunks is not None
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 2] = b"\xff" * (len(data) // 2 - len(data) // 4)
    path.write_bytes(data)
    with pytest.raises(RequestError, match=r"corpus\.parquet: damaged in row groups 0 to 0"):
        list(sign_chunks(chunks, 0, "article", [Sketch(2, 16)], 1, None))
