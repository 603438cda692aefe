"""What world models are pretrained on and how: sizes, people, texts, steps."""

from dataclasses import dataclass

from simset_bench.models.presets import WORLD_SIZES, WorldSize


@dataclass(frozen=True)
class Recipe:
    """How a world model of one size is made.

    `people` are seen `times` times each, in a biography and in a text of questions, which are never one text; for
    every two of them one person is seen once. `leads` articles of `vital` are read once.
    """

    size: WorldSize
    people: int
    times: int
    leads: int
    batch: int
    learning_rate: float


RECIPES: dict[str, Recipe] = {
    "tiny": Recipe(WORLD_SIZES["tiny"], 60, 150, 0, 16, 5e-3),
    "small": Recipe(WORLD_SIZES["small"], 200, 70, 3000, 16, 1.5e-3),
    "medium": Recipe(WORLD_SIZES["medium"], 400, 80, 10_000, 16, 1e-3),
}
