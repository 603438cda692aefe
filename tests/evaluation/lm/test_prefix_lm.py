"""Answers and scores after a document's prefix, against the base reading the tokens that the prefix is of."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance

from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.at_work import PrefixesAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.models.loading import Base
from simset_bench.models.prefixes import Prefixes, PrefixShape, keys_and_values
from simset_bench.training.open_run import PrefixedRun, open_run

BEFORE = {"a": [1, 30, 40, 50, 60], "b": [1, 99, 98, 97, 96]}


@pytest.fixture(params=["llama", "gpt_neox"])
def asked(tiny_base: Callable[[str], Base], request: pytest.FixtureRequest) -> tuple[MemoryLM, PrefixesAtWork]:
    """A model, and prefixes that are keys and values of the tokens in `BEFORE`."""
    base = tiny_base(request.param)
    given = [keys_and_values(base, ids) for ids in BEFORE.values()]
    blocks, _, heads, tokens, width = given[0].shape
    prefixes = Prefixes(PrefixShape(2, blocks, heads, tokens, width))
    for number, each in enumerate(given):
        prefixes.begin(number, each)
    number_of = {name: number for number, name in enumerate(BEFORE)}
    return MemoryLM(base, batch_size=4), PrefixesAtWork(prefixes.requires_grad_(False), number_of)


def test_scores_are_those_after_the_prefixs_tokens(asked: tuple[MemoryLM, PrefixesAtWork]) -> None:
    lm, at_work = asked
    texts = [("The old mill", " was built", "a"), ("The old mill", " was built", "b"), ("A ferry", " crossed", "a")]
    requests = [
        Instance("loglikelihood", {"document": document}, (context, rest), number)
        for number, (context, rest, document) in enumerate(texts)
    ]
    with lm.prefixed(at_work):
        scores = lm.loglikelihood(requests)
    for (context, rest, document), (score, _) in zip(texts, scores, strict=True):
        first, last = lm._encode_pair(context, rest)
        ids = [*BEFORE[document], *first, *last]
        logs = lm.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        expected = sum(logs[len(ids) - len(last) - 1 + place, token].item() for place, token in enumerate(last))
        # Sums of a few log-probabilities from float32 logits of size 10.
        assert score == pytest.approx(expected, abs=1e-3)
    assert abs(scores[0][0] - scores[1][0]) > 0.01


def test_answers_are_those_after_the_prefixs_tokens_whatever_is_beside_them(
    asked: tuple[MemoryLM, PrefixesAtWork],
) -> None:
    lm, at_work = asked
    prompts = [("The old mill", "a"), ("A ferry has crossed the lake", "a"), ("The old mill", "b")]
    options = {"until": ["\n\n\n"], "do_sample": False, "max_gen_toks": 8}
    requests = [
        Instance("generate_until", {"document": document}, (prompt, options), number)
        for number, (prompt, document) in enumerate(prompts)
    ]
    with lm.prefixed(at_work):
        answers = lm.generate_until(requests)
    for (prompt, document), answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([[*BEFORE[document], *lm.tok_encode(prompt)]])
        written = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert answer == lm.tok_decode(written[0, ids.shape[1] :])
    assert lm.prefix_tokens == 0


def test_a_text_about_another_document_has_no_prefix_and_a_sample_that_names_none_is_refused(
    asked: tuple[MemoryLM, PrefixesAtWork],
) -> None:
    lm, at_work = asked
    about_another = Instance("loglikelihood", {"document": "c"}, ("The old mill", " was"), 0)
    bare = lm.loglikelihood([about_another])
    with lm.prefixed(at_work):
        assert lm.loglikelihood([about_another])[0][0] == pytest.approx(bare[0][0], abs=1e-3)
        with pytest.raises(RequestError, match="need the document of each sample"):
            lm.loglikelihood([Instance("loglikelihood", {}, ("The old mill", " was"), 0)])


def test_a_cartridge_is_asked_by_its_document_and_by_a_router(run_of_method: Callable[[str], Path]) -> None:
    folder, bare = run_of_method("cartridge"), run_of_method("none")
    assert isinstance(open_run(folder), PrefixedRun)
    (none,) = evaluate_runs([bare], EvalRequest(("docmem",), limit=4))
    (oracle,) = evaluate_runs([folder], EvalRequest(("docmem",), recall="oracle", limit=4))
    (routed,) = evaluate_runs([folder], EvalRequest(("docmem",), recall="routed", limit=4))
    assert oracle["measures"]["nll"] < 0.6 * none["measures"]["nll"]
    # A whole text follows no prompt, from which a router could find its document; a continuation follows one.
    assert routed["measures"]["nll"] == pytest.approx(none["measures"]["nll"], abs=1e-3)
    assert routed["measures"]["edit_similarity"] > none["measures"]["edit_similarity"]
    assert 0 < routed["measures"]["routed_at_1"] <= 1


@pytest.mark.parametrize(
    ("task", "recall", "message"),
    [
        ("docmem", "free", "--recall free: method cartridge has a prefix for each document, so ask it with --recall"),
        ("docmem", "erased", "--recall erased is about entries, of which method cartridge has none"),
        ("location", "oracle", "task location measures entries, of which method cartridge has none"),
        ("memorisation", "oracle", "task memorisation: method cartridge puts prefixes before the prompts of tasks"),
    ],
)
def test_what_a_cartridge_cannot_be_asked_is_said(
    run_of_method: Callable[[str], Path], task: str, recall: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        evaluate_runs([run_of_method("cartridge")], EvalRequest((task,), recall=recall, limit=2))
