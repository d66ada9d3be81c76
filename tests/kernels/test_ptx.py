"""Every instruction of ptx.cuh alone, on the emulator; tests/gpu has the same for a real GPU."""

import re

import pytest

from minigpt.kernels.source import read_source

from .device import EMULATOR
from .ptx_checks import CHECKS


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_instruction(check):
    check(EMULATOR)


def test_none_is_left_out():
    source = read_source("ptx_test.cu")
    header, tests = source.split('#line 1 "ptx.cuh"')[1].split('"ptx_test.cu"\n', 1)
    names = set(re.findall(r"__forceinline__ \w+ (\w+)\(", header)) | set(re.findall(r"PTX_MMA\((\w+), \"", header))
    names -= {"name", "shared_address"}
    assert len(names) >= 14
    assert all(re.search(rf"\b{name}\b", tests) for name in names), names
