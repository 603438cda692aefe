import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.files import (
    TextsDigest,
    check_replaceable,
    sha256_of_file,
    sha256_of_texts,
    waiting_lock,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)

# Writes the letters of the alphabet over and over, a file of one letter each time.
WRITER = """
import itertools, sys
from pathlib import Path
from simset_bench.files import write_text
path = Path(sys.argv[1])
for letter in itertools.cycle("abcdefgh"):
    write_text(path, letter * 2_000_000)
    print(letter, flush=True)
"""
OUT_OF_ROOM = """
import resource, sys
from pathlib import Path
from simset_bench.files import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_text(Path(sys.argv[1]), "b" * 1_000_000)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_whole(text: str) -> bool:
    return text == "old" or (len(text) == 2_000_000 and len(set(text)) == 1)


def test_a_file_is_written_with_the_folders_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "héllo\n")
    assert path.read_bytes() == "héllo\n".encode()
    assert names(path.parent) == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(type(error)), whole_file(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_failure_half_way_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), whole_file(tmp_path / "file.txt") as temporary:
        assert temporary.parent == tmp_path
        raise ValueError("bad")
    assert names(tmp_path) == []


def test_the_temporary_file_has_the_suffix_that_writers_go_by(tmp_path: Path) -> None:
    with whole_file(tmp_path / "plot.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.name != "plot.png"


def test_a_process_killed_while_it_writes_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    for pause in (0.0, 0.003, 0.011):
        write_text(path, "old")
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        assert is_whole(path.read_text())


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    done = threading.Event()

    def write() -> None:
        for letter in "abcdefghij" * 3:
            write_text(path, letter * 2_000_000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set():
        assert is_whole(path.read_text())
        seen += 1
    writer.join()
    assert seen > 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_running_out_of_room_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    ran = subprocess.run(
        [sys.executable, "-B", "-c", OUT_OF_ROOM, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("OSError")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_where_no_file_can_be_a_wrong_request_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(RequestError, match=r"file/below\.txt: cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "text")
    with pytest.raises(RequestError, match="cannot be written, it is a folder"):
        write_text(tmp_path, "text")
    with pytest.raises(RequestError, match=r"cannot be written \(File name too long\)"):
        write_text(tmp_path / ("n" * 300), "text")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom a read-only folder stops")
def test_a_read_only_folder_is_a_wrong_request(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match=r"cannot be written \(Permission denied\)"):
        write_text(tmp_path / "file.txt", "text")


def test_a_link_stays_and_what_it_leads_to_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    (tmp_path / "to_new.txt").symlink_to("new/real.txt")
    (tmp_path / "first.txt").symlink_to("link.txt")
    for name in ("first.txt", "link.txt", "to_new.txt"):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == name
    assert (tmp_path / "real.txt").read_text() == "link.txt"
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(RequestError, match="its symbolic links lead nowhere"):
        write_text(tmp_path / "circle", "text")
    assert names(tmp_path) == ["circle", "first.txt", "link.txt", "new", "real.txt", "to_new.txt"]


def test_pipes_and_devices_are_written_into_and_stay(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RequestError, match=r"pipe: cannot be written \(nothing reads from it\)"):
        write_text(pipe, "text")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text")
    assert os.read(reader, 10) == b"text" and pipe.is_fifo()
    os.close(reader)
    write_text(Path(os.devnull), "text")
    assert Path(os.devnull).is_char_device()
    assert names(tmp_path) == ["pipe"]
    with pytest.raises(RequestError, match="is a pipe, a device or a socket"):
        check_replaceable(pipe)
    check_replaceable(tmp_path / "new")


@pytest.mark.skipif(sys.platform != "linux", reason="open files have names of another form")
def test_output_that_is_appended_to_a_file_keeps_what_the_file_held(tmp_path: Path) -> None:
    script = "from pathlib import Path\nfrom simset_bench.files import write_text\n"
    script += "write_text(Path('/dev/stdout'), 'second\\n')"
    (tmp_path / "log").write_text("first\n")
    with (tmp_path / "log").open("a") as log:
        subprocess.run([sys.executable, "-c", script], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


def test_a_folder_is_not_written_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(RequestError, match="it is no folder"), whole_folder(tmp_path / "file"):
        pass
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with whole_folder(tmp_path / "link") as temporary:
        (temporary / "new").write_text("new")
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "real") == ["new"]
    assert names(tmp_path) == ["file", "link", "real"]


def test_json_is_written_for_people_and_never_holds_what_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"name": "Zoë", "values": [1, 0.1]})
    assert '"Zoë"' in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Zoë", "values": [1, 0.1]}
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, {"loss": value})
    assert json.loads(path.read_text(encoding="utf-8"))["values"] == [1, 0.1]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_the_hash_of_texts_differs_wherever_the_texts_do(one: list[str], other: list[str]) -> None:
    assert (sha256_of_texts(one) == sha256_of_texts(iter(other))) == (one == other)


def test_the_hash_of_texts_counts_boundaries_and_order() -> None:
    assert len({sha256_of_texts(texts) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], ["abc", ""])}) == 5


def test_texts_that_come_one_at_a_time_have_the_hash_of_all() -> None:
    digest = TextsDigest()
    for text in ("ab", "", "half a pair \ud83d"):
        digest.update(text)
    assert digest.hexdigest() == sha256_of_texts(["ab", "", "half a pair \ud83d"])


def test_a_lock_lets_one_in_at_a_time_and_leaves_nothing(tmp_path: Path) -> None:
    inside, most, turns = 0, 0, []

    def work(number: int) -> None:
        nonlocal inside, most
        for _ in range(20):
            with waiting_lock(tmp_path / "new" / ".lock"):
                inside += 1
                most = max(most, inside)
                turns.append(number)
                time.sleep(0.0005)
                inside -= 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (most, len(turns), names(tmp_path / "new")) == (1, 80, [])


def test_a_killed_process_does_not_keep_a_lock(tmp_path: Path) -> None:
    script = "import sys, time\nfrom pathlib import Path\nfrom simset_bench.files import waiting_lock\n"
    script += "with waiting_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    path = tmp_path / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    with waiting_lock(path):
        pass
    assert names(tmp_path) == []


def test_two_who_make_one_folder_leave_one_of_theirs(tmp_path: Path) -> None:
    def make(number: int) -> None:
        for _ in range(20):
            with whole_folder(tmp_path / "folder") as temporary:
                for name in "ab":
                    (temporary / name).write_text(str(number))

    makers = [threading.Thread(target=make, args=(number,)) for number in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["a", "b"]
    assert len({path.read_text() for path in (tmp_path / "folder").iterdir()}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")
def test_there_is_no_moment_without_a_folder_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("0")
    done, seen = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            seen.append((tmp_path / "folder").is_dir())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 60):
        with whole_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text(str(number))
    done.set()
    reader.join()
    assert len(seen) > 10 and all(seen)
    assert (tmp_path / "folder" / "file").read_text() == "59" and names(tmp_path) == ["folder"]


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "adapter"
    with pytest.raises(OSError, match="stopped"), whole_folder(target) as temporary:
        (temporary / "part").write_text("half")
        raise OSError("stopped")
    assert list((tmp_path / "runs").iterdir()) == []
    for text in ("first", "second"):
        with whole_folder(target) as temporary:
            (temporary / text).write_text(text)
        assert [(path.name, path.read_text()) for path in target.iterdir()] == [(text, text)]
    assert list((tmp_path / "runs").iterdir()) == [target]
