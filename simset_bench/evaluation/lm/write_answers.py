"""Writes many answers on one base in batches as large as its device and memory are good for."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from simset_bench.console import progress_bar
from simset_bench.evaluation.lm.answer_batch import Answer, AnswerBatch, Prompt
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.endings import Endings
from simset_bench.models.blocks import embedding_rows
from simset_bench.models.devices import free_bytes
from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel

# Answers in one batch: beyond these, products of matrices are no faster.
_CPU_ANSWERS, _GPU_ANSWERS = 256, 2048
_FEWEST = 16
# Tokens of prompts that are begun at once, each counted once for every memory.
_CPU_TOKENS, _GPU_TOKENS = 2048, 32768
# Texts of a batch have at most twice as many tokens as one another, or fewer than this.
_SHORT = 64


def write_answers(
    upper: UpperModel, memories: Sequence[MemoryAtWork | None], endings: Endings, answers: Sequence[Answer]
) -> None:
    """Write the tokens of all answers, by memories that sit on the block of `upper` (None: the bare base).

    Each answer has the tokens that it has when it is written alone, up to rounding: no text sees another.
    """
    base = upper.base
    most_tokens = _GPU_TOKENS if base.device.type == "cuda" else _CPU_TOKENS
    with progress_bar() as bar:
        task = bar.add_task("answering", total=len(answers))
        for tokens, groups in _by_size(answers):
            most = min(most_answers(base, tokens), sum(map(len, groups)))
            batch = AnswerBatch(upper, memories, endings, most, tokens)
            waiting = deque(part for group in groups for part in _parts(group, most))
            while waiting or len(batch):
                ended: list[Answer] = []
                # A few more answers are not worth a pass of their own.
                if waiting and (not len(batch) or len(batch) <= most * 3 // 4):
                    while waiting and len(batch) + len(waiting[0]) <= most:
                        ended += batch.begin(_next_prompts(waiting, most - len(batch), most_tokens))
                if len(batch):
                    ended += batch.go_on()
                bar.advance(task, len(ended))


def most_answers(base: Base, tokens: int) -> int:
    """How many answers of up to `tokens` tokens, prompts included, a batch has.

    They take at most a quarter of the free memory, unless they are as few as lm-eval's own loop would write at once.
    """
    config = base.model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 1
    width = base.width * (getattr(config, "num_key_value_heads", None) or heads) // heads
    kept = 2 * len(base.blocks) * width * base.dtype.itemsize * tokens
    # Logits once in the base's dtype, and twice in float32 while words are drawn.
    logits = 12 * embedding_rows(base.model)
    most = _GPU_ANSWERS if base.device.type == "cuda" else _CPU_ANSWERS
    return max(_FEWEST, min(most, free_bytes(base.device) // 4 // (kept + logits)))


def _by_size(answers: Iterable[Answer]) -> Iterator[tuple[int, list[list[Answer]]]]:
    """Answers to equal prompts together, by the most tokens that these have with an answer: largest first."""
    of_prompt: dict[Prompt, list[Answer]] = defaultdict(list)
    for answer in answers:
        of_prompt[answer.prompt].append(answer)
    sizes: dict[int, list[list[Answer]]] = defaultdict(list)
    for prompt, group in of_prompt.items():
        needed = len(prompt) + max(answer.decoding.max_tokens for answer in group)
        sizes[max(_SHORT, 1 << (needed - 1).bit_length())].append(group)
    for size in sorted(sizes, reverse=True):
        # Prompts of one length next to one another, so that little is padded.
        yield size, sorted(sizes[size], key=lambda group: (-len(group[0].prompt), group[0].prompt))


def _parts(group: list[Answer], most: int) -> Iterator[list[Answer]]:
    for start in range(0, len(group), most):
        yield group[start : start + most]


def _next_prompts(waiting: deque[list[Answer]], room: int, most_tokens: int) -> dict[Prompt, list[Answer]]:
    """The next prompts, at least one, whose answers there is room for, of not many more than `most_tokens` tokens."""
    chosen: dict[Prompt, list[Answer]] = {}
    tokens = 0
    while waiting and len(waiting[0]) <= room and tokens < most_tokens and waiting[0][0].prompt not in chosen:
        group = waiting.popleft()
        chosen[group[0].prompt] = group
        room -= len(group)
        tokens += len(group[0].prompt) * len({(answer.memory, answer.document) for answer in group})
    return chosen
