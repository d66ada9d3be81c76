"""The rungs of the attention ladder by name, lowest first."""

from minigpt.kernels.attention import Flash, Naive, Tiled
from minigpt.kernels.mma import Mma

RUNGS: dict[str, type[Naive] | type[Tiled] | type[Flash] | type[Mma]] = {
    "naive": Naive,
    "tiled": Tiled,
    "flash": Flash,
    "mma": Mma,
}
