"""Claims: one holder at a time, taken over from the dead and the silent."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from simset_bench.training.sweep.claims import claimed, holders

HOLD = (
    "import sys, time; from pathlib import Path; from simset_bench.training.sweep.claims import claimed\n"
    "with claimed(Path(sys.argv[1]), 'one'):\n    print('held', flush=True); time.sleep(600)"
)


def test_a_claim_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path, "one") as mine:
        assert mine is not None
        with claimed(tmp_path, "one") as other, claimed(tmp_path, "two") as beside:
            assert other is None
            assert beside is not None
    with claimed(tmp_path, "one") as again:
        assert again is not None


def _race(folder: str, won: Any, all_have_tried: Any) -> None:
    with claimed(Path(folder), "one") as claim:
        won.put(claim is not None)
        all_have_tried.wait(60)


def test_of_many_processes_one_gets_the_claim(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    won, all_have_tried = context.Queue(), context.Event()
    racing = [context.Process(target=_race, args=(str(tmp_path), won, all_have_tried)) for _ in range(8)]
    for process in racing:
        process.start()
    outcomes = [won.get(timeout=60) for _ in racing]
    all_have_tried.set()
    for process in racing:
        process.join()
    assert sum(outcomes) == 1


def test_the_claim_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with claimed(tmp_path, "one") as refused:
        assert refused is None
    holder.kill()
    holder.wait()
    with claimed(tmp_path, "one") as taken:
        assert taken is not None


def test_a_silent_claim_of_another_machine_expires_and_its_holder_learns_of_it(tmp_path: Path) -> None:
    with claimed(tmp_path, "one", expiry=3600) as silent:
        assert silent is not None
        path = tmp_path / "one.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "elsewhere"}))
        with claimed(tmp_path, "one", expiry=60) as early:
            assert early is None
        os.utime(path, (time.time() - 120, time.time() - 120))
        with claimed(tmp_path, "one", expiry=60) as late:
            assert late is not None
            token = json.loads(path.read_text())["token"]
        assert token == late.token
    assert not path.exists()


def test_a_claim_is_renewed_with_its_progress(tmp_path: Path) -> None:
    with claimed(tmp_path, "one", expiry=0.4) as claim:
        assert claim is not None
        claim.progress["step"] = 7
        time.sleep(1)
        assert holders(tmp_path)["one"]["progress"] == {"step": 7}
        with claimed(tmp_path, "one", expiry=0.4) as other:
            assert other is None


def test_a_holder_whose_claim_was_taken_over_is_told(tmp_path: Path) -> None:
    with claimed(tmp_path, "one", expiry=0.2) as claim:
        assert claim is not None
        path = tmp_path / "one.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"token": "another"}))
        assert claim.lost.wait(5)
    assert path.exists()


def test_a_claim_dated_tomorrow_does_not_last_until_then(tmp_path: Path) -> None:
    elsewhere = {"token": "t", "host": "elsewhere", "process": 1, "started": None, "progress": {}}
    claim = tmp_path / "one.json"
    claim.write_text(json.dumps(elsewhere))
    with claimed(tmp_path, "one") as refused:
        assert refused is None
    tomorrow = time.time() + 86400
    os.utime(claim, (tomorrow, tomorrow))
    with claimed(tmp_path, "one") as taken:
        assert taken is not None


def test_a_claim_that_no_process_wrote_is_free(tmp_path: Path) -> None:
    here = {"token": "t", "host": socket.gethostname(), "started": None, "progress": {}}
    for content in ("", "[" * 10**5, "7", *(json.dumps(here | {"process": n}) for n in (-1, 0, 10**30, "x", None))):
        (tmp_path / "one.json").write_text(content)
        with claimed(tmp_path, "one") as taken:
            assert taken is not None, content[:80]


def test_what_a_killed_holder_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".one.json.0123abcd.json").write_text("half")
    with claimed(tmp_path, "one") as taken:
        assert taken is not None
    assert list(tmp_path.iterdir()) == []
