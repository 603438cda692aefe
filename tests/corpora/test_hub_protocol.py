"""Data sets of the hub, through the hub's own client, from a server on this machine that speaks the hub's protocol."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import sys
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
for name in sys.argv[1:]:
    try:
        print([fact.case_id for fact in read_facts(name)] if "facts" in name else [d.id for d in load_corpus(name)])
    except RequestError as error:
        print(error)
"""


class _Hub(BaseHTTPRequestHandler):
    """Data sets in folders `OWNER/NAME` below `root`."""

    root: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        place, *parts = self.path.partition("?")[0].removeprefix("/api").strip("/").split("/")
        folder = self.root.joinpath(*parts[:2])
        if place != "datasets" or not folder.is_dir():
            return self._send(404, b"", "RepoNotFound", body)
        if self.path.startswith("/api"):
            files = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0"}
                for file in folder.iterdir()
            ]
            whole = {"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": [], "tags": [], "private": False}
            return self._send(200, json.dumps(files if "tree" in parts else whole).encode(), None, body)
        file = folder.joinpath(*parts[4:])
        if not file.is_file():
            return self._send(404, b"", "EntryNotFound", body)
        return self._send(200, file.read_bytes(), None, body)

    def _send(self, status: int, content: bytes, reason: str | None, body: bool) -> None:
        self.send_response(status)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Error-Code": reason}
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    root = tmp_path / "hub"
    rows = [{"id": "first", "text": "a lighthouse"}, {"id": "second", "text": "a herring"}]
    target = {"prompt": "{} is by", "subject": "Emma", "target_true": {"str": "a"}, "target_new": {"str": "b"}}
    records = [
        {"case_id": number, "requested_rewrite": target, "paraphrase_prompts": [], "neighborhood_prompts": []}
        for number in (3, 4)
    ]
    for name, lines in {"someone/rows": rows, "someone/facts": records}.items():
        (root / name).mkdir(parents=True)
        (root / name / "train.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"root": root}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def load(names: list[str], endpoint: str, home: Path) -> list[str]:
    """What each name holds, in a process of its own, since the hub's client reads its settings once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", PROGRAM, *names]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home.parent)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.slow
def test_data_sets_come_from_the_hub_and_then_from_its_cache(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    names = ["hub:someone/rows", "hub:someone/facts"]
    rows, facts, split, nobody = load(
        [*names, "hub:someone/rows::test", "hub:nobody/rows"], endpoint, tmp_path / "home"
    )
    assert (rows, facts) == ("['first', 'second']", "['3', '4']")
    assert split.startswith("hub:someone/rows cannot be loaded (Bad split: test.")
    assert nobody.startswith("hub:nobody/rows cannot be loaded (Dataset 'nobody/rows' doesn't exist on the Hub")

    hub.shutdown()
    hub.server_close()
    rows, facts = load(names, endpoint, tmp_path / "home")
    # Facts are fetched whole, and so kept; a corpus is streamed, and nothing of it stays here.
    assert facts == "['3', '4']"
    assert rows.startswith(f"hub:someone/rows needs a network: {endpoint} does not answer")
