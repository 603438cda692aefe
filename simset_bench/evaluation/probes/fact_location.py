"""Where a fact lies: what is lost of it without its document's entries, and without other entries."""

import numpy as np
import torch
from torch import Tensor

from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.fact_bits import AskedFacts, asked_facts, fact_bits
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.loading import Base
from simset_bench.models.memory import BlockMemory, attached
from simset_bench.models.split import hidden_states
from simset_bench.training.closed_facts import FORMS

DOCUMENTS = 64
# The wording of the document itself: training pressed the activation of these very tokens onto its entries.
FORM = "stated"
BATCH = 32
SEED = 0


@torch.no_grad()
def fact_location(subject: Subject, options: TaskOptions) -> Scored:
    """Bits of each fact of the first documents, `--limit` of them [64], that are lost without some entries.

    The fact is asked in the words of its document, up to its value. k is the number of the document's own entries.
    - `bits_before`: in the recall mode, before anything is erased
    - `bits_lost_own_entries`: lost without the document's own entries
    - `bits_lost_active_entries`: lost without the k other entries that are most active at the prompt's last token, from
      which the value is predicted
    - `bits_lost_random_entries`: lost without k other entries drawn by a fixed seed
    - `on_share_last`: share of the activation energy at that token that lies on the document's entries
    - `entry_share`: share of the memory's entries that are the document's

    Where the document has more than half of all entries, all others stand for k others; where it has all, only its own
    are erased. Raises RequestError where the documents have no facts, or where the base cannot be asked for them.
    """
    run, base = subject.memory_run, subject.lm.base
    layer = int(run.config.layer)
    documents = subject.documents[: options.limit or DOCUMENTS]
    facts = [(number, fact) for number, document in enumerate(documents) for fact in document.facts]
    if not facts:
        corpus = subject.config.corpus
        raise RequestError(f"task fact_location: corpus {corpus} has no facts about people (people:... has)")
    asked = asked_facts(subject.lm, layer, [fact for _, fact in facts], FORM)
    if asked is None:
        raise RequestError(f"task fact_location: {base.name} cannot be asked for facts")
    owners = [number for number, _ in facts]
    used = torch.from_numpy(run.multipliers(owners, options.recall)).to(base.device)
    own = run.allocation.mask(owners)
    memory = run.memory.to(base.device)
    energies = (last_activations(base, layer, memory, asked) * used).double().square().cpu().numpy()
    erased = {"own": own} | other_entries(energies, own)
    with attached(base.model, base.blocks[layer], memory) as active:
        bits, _ = fact_bits(active, base.model, asked, used)
        lost = {}
        for name, entries in erased.items():
            left = used * torch.from_numpy(~entries).to(base.device)
            lost[name] = bits - fact_bits(active, base.model, asked, left)[0]
    on_share = np.where(own, energies, 0.0).sum(1) / energies.sum(1).clip(1e-30)
    records = []
    for place, (number, fact) in enumerate(facts):
        measures = {f"bits_lost_{name}_entries": float(values[place]) for name, values in lost.items()}
        measures |= {"bits_before": float(bits[place]), "on_share_last": float(on_share[place])}
        measures["entry_share"] = float(own[place].mean())
        records.append(record(documents[number], fact.id, FORMS[FORM](fact), measures))
    return scored(records)


def last_activations(base: Base, layer: int, memory: BlockMemory, asked: AskedFacts) -> Tensor:
    """The memory's activations at the last token of each prompt: (facts, entries) float32."""
    prompts = [request.prompt for request in asked.requests]
    parts = []
    for start in range(0, len(prompts), BATCH):
        chosen = [torch.tensor(prompt) for prompt in prompts[start : start + BATCH]]
        ids = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=base.tokenizer.pad_token_id)
        hidden = hidden_states(base, layer, ids.to(base.device))
        last = torch.tensor([len(prompt) - 1 for prompt in chosen], device=base.device)
        parts.append(memory.activations(hidden[torch.arange(len(chosen), device=base.device), last]))
    return torch.cat(parts)


def other_entries(energies: np.ndarray, own: np.ndarray) -> dict[str, np.ndarray]:
    """As many other entries of each fact as `own` has, the most active and random ones: masks (facts, entries) bool.

    energies: (facts, entries), own: (facts, entries) bool. Ties go to the entry of the lower number. All others where
    there are fewer; nothing where every entry of some fact is its own.
    """
    if own.all(1).any():
        return {}
    return {"active": _first_others(-energies, own), "random": _first_others(_random(energies.shape), own)}


def _random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(SEED).random(shape)


def _first_others(order: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Mask of the entries that come first in each row's `order` and are not in `own`, as many as `own` has."""
    chosen = np.zeros_like(own)
    ranks = np.where(own, np.inf, order).argsort(axis=1, kind="stable")
    for row, count in enumerate(own.sum(1)):
        chosen[row, ranks[row, : min(count, (~own[row]).sum())]] = True
    return chosen
