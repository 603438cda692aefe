"""lm-eval's model `simset`: a finished run, named by its folder, as `simset-bench eval` asks it."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm_eval_internals import register_model
from simset_bench.evaluation.run import BATCH_SIZE
from simset_bench.evaluation.subject import subject_of
from simset_bench.models.loading import load_base
from simset_bench.training.open_run import LoadedRun, PrefixedRun, open_run
from simset_bench.training.recall import check_recall
from simset_bench.training.recall_modes import ROUTER_OF, why_not_routed

# What --model_args can hold; lm-eval adds `device`, `batch_size` and `max_batch_size` from its own options.
_ARGUMENTS = ("run", "recall", "dtype", "device")
_BATCH = ("batch_size", "max_batch_size")


def _check_arguments(run: str | None, others: Mapping[str, Any]) -> None:
    for name in others:
        if name not in _BATCH:
            near = did_you_mean(name, _ARGUMENTS)
            raise RequestError(f"--model_args: model simset does not take {name!r}{near}: {', '.join(_ARGUMENTS)}")
    if run is None:
        raise RequestError("--model_args: model simset needs the folder of a run: --model_args run=RUN")


@register_model("simset")
class SimsetLM(MemoryLM):
    """A run with its memory, or with the weights that its method learned: `--model simset --model_args run=RUN`.

    `recall=oracle` is for runs whose documents have entries. Under `recall=routed` (`routed-minhash`) the rows that the
    run was asked say which documents were found; any other prompt is routed as lm-eval gives it. Documents in context
    are part of the run's rows.

    Batches are as large as in `simset-bench eval`, whatever `batch_size` and `max_batch_size` say, so that both compute
    the same. Raises RequestError for any other argument, for a missing or damaged run, for a base that is no longer the
    one of the training, and for a recall mode other than free where the run's method has no entries.
    """

    def __init__(
        self,
        run: str | None = None,
        recall: str = "free",
        dtype: str | None = None,
        device: str = "auto",
        **others: Any,
    ) -> None:
        _check_arguments(run, others)
        check_recall(recall)
        loaded = open_run(Path(str(run)))
        if isinstance(loaded, PrefixedRun):
            if recall in ("free", "erased"):
                raise RequestError(f"recall={recall}: method {loaded.config.method} answers in oracle and routed")
        elif recall != "free" and not isinstance(loaded, LoadedRun):
            raise RequestError(f"recall={recall} is about entries, of which method {loaded.config.method} has none")
        if recall in ROUTER_OF and (reason := why_not_routed(loaded.config)):
            raise RequestError(f"recall={recall}: {reason}")
        # lm-eval's default is cuda:0, by which it means the processor where there is no GPU.
        where = device if torch.cuda.is_available() or not device.startswith("cuda") else "cpu"
        base = load_base(loaded.config.model, dtype or loaded.config.dtype, where)
        super().__init__(base, BATCH_SIZE)
        subject = subject_of(self, loaded)
        # Never closed: the run answers for as long as the process lives.
        self._opened = ExitStack()
        self._opened.enter_context(subject.with_weights())
        self._opened.enter_context(subject.recalling(recall))
        self.run, self.recall = run, recall

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval records of the model."""
        return super().get_model_info() | {"simset_run": self.run, "simset_recall": self.recall}
