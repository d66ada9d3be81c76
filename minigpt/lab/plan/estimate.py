"""A plan: everything that is worked out about one training run."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.lab.plan.flops import Flops, row_flops, six_n_d
from minigpt.lab.plan.hardware import Gpu
from minigpt.lab.plan.layout import Layout, best_layout, smallest
from minigpt.lab.plan.schedule import full_rows, training_tokens
from minigpt.lab.plan.workload import Workload, workload
from minigpt.train.settings import RunConfig

# What part of the peak a run makes useful, an assumption. Published runs: Llama's 41 to 52% (from its GPU hours, see
# tests/lab/plan), 42 to 54% of a GPT of 530B parameters (Korthikanti et al. 2022). Between 0.3 and 0.5 is usual.
MFU = 0.4
# Against products of 1024 x 1024 on the same two cores (AMD EPYC, Zen 5), which reach 248 GFLOP/s, a step of shape S of
# `minigpt bench step` makes 0.57 of the time useful (27 ms for 3.8 GFLOP) and one of shape M 0.81 (688 ms for 138).
CPU_MFU = 0.6
MFU_RANGE = (0.3, 0.4, 0.5)


class Plan(NamedTuple):
    """One run on `gpus` GPUs.

    Attributes:
        row: arithmetic of one row of text. rows: of a full step. tokens: D.
        mfu: assumed model FLOPs utilisation. price: of one GPU for an hour, or None.
        layout: the best one that fits, or None. fits_on: the smallest power of two of GPUs that the model fits on.
    """

    name: str
    workload: Workload
    row: Flops
    rows: int
    tokens: int
    gpu: Gpu
    gpus: int
    precision: str
    mfu: float
    price: float | None
    layout: Layout | None
    fits_on: int | None

    @property
    def six_n_d(self) -> float:
        return six_n_d(self.workload.parameters, self.tokens)

    @property
    def flops(self) -> float:
        """What the run needs: forward and backward over all tokens, attention as the masks allow."""
        return self.row.training * self.tokens / self.workload.row_tokens

    def seconds(self, mfu: float | None = None) -> float:
        """T = FLOPs / (GPUs · peak · MFU): 10% less of the assumed MFU is 11% more time, 10% more is 9% less."""
        return self.flops / (self.gpus * self.gpu.peak(self.precision) * (mfu or self.mfu))

    def gpu_hours(self, mfu: float | None = None) -> float:
        return self.gpus * self.seconds(mfu) / 3600

    def cost(self, mfu: float | None = None) -> float | None:
        return None if self.price is None else self.price * self.gpu_hours(mfu)


def make_plan(
    name: str,
    config: RunConfig,
    gpu: Gpu,
    *,
    gpus: int | None = None,
    tokens: int | None = None,
    precision: str = "",
    mfu: float | None = None,
    price: float | None = None,
) -> Plan:
    """Work everything out.

    Args:
        gpus: by default the smallest power of two that the model fits on.
        tokens: by default as many as the configuration trains on.
        precision: "bfloat16", "float16" or "float32"; by default the GPU's best 16-bit one, float32 on a CPU.
    Raises:
        UserError: the GPU does not compute in this precision, or the model fits on no number of such GPUs.
    """
    cpu = gpu.measured
    precision = precision or ("float32" if cpu else "bfloat16" if gpu.bfloat16 else "float16")
    if precision == "bfloat16" and not gpu.bfloat16:
        raise UserError(f"the {gpu.name}'s tensor cores do not take bfloat16; plan with --precision float16")
    if cpu and (precision != "float32" or (gpus or 1) > 1):
        raise UserError("--gpu cpu is this one machine, measured in float32; leave out --gpus and --precision")
    w, rows = workload(config), full_rows(config)
    tokens = tokens or training_tokens(config, w.row_tokens)
    fits_on = smallest(w, gpu, rows, precision, most=1 if cpu else 1 << 16)
    if gpus is None and fits_on is None:
        where = "this machine" if cpu else f"any number of {gpu.name}s"
        raise UserError(f"{name} does not fit on {where} with {rows} rows in a step")
    count = gpus or fits_on
    layout = best_layout(w, gpu, count, rows, precision)
    utilisation = mfu or (CPU_MFU if cpu else MFU)
    return Plan(name, w, row_flops(w), rows, tokens, gpu, count, precision, utilisation, price, layout, fits_on)
