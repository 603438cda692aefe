"""Locations: the files that one names, in a fixed order, and their bytes whatever their compression."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simset_bench.corpora.files.paths import DAMAGE, files_at, found_near, id_prefix, is_compressed, open_bytes, zstd
from simset_bench.corpora.files.text import read_text
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def test_a_folder_gives_the_files_of_a_suffix_at_any_depth_in_order(write: Write, tmp_path: Path) -> None:
    names = ["b.jsonl", "a/z.JSONL", "c/d/e.jsonl.gz", "notes.md", "jsonl"]
    paths = {name: write(f"corpus/{name}", "x") for name in names}
    (tmp_path / "corpus" / "folder.jsonl").mkdir()
    suffixes = (".jsonl", ".jsonl.gz")
    assert files_at(str(tmp_path / "corpus"), suffixes) == [paths[name] for name in ("a/z.JSONL", "b.jsonl", names[2])]


def test_a_pattern_gives_what_it_matches_and_a_file_is_itself_whatever_its_suffix(write: Write, tmp_path: Path) -> None:
    one, two, deep = write("2.txt", "x"), write("1.txt", "x"), write("a/b/3.txt", "x")
    assert files_at(f"{tmp_path}/[12].txt", (".jsonl",)) == [two, one]
    assert files_at(f"{tmp_path}/**/*.txt", (".jsonl",)) == [two, one, deep]
    assert files_at(str(deep), (".jsonl",)) == [deep]
    # A name that looks like a pattern is the file of that name where there is one.
    literal = write("[12].txt", "x")
    assert files_at(str(literal), (".jsonl",)) == [literal]


def test_a_location_without_files_is_named(write: Write, tmp_path: Path) -> None:
    write("corpus/notes.md", "x")
    with pytest.raises(RequestError, match=r"corpus: no file that ends in \.jsonl, \.gz below this folder"):
        files_at(str(tmp_path / "corpus"), (".jsonl", ".gz"))
    with pytest.raises(RequestError, match=r"\*\.jsonl: no file matches this pattern"):
        files_at(f"{tmp_path}/*.jsonl", (".jsonl",))
    with pytest.raises(RequestError, match=r"none\.jsonl: cannot be read \(No such file or directory\)"):
        files_at(str(tmp_path / "none.jsonl"), (".jsonl",))


def test_names_before_ids_are_paths_below_what_the_location_spells_out(write: Write, tmp_path: Path) -> None:
    deep = write("corpus/a/b.jsonl", "x")
    for location, prefix in (("corpus/a/b.jsonl", ""), ("corpus", "a/b.jsonl:"), ("corpus/*/b.jsonl", "a/b.jsonl:")):
        assert id_prefix(deep, f"{tmp_path}/{location}") == prefix


def test_a_pattern_passes_over_folders_and_hidden_files_and_ends_at_links_upwards(write: Write, tmp_path: Path) -> None:
    one, hidden = write("a/1.txt", "x"), write("a/.2.txt", "x")
    (tmp_path / "a" / "loop.txt").symlink_to("..")
    assert files_at(f"{tmp_path}/**/*.txt", ()) == [one]
    assert files_at(f"{tmp_path}/a/.*.txt", ()) == [hidden]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_what_is_no_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    pipe = tmp_path / name
    os.mkfifo(pipe)
    with pytest.raises(RequestError, match=f"{name}: is a pipe"):
        files_at(str(pipe), ())
    with pytest.raises(RequestError, match=f"{name}: is a pipe"):
        open_bytes(pipe)
    with pytest.raises(RequestError, match="/dev/null: is a device"):
        read_text(Path("/dev/null"))
    with pytest.raises(RequestError, match="cannot be read"):
        files_at("x" * 5000, ())


def test_long_windows_of_zstd_are_read(tmp_path: Path) -> None:
    if zstd is None:
        pytest.skip("needs the extra `scale`")
    content = b"a line\n" * 1000
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 31})
    path = tmp_path / "a.zst"
    path.write_bytes(compressor.compress(content) + compressor.flush())
    with open_bytes(path) as file:
        assert file.read() == content


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_data_that_end_too_soon_are_damaged(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(COMPRESS[suffix](os.urandom(1000))[:-20])
    with open_bytes(path) as file, pytest.raises(DAMAGE):
        file.read()


def _zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


COMPRESS = {
    ".txt": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
    ".zstd": _zstd,
}


@pytest.mark.parametrize("suffix", COMPRESS)
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=3))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_come_back_whatever_the_compression_and_the_number_of_its_streams(
    suffix: str, parts: list[bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(COMPRESS[suffix](part) for part in parts))
    with open_bytes(path) as file:
        assert file.read() == b"".join(parts)
    assert is_compressed(path) == (suffix != ".txt")


@pytest.mark.parametrize("suffix", [".bz2", ".xz"])
def test_zeros_between_streams_are_padding_and_whatever_else_follows_one_is_damage(suffix: str, tmp_path: Path) -> None:
    path, stream = tmp_path / f"a{suffix}", COMPRESS[suffix]
    path.write_bytes(stream(b"one") + bytes(200_000) + stream(b"two") + bytes(4))
    with open_bytes(path) as file:
        assert file.read() == b"onetwo"
    path.write_bytes(stream(b"one") + b"?" + stream(b"two"))
    with open_bytes(path) as file, pytest.raises(DAMAGE):
        file.read()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_file_that_cannot_be_opened_is_named(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=rf"none\{suffix}: cannot be read"):
        open_bytes(tmp_path / f"none{suffix}")


def test_a_relative_location_is_looked_for_above_a_folder_the_nearest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a/b/c", "here"):
        (tmp_path / folder).mkdir(parents=True)
    for place in ("a/x.jsonl", "a/b/x.jsonl", "a/y.jsonl"):
        (tmp_path / place).write_text("{}")
    monkeypatch.chdir(tmp_path / "here")
    run = tmp_path / "a" / "b" / "c"
    assert found_near("x.jsonl", run) == "../a/b/x.jsonl"
    assert found_near("[y].jsonl", run) == "../a/[y].jsonl"
    assert [found_near(name, run) for name in ("z.jsonl", "hub:some/name", "")] == ["z.jsonl", "hub:some/name", ""]
    (tmp_path / "here" / "x.jsonl").write_text("{}")
    assert found_near("x.jsonl", run) == "x.jsonl"
