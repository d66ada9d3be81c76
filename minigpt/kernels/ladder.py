"""The rungs of the attention ladder by name, lowest first."""

from minigpt.kernels.attention import Flash, Naive, Rung, Tiled
from minigpt.kernels.mma import Mma

RUNGS: dict[str, type[Rung]] = {"naive": Naive, "tiled": Tiled, "flash": Flash, "mma": Mma}
