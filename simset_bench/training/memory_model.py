"""A trained run as a model: `forward` and `generate` as in transformers, with the run's memory at work."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, write_json
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import BlockMemory, attached
from simset_bench.models.memory_file import load_memory, save_memory
from simset_bench.training import run_folder as folders
from simset_bench.training.model_card import README, write_card
from simset_bench.training.open_run import check_revision
from simset_bench.training.recall import check_recall, recall_multipliers
from simset_bench.training.recall_modes import UNROUTED

# What makes a folder a run that can be loaded, and evaluated where its corpus is in reach.
_FILES = (folders.CONFIG, folders.MANIFEST, folders.ALLOCATION, folders.METRICS, folders.MEMORY_FILE)


class MemoryModel(nn.Module):
    """A frozen base with a run's memory on one of its blocks; made by `from_pretrained`.

    `base_model` is the transformers model (a PreTrainedModel), whose own `forward` and `generate` are used; `memory` is
    the memory, whose parameters get gradients while the base's do not. `recall` masks its entries.

    Examples:
        >>> model = MemoryModel.from_pretrained(run)
        >>> inputs = model.tokenizer("Anarchism is a", return_tensors="pt").to(model.device)
        >>> with model.recall("erased", doc=model.documents[0]):
        ...     answer = model.generate(**inputs, max_new_tokens=4)
    """

    def __init__(self, run: folders.FinishedRun, base: Base, memory: BlockMemory) -> None:
        super().__init__()
        self.run_folder = run.folder
        self.run_config = run.config
        self.layer = int(run.config.layer)
        self.tokenizer: PreTrainedTokenizerBase = base.tokenizer
        self.base_model: Any = base.model
        self.memory = memory
        # Kept, since the memory is taken off again when nobody holds this any more.
        self._at_work = ExitStack()
        self._active = self._at_work.enter_context(attached(base.model, base.blocks[self.layer], memory))
        self.eval()

    @classmethod
    def from_pretrained(
        cls, run: str | os.PathLike[str], dtype: str | None = None, device: str = "auto", *, revision: str | None = None
    ) -> Self:
        """Load a finished run from its folder, or from a repository of the hub that `push_to_hub` made.

        The base is loaded by its name in the run's configuration, in the dtype of the training unless `dtype` is given.
        Raises RequestError for a missing or damaged file, and where the base is no longer the one of the training.
        """
        folder = _local_folder(os.fspath(run), revision)
        opened = folders.open_anywhere(folder)
        folders.check_hashes(folder)
        trained_on = folders.read_manifest(folder)["hashes"]["model"]
        base = load_base(opened.config.model, dtype or opened.config.dtype, device)
        check_revision(folder, opened.config.model, trained_on, base)
        memory = load_memory(folder / folders.MEMORY_FILE).to(base.device)
        return cls(opened, base, memory)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The base's own forward, with the memory at work: takes and returns what that does."""
        return self.base_model(*inputs, **options)

    def generate(self, *inputs: Any, **options: Any) -> Any:
        """The base's own `generate`, with the memory at work: takes and returns what that does."""
        return self.base_model.generate(*inputs, **options)

    @contextmanager
    def recall(self, mode: str, doc: str | Sequence[str] | None = None) -> Iterator[None]:
        """Recall in a mode within the context: `free`, `oracle` (as the document was trained), `erased` (without its
        entries); `recall_multipliers` says what each means for each method.

        `doc` is a document's id, or a sequence of them, one for each row of the batch that is run then (of its prompts
        where beams or several answers are asked for).
        Raises RequestError for an unknown mode or document, and for the modes of `eval` that find a document from a
        prompt: `oracle` is what they do with the document that they find.
        """
        check_recall(mode, UNROUTED)
        multiplier = None
        if mode != "free" or doc is not None:
            ids = [doc] if isinstance(doc, str) else list(doc or ())
            if not ids:
                raise RequestError(f"recall {mode!r} needs the id of a document, such as {self._some_id()!r}")
            multiplier = self._multipliers(ids, mode)[:, None, :].to(self.base_model.device)
        with self._active.recalling(multiplier):
            yield

    @contextmanager
    def without_memory(self) -> Iterator[None]:
        """Answer as the untouched base does within the context."""
        with self._active.aside():
            yield

    def save_pretrained(self, folder: str | Path, tags: Sequence[str] = (), **_: Any) -> None:
        """Write the memory as it is now, its run's other files and a model card, so that the folder is a run itself.

        The base is not written: a run names it. The card has `tags` beside its own, and the run's figures unless the
        memory has changed since. Options of transformers about files of weights do not apply.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        manifest = folders.read_manifest(self.run_folder)
        for name in (folders.CONFIG, folders.ALLOCATION, folders.METRICS):
            if not (target / name).exists() or not (target / name).samefile(self.run_folder / name):
                shutil.copyfile(self.run_folder / name, target / name)
        save_memory(self.memory, target / folders.MEMORY_FILE)
        evaluated = manifest["hashes"]["memory"]
        manifest["hashes"]["memory"] = sha256_of_file(target / folders.MEMORY_FILE)
        write_json(target / folders.MANIFEST, manifest)
        is_same = manifest["hashes"]["memory"] == evaluated
        write_card(self.run_folder, self.run_config, target, tags=tags, figures=is_same)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload memory",
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        tags: Sequence[str] = (),
        **_: Any,
    ) -> str:
        """Upload what `save_pretrained` writes to a repository of the hub, made if need be, and return its URL.

        Options are those of transformers, of which those about files of weights do not apply. A card that somebody has
        written there stays as it is.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import EntryNotFoundError

        api = HfApi(token=token)
        repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            # A card of somebody's is left as it is where it lies in the folder.
            with suppress(EntryNotFoundError):
                api.hf_hub_download(repository, README, revision=revision, local_dir=folder)
            self.save_pretrained(folder, tags)
            return str(
                api.upload_folder(
                    repo_id=repository,
                    folder_path=folder,
                    commit_message=commit_message,
                    commit_description=commit_description,
                    revision=revision,
                    create_pr=create_pr,
                    ignore_patterns=[".cache/**"],
                )
            )

    @property
    def config(self) -> PretrainedConfig:
        """The base's configuration."""
        return self.base_model.config

    @property
    def generation_config(self) -> GenerationConfig:
        """The base's defaults of generation."""
        return self.base_model.generation_config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.base_model.device

    @property
    def dtype(self) -> torch.dtype:
        """The base's dtype; the memory is float32."""
        return self.base_model.dtype

    @property
    def documents(self) -> tuple[str, ...]:
        """Ids of the documents that the run memorised, which `recall` takes."""
        from simset_bench.simset.store import read_rows

        return tuple(
            each
            for part in read_rows(self.run_folder / folders.ALLOCATION, ("document",))
            for each in part.ids.to_pylist()
        )

    def _multipliers(self, ids: Sequence[str], mode: str) -> Tensor:
        from simset_bench.simset.lookup import open_lookup

        lookup = open_lookup(self.run_folder / folders.ALLOCATION)
        numbers = lookup.numbers_of(ids).tolist()
        multipliers = recall_multipliers(self.run_config, self.memory, lookup.allocation(), numbers, mode)
        return torch.from_numpy(multipliers)

    def _some_id(self) -> str:
        from simset_bench.simset.lookup import open_lookup

        return open_lookup(self.run_folder / folders.ALLOCATION).ids_of([0])[0]


def _local_folder(run: str, revision: str | None) -> Path:
    """The run's folder, fetched first where `run` names a repository of the hub and no folder here."""
    is_hub_id = run.count("/") == 1 and not run.startswith((".", "/", "~"))
    if Path(run).exists() or not is_hub_id:
        return Path(run)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(run, revision=revision, allow_patterns=list(_FILES)))
    except RepositoryNotFoundError as error:
        raise RequestError(f"{run}: no such run folder here, and no such repository on the hub") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RequestError(f"{run}: no such run folder here, and the hub does not answer ({reason})") from error
