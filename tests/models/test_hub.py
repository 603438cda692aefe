"""Models of the hub, through the hub's own client, from a server on this machine that speaks the hub's protocol."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from simset_bench.models import hub as hub_module

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = "meta-llama/Llama-2-7b-hf"


class _Hub(BaseHTTPRequestHandler):
    """One repository, `someone/tiny`, and one that wants its terms accepted."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        parts = path.strip("/").split("/")
        if path.startswith(f"/{GATED}/"):
            return self._refuse(403, "GatedRepo")
        if parts[:3] == ["api", "models", "someone"]:
            files = [{"type": "file", "path": file.name, "size": 1, "oid": "0"} for file in self.folder.iterdir()]
            content = json.dumps(files if "tree" in parts else {"id": "someone/tiny", "sha": COMMIT}).encode()
        elif parts[:3] == ["someone", "tiny", "resolve"]:
            file = self.folder.joinpath(*parts[4:])
            if not file.is_file():
                return self._refuse(404, "EntryNotFound")
            content = file.read_bytes()
        else:
            return self._refuse(404, "RepoNotFound")
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def _refuse(self, status: int, reason: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", reason)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tiny_neox: Path) -> Iterator[ThreadingHTTPServer]:
    handler = type("Hub", (_Hub,), {"folder": tiny_neox})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def load(names: list[str], endpoint: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Load models, a line each, in a process of its own, since the hub's client reads its settings once."""
    program = (
        "import sys; from simset_bench.models.loading import load_base; from simset_bench.errors import RequestError\n"
        "for name in sys.argv[1:]:\n"
        "    try: base = load_base(name, 'float32', 'cpu'); print(base.name, base.revision, len(base.blocks))\n"
        "    except RequestError as error: print(error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", program, *names]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True)


@pytest.mark.parametrize(
    "index", ["[" * 100_000, '{"weight_map": []}', "{", '{"weight_map": {"a": "gone.safetensors"}}']
)
def test_a_model_in_the_cache_whose_index_is_damaged_is_not_there(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--someone--large"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    snapshot = cached / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors.index.json").write_text(index)
    monkeypatch.setattr(hub_module, "try_to_load_from_cache", partial(try_to_load_from_cache, cache_dir=tmp_path))
    assert hub_module.commit_in_cache("someone/large") is None
    (snapshot / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part.safetensors"}}')
    (snapshot / "part.safetensors").touch()
    assert hub_module.commit_in_cache("someone/large") == COMMIT


@pytest.mark.slow
def test_hub_models_load_by_their_commit_and_then_without_a_network(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    with_network = load(["someone/tiny", "someone/else", "llama-2-7b"], endpoint, tmp_path)
    assert with_network.stderr == ""
    assert with_network.stdout.splitlines() == [
        f"tiny {COMMIT} 4",
        "model someone/else: no such folder here, and no such model on the hub",
        f"model {GATED}: the hub wants its terms accepted first, at {endpoint}/{GATED}; "
        "then name yourself with `hf auth login`",
    ]

    hub.shutdown()
    hub.server_close()
    without = load(["someone/tiny", "pythia-70m"], endpoint, tmp_path)
    # Nor is it told of retries, of which the hub's client alone would make a minute's worth.
    assert without.stderr == "the hub does not answer: someone/tiny is taken from its local cache\n"
    tiny, pythia = without.stdout.splitlines()
    assert tiny == f"tiny {COMMIT} 4"
    assert pythia.startswith(
        "model pythia-70m: the hub, which may have EleutherAI/pythia-70m, does not answer; here now:"
    )
    assert pythia.endswith("or name a local folder or a .gguf file")
