"""Evaluating runs and bases as the command does: what is written, in which order, and what is refused."""

import contextlib
import errno
import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from simset_bench.errors import RequestError
from simset_bench.evaluation import result_files
from simset_bench.evaluation import run as evaluation
from simset_bench.evaluation.all_runs import evaluate_all
from simset_bench.evaluation.baseline import evaluate_baseline, evaluate_baselines_of
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.models.loading import load_base
from simset_bench.results.read import read_runs
from simset_bench.training.qa_finetune import question_pairs

ASKED = EvalRequest(("docmem",), limit=2)


@pytest.fixture
def copied_run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, without evaluations, that a test may harm."""
    folder = Path(shutil.copytree(trained_run, tmp_path / "run", ignore=shutil.ignore_patterns("eval")))
    assert not (folder / "eval").exists()
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that evaluation loads, by name, as it loads them."""
    names: list[str] = []

    def loading(name: str, *options: str) -> object:
        names.append(name)
        return load_base(name, *options)

    monkeypatch.setattr(evaluation, "load_base", loading)
    return names


def eval_files(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_several_runs_of_one_base_load_it_once_and_score_as_alone(
    run_of: Callable[..., Path], loads: list[str]
) -> None:
    runs = [run_of(), run_of(allocation="none"), run_of(mem_seed=1)]
    together = evaluate_runs(runs, ASKED)
    assert len(loads) == 1
    assert [result["run"] for result in together] == [str(run) for run in runs]
    alone = [evaluate_runs([run], ASKED)[0] for run in reversed(runs)][::-1]
    assert [result["measures"] for result in together] == [result["measures"] for result in alone]
    assert len({result["measures"]["nll"] for result in together}) == 3


def test_a_run_named_twice_is_asked_once(trained_run: Path) -> None:
    assert len(evaluate_runs([trained_run, trained_run], ASKED)) == 1


def test_an_evaluation_leaves_result_samples_and_rows(copied_run: Path) -> None:
    (result,) = evaluate_runs([copied_run], replace(ASKED, recall="oracle"))
    files = ["docmem.oracle.json", "docmem.oracle.samples.jsonl"]
    files += ["rows_oracle/docmem.jsonl", "rows_oracle/docmem_continuation.jsonl"]
    assert list(eval_files(copied_run / "eval")) == files
    written = json.loads((copied_run / "eval" / files[0]).read_text())
    assert {"run": str(copied_run)} | written == result
    assert written["limit"] == 2 and written["recall"] == "oracle" and written["dtype"] == "float32"
    records = [json.loads(line) for line in (copied_run / "eval" / files[1]).read_text().splitlines()]
    assert len(records) == 4
    assert {"document", "sample", "measures", "arguments", "responses", "doc_hash", "prompt_hash"} <= set(records[0])


def clustered_error(records: list[dict], measure: str, cluster: Callable[[dict], str], weight: str | None) -> float:
    """Standard error of a (weighted) mean by a plain loop over clusters: residuals of one cluster add up first."""
    having = [record for record in records if measure in record["measures"]]
    weights = [record[weight] if weight else 1.0 for record in having]
    values = [record["measures"][measure] for record in having]
    mean = sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)
    residuals: dict[str, float] = {}
    for record, w, x in zip(having, weights, values, strict=True):
        residuals[cluster(record)] = residuals.get(cluster(record), 0.0) + w * (x - mean)
    groups = len(residuals)
    assert 1 < groups < len(having), "several samples a cluster, or this tests nothing"
    return math.sqrt(groups / (groups - 1) * sum(r**2 for r in residuals.values())) / sum(weights)


def test_standard_errors_are_clustered_by_document_or_subject(run_of: Callable[..., Path]) -> None:
    run = run_of(max_tokens=20)
    docmem, counterfact = evaluate_runs([run], EvalRequest(("docmem", "counterfact"), limit=8))
    segments, probes = (
        [json.loads(line) for line in (run / "eval" / f"{task}.free.samples.jsonl").read_text().splitlines()]
        for task in ("docmem", "counterfact")
    )
    error = clustered_error(segments, "nll", lambda record: record["document"], "tokens")
    assert docmem["standard_errors"]["nll"] == pytest.approx(error)
    assert docmem["standard_errors"]["perplexity"] == pytest.approx(error * docmem["measures"]["perplexity"])
    error = clustered_error(segments, "rouge_l", lambda record: record["document"], None)
    assert docmem["standard_errors"]["rouge_l"] == pytest.approx(error)
    # A built-in case is named after its relation and subject, and a subject has several relations.
    error = clustered_error(
        probes, "nll_true_paraphrase", lambda record: record["sample"].split("/")[0].split("-", 2)[2], None
    )
    assert counterfact["standard_errors"]["nll_true_paraphrase"] == pytest.approx(error)


