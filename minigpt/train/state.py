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
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.distributed.ranks import Ranks
from minigpt.kernels.emulator import Emulation
from minigpt.models.model import Model
from minigpt.train.checkpoint import load_weights, restore_optimizer
from minigpt.train.compiled_optimizer import CompiledAdamW
from minigpt.train.fused_optimizer import FusedAdamW
from minigpt.train.integrity import checkpoint_paths
from minigpt.train.muon import Muon
from minigpt.train.optimizer import AdamW
from minigpt.train.scaling import LossScale
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
        restore_optimizer(checkpoint, optimizer, kept["updates"], backend=backend)
        scale = LossScale.of(c.compute, kept.get("loss_scale"))
        rows = kept.get("rows", step * c.batch * c.accumulation)  # older runs had neither ramps nor the rest
        return cls(params, optimizer, scale, step, rows, kept.get("tokens", 0))

    @classmethod
    def shared(cls, state: TrainingState | None, config: RunConfig, model: Model, ranks: Ranks) -> TrainingState:
        """That of rank 0, on all ranks; the moments stay there (see `minigpt.train.ranked`)."""
        own = None if state is None else (state.loss_scale, state.step, state.rows, state.tokens)
        told, updates = ranks.from_first(own), ranks.from_first(0 if state is None else state.optimizer.updates)
        assert told is not None  # what rank 0 brings
        if state is None:
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
    """AdamW, alone or beside Muon."""
    adamw = _adamw(config, params)
    if config.optimizer.name == "muon":
        return Muon(params, adamw, config.optimizer.muon_rate / config.schedule.peak)
    return adamw


def _adamw(config: RunConfig, params: Parameters) -> AdamW:
    """By array operations, or by a kernel or a loop where the operations are kernels or loops."""
    name = settled(config.train.operations, backend_of(params.flat))
    if name == "kernels":
        low = config.train.compute in DTYPES
        copy = params.flat[: params.decayed].astype(low_dtype(config.train.compute)) if low else None
        emulation = Emulation() if config.train.emulate else None
        return FusedAdamW(params, config.optimizer, emulation=emulation, copy=copy)
    if name == "compiled":
        return CompiledAdamW(params, config.optimizer, compiled_loops().adamw)
    return AdamW(params, config.optimizer)


def not_finite(run: Path, step: int, what: str, value: float) -> UserError:
    """The error that training ends with when its numbers go wrong."""
    return UserError(
        f"{what} is {value} after step {step}, so training stopped; the last good checkpoint is "
        f"{checkpoint_paths(run)[-1]}; try a lower schedule.peak or a longer schedule.warmup"
    )
