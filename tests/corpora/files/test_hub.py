"""Data sets of the hub: without a network, from rows at hand, and from a server here that speaks the hub's protocol."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]
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


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub stands where nothing listens."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_network")
def test_without_a_network_the_local_choices_are_named() -> None:
    with pytest.raises(RequestError) as error:
        load_corpus("hub:Salesforce/wikitext:wikitext-103-v1", num_docs=2)
    message = str(error.value)
    assert message.startswith("hub:Salesforce/wikitext needs a network: http://127.0.0.1:9 does not answer")
    assert "without a network use vital, squad:FILE, wikitext:FILE, jsonl:FILE or text:FOLDER" in message


@pytest.mark.usefixtures("no_network")
def test_without_a_network_counterfact_names_builtin_and_files() -> None:
    with pytest.raises(RequestError, match="without a network use builtin or a file in ROME's or EasyEdit's format"):
        read_facts("hub:azhx/counterfact")


def test_a_data_set_that_breaks_off_is_refused(write: Write, tmp_path: Path) -> None:
    write("rows/train.jsonl", '{"text": "fine"}\n{"text": "broken')
    with pytest.raises(RequestError, match=r"rows cannot be read to its end \("):
        load_corpus(f"hub:{tmp_path / 'rows'}")
    with pytest.raises(RequestError, match=r"rows cannot be loaded \("):
        read_facts(f"hub:{tmp_path / 'rows'}")


def test_counterfact_records_of_a_data_set_are_those_of_a_file(format_data: Path, write: Write, tmp_path: Path) -> None:
    records = json.loads((format_data / "counterfact" / "rome_format.json").read_text())[:40]
    write("rows/train.jsonl", "\n".join(json.dumps(record) for record in records[:15]))
    write("rows/test.jsonl", "\n".join(json.dumps(record) for record in records[15:]))
    file = write("facts.json", json.dumps(records))
    assert read_facts(f"hub:{tmp_path / 'rows'}") == read_facts(str(file))


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
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
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
    answering = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"root": root}))
    threading.Thread(target=answering.serve_forever, daemon=True).start()
    yield answering
    answering.shutdown()
    answering.server_close()


def load(names: list[str], endpoint: str, home: Path) -> list[str]:
    """What each name holds, in a process of its own, since the hub's client reads its settings once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", PROGRAM, *names]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home.parent)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.slow
def test_data_sets_come_from_the_hub_and_then_from_its_cache(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{server.server_port}"
    names = ["hub:someone/rows", "hub:someone/facts"]
    rows, facts, split, nobody = load(
        [*names, "hub:someone/rows::test", "hub:nobody/rows"], endpoint, tmp_path / "home"
    )
    assert (rows, facts) == ("['first', 'second']", "['3', '4']")
    assert split.startswith("hub:someone/rows cannot be loaded (Bad split: test.")
    assert nobody.startswith("hub:nobody/rows cannot be loaded (Dataset 'nobody/rows' doesn't exist on the Hub")

    server.shutdown()
    server.server_close()
    rows, facts = load(names, endpoint, tmp_path / "home")
    # Facts are fetched whole, and so kept; a corpus is streamed, and nothing of it stays here.
    assert facts == "['3', '4']"
    assert rows.startswith(f"hub:someone/rows needs a network: {endpoint} does not answer")