def test_evaluating_again_gives_the_same_bytes(copied_run: Path) -> None:
    asked = EvalRequest(("docmem", "counterfact", "location", "doccloze", "damage"), limit=2)
    found = []
    for _ in range(2):
        evaluate_runs([copied_run], asked)
        files = eval_files(copied_run / "eval")
        results = {name: json.loads(text) for name, text in files.items() if name.count(".") == 2}
        found.append(({name: text for name, text in files.items() if name not in results}, results))
    for results in (found[0][1], found[1][1]):
        for result in results.values():
            del result["seconds"]
    assert found[0] == found[1]


def test_data_of_ones_own_stands_beside_the_builtin(copied_run: Path, format_data: Path) -> None:
    source = str(format_data / "counterfact" / "rome_format.json")
    evaluate_runs([copied_run], EvalRequest(("counterfact",), limit=1))
    (result,) = evaluate_runs([copied_run], EvalRequest(("counterfact",), limit=1, data=source))
    assert (result["task"], result["label"], result["data"]) == ("counterfact", "counterfact:rome_format", source)
    names = [path.name for path in sorted((copied_run / "eval").glob("*.json"))]
    assert names == ["counterfact-rome_format.free.json", "counterfact.free.json"]


def test_qa_finetuning_is_reported_before_and_after(copied_run: Path) -> None:
    memory = load_file(copied_run / "memory.safetensors")
    asked = EvalRequest(("counterfact", "location"), limit=2, qa_finetune=True)
    before, location, after = evaluate_runs([copied_run], asked)
    assert [result["qa_finetuned"] for result in (before, location, after)] == [False, False, True]
    assert before["measures"] != after["measures"]
    assert before["data_sha256"] == after["data_sha256"], "both were asked the same"
    assert (copied_run / "eval" / "counterfact.free.json").is_file()
    assert (copied_run / "eval" / "counterfact.free.qa.json").is_file()
    assert after["qa_pairs"] >= 50 and before["qa_pairs"] is None
    assert "majority_answer" not in before["measures"] and after["n"]["majority_answer"] == 2
    assert all(torch.equal(memory[name], found) for name, found in load_file(copied_run / "memory.safetensors").items())
    # The base came back: a third evaluation scores as the first.
    (again,) = evaluate_runs([copied_run], EvalRequest(("counterfact",), limit=2))
    assert again["measures"] == before["measures"]


def test_pairs_with_targets_of_their_own_give_results_of_their_own(copied_run: Path) -> None:
    asked = EvalRequest(("counterfact",), limit=4, qa_finetune=True)
    before, shared = evaluate_runs([copied_run], asked)
    _, apart = evaluate_runs([copied_run], replace(asked, qa_disjoint="targets"))
    assert [result["qa_disjoint"] for result in (before, shared, apart)] == [None, "subjects", "targets"]
    assert apart["measures"]["majority_answer"] == 0 and apart["qa_pairs"] >= 50
    assert apart["qa_pairs_sha256"] != shared["qa_pairs_sha256"]
    assert (copied_run / "eval" / "counterfact.free.qa-targets.json").is_file()
    assert (copied_run / "eval" / "counterfact.free.qa.json").is_file()
    assert {result["qa_disjoint"] for result in evaluate_all([copied_run], asked).kept} == {None, "subjects"}
    measures = set(read_runs([copied_run]).values["measure"])
    names = ("counterfact/f1", "counterfact/f1+qa", "counterfact/f1+qa-targets", "counterfact/majority_answer+qa")
    assert measures >= set(names) and "counterfact/majority_answer" not in measures


