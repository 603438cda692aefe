"""Sequences laid out as trees: what is shared, what is seen, and how much room it takes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.token_trees import TokenTrees, plant

SEQUENCES = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 3), min_size=1, max_size=9)), min_size=1, max_size=24
)
CPU = torch.device("cpu")


def planted(asked: list[tuple[int, list[int]]], most_nodes: int = 40, window: int = 12) -> TokenTrees:
    return plant([tokens for _, tokens in asked], [owner for owner, _ in asked], most_nodes, CPU, window)


def path(trees: TokenTrees, sequence: int) -> list[int]:
    """Nodes of a sequence, from its beginning."""
    nodes = [int(trees.ends[sequence])]
    while trees.parents[nodes[0]] >= 0:
        nodes.insert(0, int(trees.parents[nodes[0]]))
    return nodes


@given(SEQUENCES)
def test_every_sequence_is_the_way_to_its_end(asked: list[tuple[int, list[int]]]) -> None:
    trees = planted(asked)
    for number, (owner, tokens) in enumerate(asked):
        nodes = path(trees, number)
        assert trees.tokens[nodes].tolist() == tokens
        assert set(trees.owners[nodes].tolist()) == {owner}
        assert trees.last_nodes(number, len(tokens)) == nodes


@given(SEQUENCES)
def test_a_node_sees_the_way_to_itself_and_nothing_else(asked: list[tuple[int, list[int]]]) -> None:
    trees = planted(asked)
    for batch in trees.batches:
        packing = batch.packing
        causal = torch.ones(packing.longest, packing.longest, dtype=torch.bool).tril()
        windows = causal.expand(packing.segments, 1, -1, -1) if packing.mask is None else packing.mask
        numbers = torch.full((packing.segments * packing.longest,), -1)
        numbers[packing.slots] = torch.arange(batch.start, batch.stop)
        for window, nodes in enumerate(numbers.view(packing.segments, packing.longest)):
            for place, node in enumerate(nodes.tolist()):
                if node < 0:
                    continue
                seen = [n for n in nodes[windows[window, 0, place]].tolist() if n >= 0]
                above = [node]
                while trees.parents[above[0]] >= 0:
                    above.insert(0, int(trees.parents[above[0]]))
                assert seen == above
                assert packing.position_ids[node - batch.start] == len(above) - 1


@given(SEQUENCES)
def test_in_one_window_every_beginning_is_a_node_once(asked: list[tuple[int, list[int]]]) -> None:
    trees = planted(asked, window=1000)
    beginnings = {(owner, *tokens[: end + 1]) for owner, tokens in asked for end in range(len(tokens))}
    assert len(trees.tokens) == len(beginnings)


@given(SEQUENCES, st.integers(1, 60))
def test_batches_take_no_more_room_than_asked(asked: list[tuple[int, list[int]]], most_nodes: int) -> None:
    trees = planted(asked, most_nodes)
    starts = [batch.start for batch in trees.batches]
    assert [0, *(batch.stop for batch in trees.batches)] == [*starts, len(trees.tokens)]
    for batch in trees.batches:
        packing = batch.packing
        assert packing.segments == 1 or packing.segments * packing.longest <= most_nodes
        assert packing.longest <= max(12, *(len(tokens) for _, tokens in asked))


@given(SEQUENCES, st.randoms())
def test_the_order_of_sequences_changes_nothing(asked: list[tuple[int, list[int]]], random: object) -> None:
    order = list(range(len(asked)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = planted(asked), planted([asked[number] for number in order])
    assert one.tokens.equal(other.tokens) and one.parents.equal(other.parents)
    assert one.ends[order].equal(other.ends)
