"""Every kernel compiles for every architecture, within a budget of registers and spilled bytes. NVRTC needs no GPU."""

import re

import pytest

from minigpt.blocks.mixed import low_dtype
from minigpt.kernels.mma import ELEMENTS, backward_tiles, forward_tiles
from minigpt.kernels.rows import ELEMENTS as FUSED_ELEMENTS
from minigpt.kernels.source import KERNEL, read_source

pytestmark = pytest.mark.nvrtc


def mma_defines(file, dtype, d, variant):
    tiles = (forward_tiles if file == "forward" else backward_tiles)(low_dtype(dtype), d)
    defines = {"HEAD_DIM": d, ELEMENTS[dtype]: 1, "FRAGMENTS": tiles.fragments, "STREAM": tiles.stream}
    return defines | {"-dropout": {"DROPOUT": 1}, "-atomic": {"ATOMIC_DQ": 1}, "": {}}[variant]


ARCHITECTURES = ("80", "86", "89", "90", "100", "120")
# 65,536 registers: with blocks of 256 threads, 128 registers are two blocks to a multiprocessor, 255 one.
# GELU's backward pass with erf works x + b out again: two builds on one architecture each take more for it.
MORE = {("activation-bfloat16", "120"): (72, 16), ("activation-float64", "90"): (128, 192)}
BUILDS = {
    "naive": ("naive.cu", {}, 64, 0),
    "tiled": ("tiled.cu", {}, 128, 16),
    **{
        f"flash-{d}-{tile}": ("flash.cu", {"HEAD_DIM": d, "BR": tile, "BC": tile}, 176, 128)
        for d, tile in ((16, 64), (24, 64), (64, 64), (72, 32), (128, 32), (128, 16))
    },
    **{
        f"mma-{file}-{dtype}-{d}{variant}": (f"mma_{file}.cu", mma_defines(file, dtype, d, variant), 255, spills)
        for file in ("forward", "backward")
        for dtype, widths in (("bfloat16", (16, 64, 96, 128)), ("float16", (64,)), ("float32", (64, 96, 128)))
        for d in widths
        for variant, spills in (("", 64), ("-dropout", 256), ("-atomic", 64))
        if not variant or (dtype != "float16" and (file, variant) != ("forward", "-atomic"))
    },
    **{
        # float64 serves gradient checks, not speed
        f"{file}-{dtype}": (f"{file}.cu", {define: 1}, *((128, 128) if dtype == "float64" else (64, 16)))
        for file in ("norm", "activation", "columns", "dropout", "cross_entropy", "adamw", "embedding")
        for dtype, define in FUSED_ELEMENTS.items()
    },
    # rows of 8,192 and 16,384 features, and of an odd number of them
    "norm-wide": ("norm.cu", {"ELEMENT_BFLOAT16": 1, "PACKS": 2}, 128, 16),
    "norm-widest": ("norm.cu", {"ELEMENT_FLOAT32": 1, "PACKS": 8}, 128, 1024),
    "norm-odd": ("norm.cu", {"ELEMENT_BFLOAT16": 1, "PACK": 1, "PACKS": 2}, 64, 0),
    "ptx": ("ptx_test.cu", {}, 64, 0),
}


def compiled(file, architecture, defines):
    """Registers, spilled bytes (stores and loads) and static shared bytes of every kernel in a file, as ptxas says."""
    from cuda.pathfinder import find_nvidia_header_directory
    from cupy.cuda import nvrtc

    options = [f"-arch=sm_{architecture}", "--std=c++17", "-ftz=true", "--ptxas-options=-v"]
    options += [f"-I{find_nvidia_header_directory('cudart')}", *(f"-D{k}={v}" for k, v in defines.items())]
    program = nvrtc.createProgram(read_source(file), file, (), ())
    try:
        nvrtc.compileProgram(program, tuple(options))
        assert len(nvrtc.getCUBIN(program)) > 1000
    finally:
        log = nvrtc.getProgramLog(program)
        print(log)
        nvrtc.destroyProgram(program)
    usage = {}
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)[1]
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        shared = re.search(r"(\d+) bytes smem", part)
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        usage[name] = registers, int(spills[1]) + int(spills[2]), int(shared[1]) if shared else 0
    return usage


def architectures(build):
    """Variants of the tensor-core kernels take seconds each: they are compiled for two generations."""
    variant = build.startswith("mma-") and not build.endswith(("16-64", "32-64", "16-128", "32-128"))
    return ("80", "90") if variant else ARCHITECTURES


@pytest.mark.parametrize(("build", "architecture"), [(b, a) for b in BUILDS for a in architectures(b)])
def test_compiles_within_its_budget(build, architecture):
    file, defines, registers, spills = BUILDS[build]
    registers, spills = MORE.get((build, architecture), (registers, spills))
    usage = compiled(file, architecture, defines)
    assert sorted(usage) == sorted(KERNEL.findall(read_source(file)))
    fits = [used <= registers and spilled <= spills and shared <= 48 * 1024 for used, spilled, shared in usage.values()]
    assert all(fits), usage
