import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import allocate
from simset_bench.simset.analysis import compare_pairs
from simset_bench.simset.plots import cluster_chart, load_chart, overlap_chart, save_plots

MakeDocuments = Callable[[Sequence[str]], list[Document]]


def chunks_of_png(content: bytes) -> list[bytes]:
    """Types of the chunks of a PNG file, each checksum compared; fails where the file is no PNG or cut short."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    kinds, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", content[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        kinds.append(kind)
        place += 12 + length
    return kinds


@pytest.mark.parametrize(("strategy", "count"), [("simset2", 24), ("none", 1), ("partitioned", 2)])
def test_plots_are_whole_png_and_svg_files(
    tiny_documents: list[Document], tmp_path: Path, strategy: str, count: int
) -> None:
    documents = tiny_documents[:count]
    allocation = allocate(documents, strategy, 64, 8, 0)
    folder = tmp_path / "new" / "plots"
    paths = save_plots(allocation, compare_pairs(allocation, documents), folder)
    names = ("overlap", "load", "clusters")
    assert [path.name for path in paths] == [f"{name}.{form}" for name in names for form in ("png", "svg")]
    assert sorted(folder.iterdir()) == sorted(paths)
    for path in paths[1::2]:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    for path in paths[::2]:
        kinds = chunks_of_png(path.read_bytes())
        assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        assert min(width, height) > 500


def test_plots_that_cannot_be_written_are_a_wrong_request(tiny_documents: list[Document], tmp_path: Path) -> None:
    allocation = allocate(tiny_documents, "random", 64, 8, 0)
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(RequestError, match="cannot be written"):
        save_plots(allocation, compare_pairs(allocation, tiny_documents), tmp_path / "plots")


def values_of(chart: object, layer: int | None = None) -> list[dict[str, float]]:
    specification = chart.to_dict()  # type: ignore[attr-defined]
    part = specification if layer is None else specification["layer"][layer]
    return specification["datasets"][part.get("data", specification.get("data"))["name"]]


def test_the_overlap_plot_shows_every_pair_of_few_documents(tiny_documents: list[Document]) -> None:
    allocation = allocate(tiny_documents, "simset2", 64, 8, 0)
    pairs = compare_pairs(allocation, tiny_documents)
    points = values_of(overlap_chart(allocation, pairs), layer=0)
    assert [(point["jaccard"], point["overlap"]) for point in points] == list(
        zip(pairs.jaccard, pairs.overlap, strict=True)
    )
    means = values_of(overlap_chart(allocation, pairs), layer=2)
    assert sum(mean["overlap"] for mean in means) / 10 == pytest.approx(pairs.overlap.mean(), abs=0.01)
    assert all(mean["low"] <= mean["overlap"] <= mean["high"] for mean in means)


def test_the_due_line_is_drawn_only_where_it_is_due(tiny_documents: list[Document]) -> None:
    for strategy, num_clusters, layers in [("simset1", None, 4), ("simset1", 18, 3), ("random", None, 3)]:
        allocation = allocate(tiny_documents, strategy, 64, 8, 0, num_clusters)
        chart = overlap_chart(allocation, compare_pairs(allocation, tiny_documents)).to_dict()
        assert len(chart["layer"]) == layers
        assert ("dashed" in " ".join(chart["title"]["subtitle"])) == (layers == 4)


def test_pairs_of_one_cluster_are_not_plotted(tiny_documents: list[Document]) -> None:
    allocation = allocate(tiny_documents, "random", 64, 8, 0, num_clusters=18)
    points = values_of(overlap_chart(allocation, compare_pairs(allocation, tiny_documents)), layer=0)
    assert len(points) == 276 - 6


def test_bars_count_entries_and_clusters(tiny_documents: list[Document], documents_of: MakeDocuments) -> None:
    allocation = allocate(tiny_documents, "partitioned", 50, 1, 0, num_clusters=18, partition_by="whole")
    loads = {row["value"]: row["count"] for row in values_of(load_chart(allocation))}
    assert loads == {0: 50 - 36, 1: 24, 2: 12}
    clusters = {row["value"]: row["count"] for row in values_of(cluster_chart(allocation))}
    assert clusters == {1: 12, 2: 6}
    many = allocate(documents_of(["same"] * 3000), "random", 64, 32, 0)
    assert "bin" in load_chart(many).to_dict()["encoding"]["x"]
