"""What is wrong with a request to train, as far as that shows before the libraries of models are imported."""

from pathlib import Path

from simset_bench.files import check_writable_folder
from simset_bench.models.device_names import check_base_names
from simset_bench.models.layer_names import check_layer_name
from simset_bench.models.sources import find_model
from simset_bench.training.config import TrainConfig, check, corpus_options, uses


def check_config(config: TrainConfig, save_dir: Path) -> None:
    """Raise RequestError for a wrong option, an unknown model, device or dtype, a missing file of the corpus, and a
    folder for runs that cannot be written."""
    check(config)
    check_writable_folder(save_dir, ", use another --save-dir")
    find_model(config.model)
    check_base(config.device, config.dtype)
    if uses(config, "layer"):
        check_layer_name(config.layer)
    corpus_options(config).check()


def check_base(device: str, dtype: str | None) -> None:
    """Raise RequestError for a device that is none, or not there, and for an unknown dtype."""
    check_base_names(device, dtype)
    if device.startswith(("cuda", "mps")):
        # What is there only torch knows.
        from simset_bench.models.devices import find_device

        find_device(device)
