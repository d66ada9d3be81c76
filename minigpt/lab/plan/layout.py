"""How a model is laid out over GPUs: data × tensor × pipeline parallel, what each GPU holds and sends, what is lost.

Three ways of splitting, which multiply: `data` replicas see different rows; `tensor` cuts every matrix product in a
block (Shoeybi et al. 2019); `pipeline` gives each stage some of the layers, and micro-batches flow through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from minigpt.lab.plan.flops import row_flops
from minigpt.lab.plan.hardware import NODE, Gpu
from minigpt.lab.plan.memory import sharded, state_bytes, usual_bytes, usual_output_bytes
from minigpt.lab.plan.workload import Workload

USABLE = 0.9  # of a GPU's memory: the rest is for the CUDA context, communication buffers and fragments (assumed)
_MICRO_ROWS = (1, 2, 4, 8, 16, 32)


class Split(NamedTuple):
    """One way to lay a model out.

    Attributes:
        data, tensor, pipeline: how many ways each; their product is the number of GPUs.
        zero: the stage of ZeRO (see `memory.sharded`).
        micro_rows: rows of a micro-batch; micro_batches: how many of them a replica works through in one step.
        recompute: "none" or "full". (Selective recomputation drops attention's scores, which flash never keeps.)
    """

    data: int
    tensor: int
    pipeline: int
    zero: int
    micro_rows: int
    micro_batches: int
    recompute: str


class Layout(NamedTuple):
    """A split, and what comes of it.

    Attributes:
        memory: bytes on the fullest GPU, by kind. bubble: the part of a step in which a stage waits.
        traffic: bytes that one GPU sends in one step, by kind.
        seconds: of one step at the peak of arithmetic with nothing overlapped, by kind.
        ceiling: the part of the peak that is left for useful arithmetic after bubbles, recomputation and sending. No
            utilisation can be above it unless sending is hidden behind arithmetic.
    """

    split: Split
    memory: dict[str, float]
    bubble: float
    traffic: dict[str, float]
    seconds: dict[str, float]
    ceiling: float

    @property
    def bytes(self) -> float:
        return sum(self.memory.values())


def best_layout(
    w: Workload,
    gpu: Gpu,
    gpus: int,
    rows: int,
    precision: str = "bfloat16",
    only: Callable[[Split], bool] = lambda split: True,
) -> Layout | None:
    """The layout with the highest ceiling among those that fit; None if none does.

    Args:
        rows: of one step, all replicas together.
        only: which splits are taken into account.
    """
    held = ((split, memory(w, split, precision)) for split in filter(only, splits(w, gpus, rows)))
    fitting = (
        _layout(w, split, bytes_of, gpu, rows, precision)
        for split, bytes_of in held
        if sum(bytes_of.values()) <= USABLE * gpu.memory
    )
    return max(fitting, key=_merit, default=None)


def _merit(layout: Layout) -> tuple[float, ...]:
    """Of layouts equal to a percent, the one with larger micro-batches, whose products run closer to the peak."""
    return round(layout.ceiling, 2), layout.split.micro_rows, -layout.split.zero, layout.ceiling


def smallest(w: Workload, gpu: Gpu, rows: int, precision: str = "bfloat16", most: int = 1 << 16) -> int | None:
    """The smallest power of two of GPUs over which the model fits."""
    gpus = 1
    while gpus <= most:
        if any(sum(memory(w, s, precision).values()) <= USABLE * gpu.memory for s in splits(w, gpus, rows)):
            return gpus
        gpus *= 2
    return None


def splits(w: Workload, gpus: int, rows: int) -> Iterator[Split]:
    """Every split worth a thought, the simplest first.

    Tensor parallelism stays within a node, where links are fast, and divides the key-value heads; a pipeline divides
    the layers (of a single stack) evenly. ZeRO's stages 2 and 3 gain little within a pipeline, which would gather
    weights for every micro-batch.
    """
    c, layers = w.stacks[0].block, w.stacks[0].layers
    for pipeline in range(1, layers + 1 if len(w.stacks) == 1 else 2):
        for tensor in range(1, min(NODE, c.kv_heads) + 1):
            if c.kv_heads % tensor or layers % pipeline or gpus % (tensor * pipeline):
                continue
            data = gpus // (tensor * pipeline)
            for micro_rows in _MICRO_ROWS:
                if data * micro_rows > rows:  # some replicas would have nothing to do
                    break
                count = -(-rows // (data * micro_rows))
                for zero in (0,) if data == 1 else (0, 1) if pipeline > 1 else (0, 1, 3):
                    for recompute in ("none", "full"):
                        yield Split(data, tensor, pipeline, zero, micro_rows, count, recompute)


def stage_parameters(w: Workload, split: Split) -> float:
    """Parameters on the fullest GPU: its share of the blocks, and all that is not in blocks, cut by tensor only.

    The first stage holds the token table; where it is tied, the last holds it too.
    """
    blocks = w.groups["attention"] + w.groups["feed-forward"] + w.groups["norms"]
    return (blocks / split.pipeline + (w.parameters - blocks)) / split.tensor


def memory(w: Workload, split: Split, precision: str = "bfloat16") -> dict[str, float]:
    """Bytes on the fullest GPU.

    With one forward and one backward pass in turn (1F1B, Narayanan et al. 2019), the first stage holds the activations
    of min(m, p) micro-batches, of its L/p layers each: for m ≥ p as much as all L layers of one. Tensor and sequence
    parallelism divide activations by t (Korthikanti et al. 2022, equation 4). Recomputation keeps the blocks' inputs,
    and works on one block at a time. ZeRO-3 gathers the weights of two blocks at a time.
    """
    numbers, state = stage_parameters(w, split), state_bytes(precision)
    per_gpu = split.micro_rows / split.tensor
    flying = min(split.micro_batches, split.pipeline)
    blocks = 0.0
    for stack in w.stacks:
        kept = usual_bytes(stack, precision=precision, recompute=split.recompute)
        blocks += per_gpu * kept * stack.layers / split.pipeline * flying
    if split.recompute == "full":
        blocks += per_gpu * max(usual_bytes(stack, precision=precision) for stack in w.stacks)
    output = per_gpu * usual_output_bytes(w, precision=precision)
    parts = {"training state": numbers * sharded(state, split.zero, split.data)}
    if split.zero == 3:
        largest = max(stack.matrices + stack.memory_matrices for stack in w.stacks)
        parts["gathered weights"] = 2 * state.weights * largest / split.tensor
    return parts | {"activations": blocks, "scores": output}


def bubble(split: Split) -> float:
    """The part of a step in which a stage waits: (p − 1)/(m + p − 1) (Narayanan et al. 2021, section 2.2).

    A step of m micro-batches takes m + p − 1 turns, of which each stage works in m.
    """
    return (split.pipeline - 1) / (split.micro_batches + split.pipeline - 1)


def traffic(w: Workload, split: Split, precision: str = "bfloat16") -> dict[str, float]:
    """Bytes that one GPU sends in one step.

    gradients   A ring all-reduce of G bytes over d replicas sends 2 (d − 1)/d · G. ZeRO-1 sends the same: gradients are
                reduced and scattered, new weights gathered. ZeRO-3 gathers the weights for every forward and backward
                pass and scatters the gradients: 3 (d − 1)/d · G for each micro-batch (Rajbhandari et al. 2020).
    tensor      Each block all-reduces its output after attention and after the feed-forward layer, forward and
                backward: 4 times for each micro-batch, 6 with recomputation, 2 (t − 1)/t · b T C numbers each
                (Shoeybi et al. 2019; with sequence parallelism as many, in two halves). Decoder blocks with
                cross-attention have three sums in place of two.
    pipeline    b T C numbers forward and as many backward for each micro-batch, cut by t.
    """
    size = 4 if precision == "float32" else 2
    weights = size * stage_parameters(w, split)
    d, t, m = split.data, split.tensor, split.micro_batches
    gradients = (3 * m if split.zero == 3 else 2) * (d - 1) / d * weights
    sums = sum(s.layers * s.tokens * (3 if s.memory else 2) for s in w.stacks) / split.pipeline
    passes = 3 if split.recompute == "full" else 2
    states = size * split.micro_rows * w.width
    tensor = m * passes * sums * states * 2 * (t - 1) / t
    pipeline = 2 * m * states * w.stacks[0].tokens / t if split.pipeline > 1 else 0.0
    return {"gradients": gradients, "tensor": tensor, "pipeline": pipeline}


def _layout(w: Workload, split: Split, held: dict[str, float], gpu: Gpu, rows: int, precision: str) -> Layout:
    """Put a split's consequences together (rows that do not divide evenly cost as if they did)."""
    flops, peak = row_flops(w), gpu.peak(precision) * split.data * split.tensor * split.pipeline
    worked = split.data * split.micro_rows * split.micro_batches
    arithmetic = worked * flops.computed(split.recompute) / peak
    sent = traffic(w, split, precision)
    seconds = {
        "arithmetic": arithmetic,
        "bubble": arithmetic * (split.pipeline - 1) / split.micro_batches,
        "gradients": sent["gradients"] / _speed(gpu, split.data * split.tensor),
        "tensor": sent["tensor"] / gpu.link,
        "pipeline": sent["pipeline"] / _speed(gpu, split.data * split.tensor * split.pipeline),
    }
    ceiling = rows * flops.training / peak / sum(seconds.values())
    return Layout(split, held, bubble(split), sent, seconds, ceiling)


def _speed(gpu: Gpu, span: int) -> float:
    """How fast a group sends whose members are spread over `span` neighbouring GPUs."""
    return gpu.link if span <= NODE else gpu.network
