"""The record of a chain in a manifest."""

import json

from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Document
from simset_bench.training.chain import CHAIN, ChainDocuments, Stage, as_json, by_turns, chain_of, stages_of

CONFIG = {"corpus": "vital", "group_by": "article", "num_docs": None, "match_subjects": None}
HASHES = {"model": "m", "corpus": "c", "config": "o"}
ids = st.lists(st.text(min_size=1, max_size=3), max_size=4, unique=True).map(tuple)
stages = st.builds(Stage, st.text(), st.just(CONFIG), st.just(HASHES), ids, ids).filter(
    lambda stage: bool(stage.documents or stage.forgotten)
)


@given(chain=st.lists(stages, max_size=4).map(tuple))
def test_what_a_manifest_holds_is_read_back(chain: tuple[Stage, ...]) -> None:
    assert chain_of(json.loads(json.dumps({CHAIN: as_json(chain)}))) == chain
    assert chain_of({}) == ()


@given(of=st.lists(st.integers(1, 5), max_size=40))
def test_stages_take_turns(of: list[int]) -> None:
    order = by_turns(of)
    assert sorted(order) == list(range(len(of)))
    for count in range(len(of) + 1):
        first = [of[number] for number in order[:count]]
        # A stage is behind another by more than one only where it has no more documents.
        for stage in set(of):
            if first.count(stage) < of.count(stage):
                assert max((first.count(other) for other in set(of)), default=0) <= first.count(stage) + 1
    for stage in set(of):
        own = [number for number in order if of[number] == stage]
        assert own == sorted(own)


def test_what_is_forgotten_is_known_and_not_memorised() -> None:
    first, second = (Document(each, each, f"Text {each}.") for each in "ab")
    documents = ChainDocuments([], []).with_new([first, second], ["a"])
    assert (documents.memorised, documents.known) == ([second], [first, second])
    chain = (Stage("r", CONFIG, HASHES, ("a",)),)
    assert stages_of([first, second], chain) == {"a": 1, "b": 2}
