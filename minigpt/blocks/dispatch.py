"""Which implementation of the operations, and of attention in particular, a run uses: decided once, when it starts."""

from __future__ import annotations

from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from minigpt import fast, ops
from minigpt.blocks.mixed import DTYPES, Mixed
from minigpt.core.backend import Backend
from minigpt.core.errors import UserError
from minigpt.kernels.emulator import Emulation, compiler_problem
from minigpt.kernels.fused import NATIVE, operations_table
from minigpt.kernels.ladder import RUNGS
from minigpt.ops import Operations

IMPLEMENTATIONS = ("auto", "plain", "fast", "compiled", "kernels")
ATTENTIONS = ("auto", "reference", "tiled", *(f"cuda:{rung}" for rung in RUNGS))


def operations(name: str, backend: Backend, *, emulate: bool = False) -> Operations:
    """Return the operations that `name` asks for, a module or what looks like one.

    "plain" is `minigpt.ops`, which runs anywhere; "fast" is `minigpt.fast` and "compiled" `minigpt.fast.loops`, for
    NumPy arrays only; "kernels" are the fused CUDA kernels of `minigpt.kernels.fused`, on a GPU or emulated; "auto" is
    what `settled` says.

    Raises:
        UserError: the implementation cannot run on this backend.
    """
    name = settled(name, backend)
    if name in ("fast", "compiled") and backend.name != "numpy":
        raise UserError(
            f"train.operations = {name!r} runs on NumPy only, not on {backend.name}; choose 'auto' or 'plain'"
        )
    if name == "kernels":
        _check_emulate("train.operations = 'kernels'", backend, emulate)
        return operations_table(emulation=Emulation() if emulate else None, in_place_loss=True)
    if name == "compiled":
        if problem := numba_problem():
            raise UserError(f"train.operations = 'compiled' cannot run: {problem}")
        table: Operations = compiled_loops().OPERATIONS
        return table
    return ops if name == "plain" else fast


def settled(name: str, backend: Backend) -> str:
    """Which operations "auto" means; another name is what it is.

    On NumPy they are "compiled" where Numba can be used, or else "fast"; on CuPy "kernels", since every array operation
    is a launch and a pass over memory there, and the fast versions' loops over blocks would be a storm of launches.
    """
    if name != "auto":
        return name
    return "kernels" if backend.name != "numpy" else "fast" if numba_problem() else "compiled"


@cache
def numba_problem() -> str | None:
    """Say in one sentence why loops cannot be compiled here and what helps, or return None if they can."""
    try:
        import numba  # noqa: F401
    except ModuleNotFoundError:
        return "Numba is not installed; in the clone, pip install '.[numba]' brings it"
    except ImportError as error:  # of a version that does not go with NumPy's, for instance
        return f"Numba does not work here ({error})"
    return None


def compiled_loops() -> ModuleType:
    """`minigpt.fast.loops`, compiled. It needs Numba, so it is imported where it is asked for."""
    from minigpt.fast import loops

    loops.prepare()
    return loops


class Choice(NamedTuple):
    """What a run computes with.

    Attributes:
        name: of the operations, never "auto".
        operations: the operations themselves, a module or what looks like one.
        attention: which attention is among them, and why, in one line.
    """

    name: str
    operations: Operations
    attention: str


def choose(
    name: str, backend: Backend, *, attention: str = "auto", emulate: bool = False, dtype: str, head_width: int
) -> Choice:
    """Settle the operations of a run and the attention among them.

    Args:
        attention: "reference" (minigpt/ops), "tiled" (minigpt/fast, or its loops with compiled operations; NumPy
            only), "cuda:RUNG" (minigpt/kernels, on a GPU or emulated), or "auto".
        emulate: run CUDA kernels on the CPU's emulator.
        dtype, head_width: what attention will be given; with a dtype of 16 bits all operations are `Mixed`.
    Raises:
        UserError: what was asked for cannot run here; nothing else is put in its place.
    """
    name = settled(name, backend)
    if emulate and not attention.startswith("cuda:") and name != "kernels":
        raise UserError(
            "train.emulate runs CUDA kernels on the CPU; choose one, such as train.attention = 'cuda:flash'"
        )
    table = operations(name, backend, emulate=emulate)
    if attention == "auto":
        attention, why = _auto(name, backend, dtype, head_width)
    else:
        why = "as asked for, on the CPU emulator" if emulate else "as asked for"
    if attention.startswith("cuda:"):
        source = _cuda(attention, backend, emulate, dtype, head_width)
    elif attention == "tiled" and backend.name != "numpy":
        raise UserError(f"train.attention = 'tiled' runs on NumPy only, not on {backend.name}")
    else:
        source = ops if attention == "reference" else table if name == "compiled" else fast
    chosen = _with_attention(table, source)
    if dtype in DTYPES:
        native = NATIVE if name == "kernels" else ()
        takes_low = attention.startswith("cuda:")  # a rung was asked for this dtype above
        chosen = Mixed(chosen, (*native, *(("attention_forward", "attention_backward") if takes_low else ())))
    return Choice(name, chosen, f"{attention} ({why})")


def _auto(name: str, backend: Backend, dtype: str, head_width: int) -> tuple[str, str]:
    """The attention that belongs to the operations on NumPy, the highest rung of the dtype on CuPy; and why."""
    if backend.name == "numpy":
        return "tiled" if name in ("fast", "compiled") else "reference", f"of the {name} operations"
    rung = "flash" if dtype == "float32" else "mma"  # float32 on tensor cores (TF32) only if asked for
    if rung in RUNGS and RUNGS[rung].problem(dtype, head_width) is None:
        return f"cuda:{rung}", f"the fastest kernel for {dtype} and heads of {head_width}"
    return "reference", f"no kernel takes {dtype} and heads of {head_width}"


def _cuda(attention: str, backend: Backend, emulate: bool, dtype: str, head_width: int) -> Any:
    rung = RUNGS[attention.removeprefix("cuda:")]
    _check_emulate(f"train.attention = {attention!r}", backend, emulate)
    if problem := rung.problem(dtype, head_width):
        raise UserError(f"train.attention = {attention!r} cannot run: {problem}")
    return rung(emulation=Emulation() if emulate else None)


def _check_emulate(setting: str, backend: Backend, emulate: bool) -> None:
    """Raise UserError unless kernels can run here: on a GPU, or on the emulator where that was asked for."""
    if backend.name == "numpy" and not emulate:
        raise UserError(
            f"{setting} needs a GPU (train.backend = 'cupy'), or train.emulate = true to run its kernels on the CPU "
            "emulator, slowly"
        )
    if emulate and backend.name != "numpy":
        raise UserError(f"train.emulate runs kernels on the CPU, on NumPy arrays; the backend is {backend.name}")
    problem = compiler_problem() if emulate else None
    if problem:
        raise UserError(f"{setting} cannot run: {problem}")


def _with_attention(table: Any, source: Any) -> Any:
    """The operations of `table`, with those for attention from `source`."""
    if table.attention_forward == source.attention_forward:
        return table
    names = {name: value for name, value in vars(table).items() if not name.startswith("_")}
    own = {"attention_forward": source.attention_forward, "attention_backward": source.attention_backward}
    return SimpleNamespace(**names | own)
