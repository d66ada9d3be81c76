"""exp and the normal distribution, for loops: polynomials in float32, which loops compute for many numbers at a time.

In float64 they are the C library's, one number at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from minigpt.fast.activation import TAIL, P
from minigpt.fast.loops.compiled import compiled

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)  # its last bits are zero, so n · this is exact
_LN2_LOW = np.float32(math.log(2.0) - 0.693359375)
_LOWEST = np.float32(-87.3)  # e to the power of less is no normal number
_HIGHEST = np.float32(89.0)
# e^r = 1 + r + r² (c₀ + … + c₄ r⁴) for −½ ln 2 ≤ r ≤ ½ ln 2: least squares with weights moved towards the largest
# relative error, which is 3e-9
_EXP = (0.49999993413354055, 0.1666652013847319, 0.04166839433562127, 0.008368776778166487, 0.001381443789482202)
_E0, _E1, _E2, _E3, _E4 = (np.float32(c) for c in _EXP)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_P = np.float32(P)
_T0, _T1, _T2, _T3, _T4, _T5 = (np.float32(c) for c in TAIL)


def _from_bits_code(context: Any, bits: Any) -> Any:
    """The float32 that has these 32 bits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), code


_from_bits: Any = intrinsic(_from_bits_code)


def _larger_code(context: Any, x: Any, y: Any) -> Any:
    """The larger of two numbers that are not NaN: Python's max of floats is one that LLVM takes one by one."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.maxnum", [real], ir.FunctionType(real, [real, real]))
        return builder.call(function, arguments, fastmath=("nnan", "nsz"))

    return x(x, y), code


_larger: Any = intrinsic(_larger_code)


def exp(x: float) -> float:
    """e^x. In float32 to a relative error of 1.2e-7; 0 below −87.3, and ∞ already above 88.37."""
    return math.exp(x)


def normal_distribution(x: float, density: float) -> float:
    """Φ(x), given e^(−x²/2). In float32 to an error of 3e-7."""
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


def _exp_float32(x: Any) -> Any:
    limited = min(x, _HIGHEST)
    n = np.floor(limited * _LOG2_E + _HALF)
    r = (limited - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0) * r * r + r + _ONE
    y = p * _from_bits((np.int32(n) + np.int32(127)) << np.int32(23))  # times 2ⁿ
    return _ZERO if x < _LOWEST else y


def _exp_exact(x: Any) -> Any:
    return math.exp(x)


def _normal_float32(x: Any, density: Any) -> Any:
    t = _ONE / (_ONE + _P * abs(x))
    tail = (((((_T0 * t + _T1) * t + _T2) * t + _T3) * t + _T4) * t + _T5) * t * density  # Φ(−|x|)
    return tail if x < _ZERO else _ONE - tail


def _normal_exact(x: Any, density: Any) -> Any:
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


def _exp_of(x: Any) -> Callable[..., Any]:
    return _exp_float32 if x == types.float32 else _exp_exact


def _normal_of(x: Any, density: Any) -> Callable[..., Any]:
    return _normal_float32 if x == types.float32 else _normal_exact


overload(exp, jit_options={"fastmath": {"contract"}})(_exp_of)
overload(normal_distribution, jit_options={"fastmath": {"contract"}})(_normal_of)


@compiled
def largest(row: Any) -> Any:
    """The largest number of a row, of one with NaN some number; −∞ of an empty row."""
    top = row.dtype.type(-np.inf)
    for j in range(row.size):
        top = _larger(top, row[j])
    return top
