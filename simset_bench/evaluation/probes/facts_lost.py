"""The price of shared entries in facts: what is lost about relatives and strangers when a person is erased."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.probes.fact_bits import asked_facts, fact_bits
from simset_bench.evaluation.probes.kin import most_similar_first, relatives, similarities, word_sets
from simset_bench.evaluation.subject import Subject
from simset_bench.models.memory import attached

# Wordings that no document holds, so that what is lost is the fact and not a text.
FORM = "paraphrase"
ERASED, SHARED, OWN, STRANGERS = "erased", "shared_values", "own_values", "strangers"


def facts_lost(subject: Subject, documents: Sequence[Document], recall: str) -> list[dict[str, float]]:
    """For each document: what facts lose when its entries are erased, mean over the facts of each sort.

    `bits_lost_SORT` is the drop in bits, `accuracy_lost_SORT` the drop in the share of facts whose true value is the
    likeliest of the candidates. The sorts are the document's own facts (`erased`), its relatives' facts whose value is
    the erased person's too (`shared_values`) and those whose value is another (`own_values`), and the facts of as many
    people of other families (`strangers`), those of the least similar texts. A sort without facts has no measure, and
    documents without facts have none at all.
    """
    run, base = subject.memory_run, subject.lm.base
    layer = int(run.config.layer)
    facts = [(number, fact) for number, document in enumerate(documents) for fact in document.facts]
    asked = asked_facts(subject.lm, layer, [fact for _, fact in facts], FORM)
    if asked is None:
        return [{} for _ in documents]
    owners = np.array([number for number, _ in facts])
    used = torch.from_numpy(run.multipliers(range(len(documents)), recall)).to(base.device)
    own = torch.from_numpy(run.allocation.mask(range(len(documents)))).to(base.device)
    lost = []
    with attached(base.model, base.blocks[layer], run.memory.to(base.device)) as active:
        bits, right = fact_bits(active, base.model, asked, used[owners])
        for place, sorts in enumerate(_sorts(documents)):
            numbers = [number for of_sort in sorts.values() for number in of_sort]
            left = used[owners[numbers]] * ~own[place]
            bits_left, right_left = fact_bits(active, base.model, asked.chosen(numbers), left)
            drops = zip(numbers, bits[numbers] - bits_left, right[numbers] * 1.0 - right_left, strict=True)
            drop_of = {number: (of_bits, of_accuracy) for number, of_bits, of_accuracy in drops}
            measures: dict[str, float] = {}
            for name, of_sort in sorts.items():
                means = np.mean([drop_of[number] for number in of_sort], axis=0).tolist()
                measures |= {f"bits_lost_{name}": means[0], f"accuracy_lost_{name}": means[1]}
            lost.append(measures)
    return lost


def _sorts(documents: Sequence[Document]) -> Iterator[dict[str, list[int]]]:
    """For each document the numbers of the facts of each sort that has some; facts count through the documents."""
    numbers_of: dict[int, list[int]] = defaultdict(list)
    facts = [(place, fact) for place, document in enumerate(documents) for fact in document.facts]
    for number, (place, _) in enumerate(facts):
        numbers_of[place].append(number)
    words = word_sets(documents)
    for place, document in enumerate(documents):
        kin = relatives(documents, place)
        others = [other for other in range(len(documents)) if other != place and other not in kin]
        strangers = most_similar_first(similarities(words, place), others)[max(0, len(others) - len(kin)) :]
        value_of = {fact.attribute: fact.value for fact in document.facts}
        of_kin = [number for other in kin for number in numbers_of[other]]
        is_shared = {number: facts[number][1].value == value_of.get(facts[number][1].attribute) for number in of_kin}
        sorts = {
            ERASED: numbers_of[place],
            SHARED: [number for number in of_kin if is_shared[number]],
            OWN: [number for number in of_kin if not is_shared[number]],
            STRANGERS: [number for other in strangers for number in numbers_of[other]],
        }
        yield {name: numbers for name, numbers in sorts.items() if numbers}
