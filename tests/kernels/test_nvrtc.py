"""Every kernel compiles for every architecture, within a budget of registers and spilled bytes. NVRTC needs no GPU."""

import re

import pytest

from minigpt.kernels.source import kernel_names, read_source

pytestmark = pytest.mark.nvrtc

ARCHITECTURES = ("80", "86", "89", "90", "100", "120")
# 65,536 registers: with blocks of 256 threads, 128 registers are two blocks to a multiprocessor, 255 one.
BUILDS = {
    "naive": ("naive.cu", {}, 64, 0),
    "tiled": ("tiled.cu", {}, 128, 16),
    **{
        f"flash-{d}-{tile}": ("flash.cu", {"HEAD_DIM": d, "BR": tile, "BC": tile}, 176, 128)
        for d, tile in ((16, 64), (24, 64), (64, 64), (72, 32), (128, 32), (128, 16))
    },
}


def compiled(file, architecture, defines):
    """Registers and spilled bytes (stores and loads) of every kernel in a file, from ptxas's report."""
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
        usage[name] = int(re.search(r"Used (\d+) registers", part)[1]), int(spills[1]) + int(spills[2])
    return usage


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("build", BUILDS)
def test_compiles_within_its_budget(build, architecture):
    file, defines, registers, spills = BUILDS[build]
    usage = compiled(file, architecture, defines)
    assert sorted(usage) == sorted(kernel_names(read_source(file)))
    assert all(used <= registers and spilled <= spills for used, spilled in usage.values()), usage
