"""Where a kernel test runs: on a GPU, or on the emulator in its place. The bodies of the tests are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt.kernels.emulator import Emulation


@dataclass(frozen=True)
class Device:
    """CuPy and no emulation, or NumPy and how to emulate."""

    xp: Any
    emulation: Emulation | None

    def put(self, x: Any) -> Any:
        """A NumPy array on this device; anything else as it is."""
        return self.xp.asarray(x) if isinstance(x, np.ndarray) else x

    def get(self, x: Any) -> np.ndarray:
        return x.get() if hasattr(x, "get") else np.asarray(x)


EMULATOR = Device(np, Emulation())
