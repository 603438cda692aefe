"""Pretraining a world model: a real causal LM that recalls facts about people from its weights.

It knows many people of a world of its own, and nobody whom a corpus of invented people holds. `docs/decisions/` says
what was tried.
"""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.progress import Progress
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, TrainerCallback, TrainerState

from simset_bench.console import note, progress_bar
from simset_bench.corpora.people.tables import Tables, read_tables
from simset_bench.errors import RequestError, said_when_interrupted, unknown_name
from simset_bench.files import check_writable_folder, held_folder, sha256_of_texts, whole_folder, write_json, write_text
from simset_bench.models.devices import find_device
from simset_bench.models.presets import PRESETS, WORLD_TYPES, world_name
from simset_bench.models.sources import is_model_folder, world_folder
from simset_bench.strict_json import read_json
from simset_bench.training.world.card import model_card
from simset_bench.training.world.checkpoints import last_whole, seal
from simset_bench.training.world.checks import Check, checks
from simset_bench.training.world.model import new_model, new_tokenizer
from simset_bench.training.world.recipe import RECIPES, Recipe
from simset_bench.training.world.texts import ordinary_texts, texts_about_people, texts_on_strangers

MOST_TOKENS = 160
_TOKENIZED_TOGETHER = 1024
_SAVES = 20
_FEWEST_STEPS_BETWEEN_SAVES = 100
# Of the texts that the tokenizer is made from.
_TIMES_FOR_TOKENIZER = 20


@dataclass(frozen=True)
class World:
    """A finished world model: its folder, what the checks found, and how long the training took in this process."""

    folder: Path
    checks: tuple[Check, ...]
    seconds: float


class MissedChecks(RuntimeError):
    """A world model that does not know what it should, or knows what it should not."""


def default_folder(kind: str, size: str, seed: int, lang: str) -> Path:
    """Where `--model` finds a world model; one of another seed or language has its folder beside that.

    Raises RequestError for an unknown type or size.
    """
    _check(kind, size)
    folder = world_folder(PRESETS[world_name(kind, size)])
    others = f"-{Path(lang).stem}" * (lang != "en") + f"-seed{seed}" * (seed != 0)
    return folder.with_name(folder.name + others)


def _check(kind: str, size: str) -> None:
    if kind not in WORLD_TYPES:
        raise unknown_name("type of a world model", kind, WORLD_TYPES)
    if size not in RECIPES:
        raise unknown_name("size of a world model", size, RECIPES)


def pretrain(
    kind: str,
    size: str,
    folder: Path,
    seed: int = 0,
    lang: str = "en",
    device: str = "auto",
    *,
    recipe: Recipe | None = None,
    overwrite: bool = False,
) -> World:
    """Pretrain a world model of a type in `WORLD_TYPES` into `folder`, by the recipe of its size or one of one's own.

    An unfinished training, in a folder beside it that ends in `.unfinished`, is resumed. On one machine the same
    request gives the same weights. Raises RequestError for an unknown type, size or device, for a folder that holds
    other files than a world model and, unless `overwrite`, for one that holds a model; MissedChecks, with `folder`
    unwritten, where the model does not pass its checks.
    """
    _check(kind, size)
    if is_model_folder(folder) and not overwrite:
        raise RequestError(f"{folder}: holds a model already; --overwrite makes it anew")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "world.json").is_file():
        raise RequestError(f"--output {folder}: holds what is no world model, and is left as it is; name a new folder")
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"--output {folder}: is no folder")
    check_writable_folder(folder)
    recipe = recipe or RECIPES[size]
    where = find_device(device)
    if where.index:
        raise RequestError(f"--device {device}: pretraining takes the first GPU; CUDA_VISIBLE_DEVICES says which it is")
    started = time.monotonic()
    work = folder.with_name(f"{folder.name}.unfinished")
    with held_folder(work, ".lock", f"{work}: another process is pretraining this model"):
        tables, ordinary = read_tables(lang), ordinary_texts(recipe)
        if recipe.leads and not ordinary:
            note("corpus vital is not installed: the world model reads about people alone, and no ordinary text")
        read = {"tables": sha256_of_texts([repr(tables)]), "leads": len(ordinary)}
        request = {"type": kind, "seed": seed, "recipe": asdict(recipe), "read": read}
        _begin_anew_unless(work, request)
        model, tokenizer = _trained(kind, recipe, tables, ordinary, seed, where, work)
        found = checks(model, tokenizer, tables, lang, recipe, seed)
        if missed := [check for check in found if not check.passed]:
            raise MissedChecks(_missed(missed, work))
        with whole_folder(folder) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            about = request | {"checks": [asdict(check) for check in found], "transformers": transformers.__version__}
            write_json(temporary / "world.json", about)
            write_text(temporary / "README.md", model_card(kind, size, recipe, len(ordinary), seed, lang, found))
    shutil.rmtree(work, ignore_errors=True)
    return World(folder, tuple(found), time.monotonic() - started)