def test_qa_pairs_are_about_nothing_that_is_probed(
    run_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the very pairs and rows of an evaluation whose documents are about subjects of the pairs."""
    subjects = list(dict.fromkeys(pair.subject for pair in question_pairs([])))[:2]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "".join(json.dumps({"title": s, "text": "A mill is told of here, in 1901."}) + "\n" for s in subjects)
    )
    run = run_of(corpus=f"jsonl:{corpus}", num_docs=2, epochs=1)
    taught: list[str] = []
    real = evaluation.qa_finetuned

    def spied(base: object, pairs: list, *options: object) -> object:
        taught.extend(pair.subject for pair in pairs)
        return real(base, pairs, *options)

    monkeypatch.setattr(evaluation, "qa_finetuned", spied)
    evaluate_runs([run], EvalRequest(("docmem", "counterfact"), limit=10, qa_finetune=True))
    rows = [json.loads(line) for path in (run / "eval" / "rows_free").iterdir() for line in path.open()]
    probed = [row["prompt"].casefold() for row in rows] + [(row.get("subject") or "").casefold() for row in rows]
    assert taught and not set(taught) & set(subjects)
    for subject in set(taught):
        assert not any(subject.casefold() in text for text in probed), subject


def test_a_baseline_asks_the_untouched_base_about_the_same_documents(
    trained_run: Path, tmp_path: Path, loads: list[str], run_of: Callable[..., Path]
) -> None:
    (first,) = evaluate_baselines_of([trained_run, run_of(allocation="none")], replace(ASKED, limit=None), tmp_path)
    assert len(loads) == 1, "two runs about the same documents have one baseline"
    about = {"model": loads[0], "corpus": corpus_of(trained_run), "num_docs": 8, "max_tokens": 128}
    (second,) = evaluate_baseline(about, EvalRequest(("docmem",), dtype="float32", device="cpu"), tmp_path)
    assert first["run"] == second["run"] and first["measures"] == second["measures"]
    (run,) = evaluate_runs([trained_run], EvalRequest(("docmem",)))
    assert run["data_sha256"] == first["data_sha256"]
    assert run["measures"]["nll"] < first["measures"]["nll"] / 2
    table = read_runs([tmp_path])
    assert table.runs["allocation"].tolist() == ["base"] and not table.left_out


def test_results_of_a_baseline_are_never_of_two_bases_or_two_corpora(tiny_llama: Path, tmp_path: Path) -> None:
    model, corpus = Path(shutil.copytree(tiny_llama, tmp_path / "base")), tmp_path / "texts.jsonl"
    corpus.write_text('{"id": "a", "text": "The Alda flows to the sea."}\n')
    about = {"model": str(model), "corpus": f"jsonl:{corpus}", "num_docs": 1}
    asked = EvalRequest(("docmem",), dtype="float32", device="cpu")
    (before,) = evaluate_baseline(about, asked, tmp_path / "outputs")
    settings, text = model / "config.json", corpus.read_text()
    kept = settings.read_text(encoding="utf-8")
    settings.write_text(json.dumps(json.loads(kept) | {"rms_norm_eps": 0.01}), encoding="utf-8")
    with pytest.raises(RequestError, match=r"holds results of the base as it was \(its configuration"):
        evaluate_baseline(about, asked, tmp_path / "outputs")
    settings.write_text(kept, encoding="utf-8")
    corpus.write_text(text.replace("sea", "lake"))
    with pytest.raises(RequestError, match=r"holds results of the base as it was \(its documents"):
        evaluate_baseline(about, asked, tmp_path / "outputs")
    corpus.write_text(text)
    (after,) = evaluate_baseline(about, asked, tmp_path / "outputs")
    assert after["measures"] == before["measures"]


def corpus_of(run: Path) -> str:
    (line,) = [line for line in (run / "config.yaml").read_text().splitlines() if line.startswith("corpus:")]
    return line.removeprefix("corpus: ")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (EvalRequest(()), "--task: name at least one"),
        (EvalRequest(("docmem",), limit=0), "--limit 0: must be at least 1"),
        (EvalRequest(("docmem",), recall="fre"), r"unknown --recall 'fre' \(did you mean 'free'\?\)"),
        (EvalRequest(("location",), qa_finetune=True), "--qa-finetune: task location asks no questions"),
        (
            EvalRequest(("docmem",), qa_disjoint="target"),
            r"unknown --qa-disjoint 'target' \(did you mean 'targets'\?\)",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(trained_run: Path, asked: EvalRequest, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        evaluate_runs([trained_run], asked)


@pytest.mark.parametrize("asked", [EvalRequest(("location",)), EvalRequest(("docmem",), recall="oracle")])
def test_a_bare_base_has_no_memory_to_ask_about(asked: EvalRequest, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="of which a bare base has none"):
        evaluate_baseline({"model": "smollm2-135m"}, asked, tmp_path)


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json", "allocation.parquet", "memory.safetensors"])
@pytest.mark.parametrize("harm", ["missing", "cut", "garbage"])
def test_a_missing_or_damaged_file_is_named(copied_run: Path, name: str, harm: str, loads: list[str]) -> None:
    path = copied_run / name
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if harm == "cut" else b"\x00garbage")
    with pytest.raises(RequestError, match=f"run/{name}: "):
        evaluate_runs([copied_run], ASKED)
    assert not loads and not (copied_run / "eval").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nowhere: there is no such run folder"):
        evaluate_runs([tmp_path / "nowhere"], ASKED)
    with pytest.raises(RequestError, match=r"config.yaml: missing, so .* is no run folder"):
        evaluate_runs([tmp_path], ASKED)


def test_a_base_whose_weights_have_changed_is_refused(
    run_of: Callable[..., Path], tiny_llama: Path, tmp_path: Path
) -> None:
    """A memory is of one base: on another its figures would be noise that looks like a result."""
    model = Path(shutil.copytree(tiny_llama, tmp_path / "base"))
    run = run_of(model=str(model), epochs=1)
    evaluate_runs([run], ASKED)
    base = load_base(str(model), "float32", "cpu")
    base.model.lm_head.weight.data[0, 0] += 1
    base.model.save_pretrained(model)
    with pytest.raises(RequestError, match=r"is no longer the one .* \(its weights changed"):
        evaluate_runs([run], ASKED)


def test_a_base_whose_configuration_has_changed_is_refused(
    run_of: Callable[..., Path], tiny_llama: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_llama, tmp_path / "base"))
    run = run_of(model=str(model), epochs=1)
    settings = model / "config.json"
    changed = json.loads(settings.read_text(encoding="utf-8")) | {"rms_norm_eps": 0.01}
    settings.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(RequestError, match=r"is no longer the one .* \(its configuration"):
        evaluate_runs([run], ASKED)
    # A run of before the other files counted is compared by its weights alone.
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["hashes"]["model"] = manifest["hashes"]["model"].rpartition(":")[0]
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    evaluate_runs([run], ASKED)


def test_oracle_recall_of_documents_without_entries_is_refused(trained_run: Path) -> None:
    with pytest.raises(RequestError, match="task damage: --recall oracle needs samples about memorised documents"):
        evaluate_runs([trained_run], EvalRequest(("damage",), recall="oracle"))


def test_a_diverged_memory_is_an_error_and_leaves_no_result(copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = evaluation.open_run

    def diverged(folder: Path) -> object:
        run = real(folder)
        run.memory.down_bias.data[:] = float("nan")
        return run

    monkeypatch.setattr(evaluation, "open_run", diverged)
    with pytest.raises(RuntimeError, match="task docmem: nll is nan"):
        evaluate_runs([copied_run], ASKED)
    assert not (copied_run / "eval").exists()


def test_no_result_stands_on_samples_of_another_evaluation(copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no room on the disk between the two files, the older result does not stay beside the newer samples."""
    evaluate_runs([copied_run], EvalRequest(("docmem",), limit=4))

    def full(path: Path, _value: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(result_files, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        evaluate_runs([copied_run], ASKED)
    assert (copied_run / "eval" / "docmem.free.samples.jsonl").read_text().count("\n") == 4
    assert not (copied_run / "eval" / "docmem.free.json").exists()


def _evaluate_forever(run: Path) -> None:
    while True:
        evaluate_runs([run], EvalRequest(("docmem", "location", "damage"), limit=2))


@pytest.mark.slow
def test_a_killed_evaluation_leaves_nothing_half_written(copied_run: Path) -> None:
    """Killed over and over at odd moments, results that are there stand on the samples that are there."""
    evaluate_runs([copied_run], EvalRequest(("docmem", "location", "damage"), limit=8))
    for pause in (0.0, 0.013, 0.029, 0.041, 0.057, 0.071):
        worker = multiprocessing.get_context("spawn").Process(target=_evaluate_forever, args=(copied_run,))
        worker.start()
        wait_for_limit_2(copied_run)
        time.sleep(pause)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        for path in (copied_run / "eval").glob("[!.]*.json"):
            result = json.loads(path.read_text())
            samples = [json.loads(line) for line in path.with_suffix(".samples.jsonl").read_text().splitlines()]
            scored = [sample["measures"] for sample in samples]
            for name, count in result["n"].items():
                if name in scored[0] and "base" not in name:
                    assert sum(name in measures for measures in scored) == count
    assert not read_runs([copied_run]).left_out
    evaluate_runs([copied_run], EvalRequest(("docmem", "location", "damage"), limit=2))
    assert not list((copied_run / "eval").glob(".*")), "what was left unfinished is cleared by the next evaluation"


def wait_for_limit_2(run: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        # A result is away while the samples that it will stand on are written.
        with contextlib.suppress(FileNotFoundError):
            if json.loads((run / "eval" / "docmem.free.json").read_text())["limit"] == 2:
                return
        time.sleep(0.01)
    raise AssertionError("the evaluation did not begin")
