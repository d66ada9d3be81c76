"""Accelerators as their makers state them, and this machine as it is measured."""

from __future__ import annotations

import os
from typing import NamedTuple

from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError, nearest
from minigpt.lab.benchmark.events import STATED, measured_ceiling

NODE = 8  # GPUs that share a fast link


class Gpu(NamedTuple):
    """One accelerator.

    Attributes:
        flops: peak of 16-bit matrix products with float32 sums, dense; flops32: of float32 ones.
        memory: bytes. bandwidth: bytes/s to it.
        link: bytes/s that it sends to the others of its node; network: to other nodes, its share of the node's network
            cards. Both one way, as the usual machines have them (DGX and HGX; for cards without NVLink PCIe).
        bfloat16: whether its tensor cores take bfloat16 (else float16).
        measured: whether the speeds were measured here and not stated by the maker.
    """

    name: str
    flops: float
    flops32: float
    memory: float
    bandwidth: float
    link: float
    network: float
    bfloat16: bool = True
    measured: bool = False

    def peak(self, precision: str) -> float:
        return self.flops32 if precision == "float32" else self.flops


# What STATED, which the benchmarks compare with, does not say: memory, link and network, in GB and GB/s.
_MORE = {
    "H200": (141, 450, 50),
    "H100": (80, 450, 50),
    "H100 PCIe": (80, 64, 25),
    "A100": (80, 300, 25),
    "L40S": (48, 32, 25),
    "L4": (24, 32, 12.5),
    "RTX 4090": (24, 32, 12.5),
    "RTX 3090": (24, 32, 12.5),
}
_V100 = Gpu("V100", 125e12, 15.7e12, 32e9, 0.9e12, 150e9, 12.5e9, bfloat16=False)  # what GPT-3 was trained on

GPUS = {"v100": _V100}
for _name, (_memory, _link, _network) in _MORE.items():
    _low, _single, _bandwidth = STATED[_name]
    _numbers = (_low, _single, _memory * 1e9, _bandwidth, _link * 1e9, _network * 1e9)
    GPUS[_name.lower().replace(" ", "-")] = Gpu(_name, *_numbers)


def find_gpu(name: str) -> Gpu:
    """The accelerator called so; "cpu" measures this machine.

    Raises:
        UserError: there is none of that name.
    """
    key = name.strip().lower().replace(" ", "-")
    if key == "cpu":
        return this_machine()
    if key not in GPUS:
        raise UserError(f"unknown GPU {name!r}: {nearest(key, [*sorted(GPUS), 'cpu'])}")
    return GPUS[key]


def this_machine() -> Gpu:
    """This machine's float32 matrix products and copies, measured in about a second, and its memory.

    Raises:
        UserError: the system does not say how much memory there is.
    """
    if not hasattr(os, "sysconf"):
        raise UserError("this system does not say how much memory it has, so --gpu cpu has nothing to plan with")
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    ceiling = measured_ceiling(get_backend("numpy"), "float32", size=1024, megabytes=64)
    return Gpu("CPU", ceiling.flops, ceiling.flops, memory, ceiling.bytes, ceiling.bytes, ceiling.bytes, measured=True)