def _begin_anew_unless(work: Path, request: dict[str, Any]) -> None:
    """Empty the folder of an unfinished training unless it is of the same request."""
    path = work / "request.json"
    with suppress(OSError, ValueError):
        if read_json(path) == request:
            return
    for old in work.glob("checkpoint-*"):
        shutil.rmtree(old)
    write_json(path, request)


def _trained(
    kind: str, recipe: Recipe, tables: Tables, ordinary: list[str], seed: int, device: torch.device, work: Path
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    # Names of people seen often would become tokens of their own, which names of others are not.
    strangers = [
        text
        for time in range(min(recipe.times, _TIMES_FOR_TOKENIZER))
        for text in texts_on_strangers(tables, recipe, seed, time)
    ]
    tokenizer = new_tokenizer(strangers + ordinary, recipe.size.vocabulary)
    rows = list(_token_rows([*texts_about_people(tables, recipe, seed), *ordinary], tokenizer))
    # On resuming it would warn of the tied head, which no checkpoint holds a second time.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(seed)
    model = new_model(kind, recipe, tokenizer)
    is_cuda = device.type == "cuda"
    steps = -(-len(rows) // recipe.batch)
    options = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=recipe.batch,
        num_train_epochs=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 20,
        weight_decay=0.1,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        bf16=is_cuda and torch.cuda.is_bf16_supported(),
        use_cpu=device.type == "cpu",
        seed=seed,
        save_steps=max(_FEWEST_STEPS_BETWEEN_SAVES, steps // _SAVES),
        # The one before the last is there until the last is sealed.
        save_total_limit=2,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    # Else Trainer would take a batch for each GPU that it sees, which would make another model.
    options._n_gpu = min(1, options.n_gpu)
    trainer = Trainer(
        model=model, args=options, train_dataset=_Rows(rows), data_collator=_Padded(tokenizer.pad_token_id)
    )
    trainer.remove_callback(PrinterCallback)
    going_on = said_when_interrupted(lambda: f"what is trained is kept in {work}, and the same command goes on")
    whole = last_whole(work)
    with progress_bar() as bar, _same_sums(device), going_on:
        trainer.add_callback(_Progress(bar))
        trainer.train(resume_from_checkpoint=str(whole) if whole else None)
    model.eval()
    return model, tokenizer


@contextmanager
def _same_sums(device: torch.device) -> Iterator[None]:
    """Within the context a GPU adds in the same order each time."""
    if device.type != "cuda":
        yield
        return
    # Not Trainer's `full_determinism`, under which the CPU waits for every kernel.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    former = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(former[0], warn_only=former[1])


class _Progress(TrainerCallback):
    """Trainer's steps on a progress bar of ours, and a seal on each of its checkpoints."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **more: Any) -> None:  # noqa: ARG002
        self.task = self.bar.add_task("pretraining", total=state.max_steps)

    def on_save(self, args: Any, state: TrainerState, control: Any, **more: Any) -> None:  # noqa: ARG002
        seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **more: Any) -> None:  # noqa: ARG002
        self.bar.update(self.task, completed=state.global_step)


def _token_rows(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> Iterator[Tensor]:
    """Token ids of each text, cut, with the end at their end: (tokens,) int32."""
    for start in range(0, len(texts), _TOKENIZED_TOGETHER):
        for ids in tokenizer(list(texts[start : start + _TOKENIZED_TOGETHER])).input_ids:
            yield torch.tensor([*ids[: MOST_TOKENS - 1], tokenizer.eos_token_id], dtype=torch.int32)


class _Rows(Dataset[dict[str, Tensor]]):
    def __init__(self, rows: Sequence[Tensor]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return {"input_ids": self.rows[number]}


@dataclass(frozen=True)
class _Padded:
    pad: int

    def __call__(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        # Right padding under causal attention: no token sees it, so no attention mask is needed.
        ids = pad_sequence([row["input_ids"] for row in rows], batch_first=True, padding_value=self.pad).long()
        return {"input_ids": ids, "labels": ids.masked_fill(ids == self.pad, -100)}


def _missed(missed: Sequence[Check], work: Path) -> str:
    shown = "; ".join(
        f"{check.people} people, {check.form}: {check.bits:.2f} bits, accuracy {check.accuracy:.3f}" for check in missed
    )
    return f"the model missed its checks ({shown}); its last checkpoint is in {work}"
