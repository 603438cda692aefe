"""`simset-bench models` as a user types it."""

import json

from typer.testing import CliRunner

from simset_bench.cli.app import app


def run(*options: str) -> str:
    done = CliRunner().invoke(app, ["models", *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_models_lists_every_preset_and_whether_it_is_here() -> None:
    listed = json.loads(run("--json"))["models"]
    assert {"smollm2-135m", "pythia-70m", "pythia-6.9b", "llama-2-7b", "llama-2-13b"} <= {m["name"] for m in listed}
    for model in listed:
        assert set(model) == {"name", "type", "blocks", "width", "source", "location", "here"}
        assert isinstance(model["here"], bool)
    table = run()
    assert all(model["name"] in table for model in listed)
    assert "here now" in table
