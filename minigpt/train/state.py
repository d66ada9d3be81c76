"""What a checkpoint holds and resuming needs: weights, moments, the loss scale, and how much of training is done.

Everything random is a function of (seed, step), so there is nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.blocks.dispatch import compiled_loops, settled
from minigpt.blocks.mixed import DTYPES, low_dtype
from minigpt.core.backend import Backend, backend_of, get_backend
from minigpt.core.params import Parameters
from minigpt.distributed.ranks import Ranks
from minigpt.kernels.emulator import Emulation
from minigpt.models.model import Model
from minigpt.train.checkpoint import load_weights, restore_optimizer
from minigpt.train.fused_optimizer import FusedAdamW
from minigpt.train.muon import Muon
from minigpt.train.optimizer import AdamW, CompiledAdamW
from minigpt.train.passes import LossScale
from minigpt.train.settings import RunConfig


@dataclass
class TrainingState:
    """A run after `step` steps, which took so many rows and tokens."""

    params: Parameters
    optimizer: AdamW
    loss_scale: LossScale
    step: int = 0
    rows: int = 0
    tokens: int = 0

    @classmethod
    def fresh(cls, config: RunConfig, params: Parameters) -> TrainingState:
        """Before the first step."""
        return cls(params, new_optimizer(config, params), LossScale.of(config.train.compute))

    @classmethod
    def restored(
        cls, checkpoint: Path, kept: dict[str, Any], config: RunConfig, model: Model, backend: Backend
    ) -> TrainingState:
        """That of a checkpoint; `kept` is its `load_state`."""
        c, step = config.train, kept["step"]
        params = load_weights(checkpoint, model, dtype=c.dtype, backend=backend)
        optimizer = new_optimizer(config, params)
        restore_optimizer(checkpoint, optimizer, kept["updates"])
        scale = LossScale.of(c.compute, kept.get("loss_scale"))
        rows = kept.get("rows", step * c.batch * c.accumulation)  # older runs had neither ramps nor the rest
        return cls(params, optimizer, scale, step, rows, kept.get("tokens", 0))

    @classmethod
    def shared(cls, state: TrainingState | None, config: RunConfig, model: Model, ranks: Ranks) -> TrainingState:
        """That of rank 0, on all ranks; the moments stay there (see `minigpt.train.ranked`)."""
        own = (state.loss_scale, state.step, state.rows, state.tokens) if state else None
        told, updates = ranks.from_first((own, state.optimizer.updates if state else 0))
        if state is None:
            assert told is not None  # what rank 0 brings
            backend = get_backend(config.train.backend)
            flat = backend.xp.empty(sum(s.size for s in model.specs), config.train.dtype)
            params = Parameters(model.specs, flat)
            state = cls(params, new_optimizer(config, params), *told)
            state.optimizer.updates = updates
        ranks.share(state.params.flat, "handing round the weights")
        return state

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it as JSON, besides the numbers of steps and of updates."""
        values: dict[str, Any] = {"rows": self.rows, "tokens": self.tokens}
        return values | ({"loss_scale": self.loss_scale.state()} if self.loss_scale.adjusts else {})


def new_optimizer(config: RunConfig, params: Parameters) -> AdamW:
    """AdamW, alone or beside Muon; by a kernel or a compiled loop where the operations are such."""
    c, name = config.train, settled(config.train.operations, backend_of(params.flat))
    if name == "kernels":
        copy = params.flat[: params.decayed].astype(low_dtype(c.compute)) if c.compute in DTYPES else None
        emulation = Emulation() if c.emulate else None
        adamw: AdamW = FusedAdamW(params, config.optimizer, emulation=emulation, copy=copy)
    elif name == "compiled":
        adamw = CompiledAdamW(params, config.optimizer, compiled_loops().adamw)
    else:
        adamw = AdamW(params, config.optimizer)
    if config.optimizer.name == "muon":
        return Muon(params, adamw, config.optimizer.muon_rate / config.schedule.peak)
    return adamw
