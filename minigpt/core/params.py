"""A model's parameters: an ordered specification, and one flat buffer with a named view for every tensor.

Gradients and the optimizer's moments have the same shape, so each of them is one array too: clipping is one norm, an
optimizer step one pass over memory, a checkpoint one write. Tensors that weight decay applies to come first, so that
"decay the matrices only" is one contiguous slice. A tied weight stands here once.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, Backend, array_module, get_backend
from minigpt.core.errors import UserError


class ParameterSpec(NamedTuple):
    """One tensor: its name, shape and initial distribution (mean plus std times a standard normal).

    One that is not `trained` is a constant that is kept with the parameters: its gradient stays zero.
    With `truncated`, a normal further than 2 from 0 is drawn again, as in BERT's code (which leaves a standard
    deviation of 0.88 std).
    """

    name: str
    shape: tuple[int, ...]
    std: float = 0.0
    mean: float = 0.0
    trained: bool = True
    truncated: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def decays(self) -> bool:
        """Matrices and embeddings decay; biases and norm gains, which are vectors, do not."""
        return len(self.shape) > 1 and self.trained


Watchers = list[Callable[[str], None]]  # called with the prefix of the names that are done


class Scope(Mapping[str, Array]):
    """The tensors whose names start with a prefix, under the rest of it: `params.scope("blocks.0")["norm1.gain"]`.

    Of gradients some may hold nothing yet (see `Gradients`): who adds asks for the tensor with `into`, who writes the
    whole of it with `claim`.
    """

    def __init__(self, views: dict[str, Array], unwritten: set[str], watchers: Watchers, prefix: str = ""):
        self._views, self._unwritten, self._watchers, self._prefix = views, unwritten, watchers, prefix

    def __getitem__(self, name: str) -> Array:
        name = self._prefix + name
        if name in self._unwritten:
            raise ValueError(f"nothing was added to the gradient of {name} yet: ask for it with into({name!r})")
        return self._views[name]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._views

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._views if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def scope(self, prefix: str) -> Scope:
        """The tensors below `prefix`."""
        return Scope(self._views, self._unwritten, self._watchers, f"{self._prefix}{prefix}.")

    def done(self) -> None:
        """This pass adds nothing more to these tensors: whoever waits for their gradients may take them."""
        for watch in self._watchers:
            watch(self._prefix)

    def claim(self, name: str) -> tuple[Array, bool]:
        """The tensor, and whether it holds nothing yet, so that the caller is to overwrite it."""
        name = self._prefix + name
        fresh = name in self._unwritten
        self._unwritten.discard(name)
        return self._views[name], fresh

    def into(self, name: str) -> Array:
        """The tensor, for a gradient to be added into; one that held nothing yet is set to zero."""
        view, fresh = self.claim(name)
        if fresh:
            view[...] = 0
        return view


class Parameters(Scope):
    """A read-only mapping from names to views of one flat buffer, in the order of the specification."""

    def __init__(self, specs: Iterable[ParameterSpec], flat: Array):
        super().__init__({}, set(), [])
        self.specs = tuple(specs)
        self.move(flat)

    def move(self, flat: Array) -> None:
        """Live in this buffer from now on; views that were taken before stay with the old one."""
        self.flat = flat
        start = 0
        for spec in self.specs:
            self._views[spec.name] = flat[start : start + spec.size].reshape(spec.shape)
            start += spec.size
        if start != flat.size or len(self._views) != len(self.specs):
            raise ValueError(f"{len(self.specs)} tensors of {start} numbers do not fit a buffer of {flat.size}")

    @property
    def decayed(self) -> int:
        """How many numbers at the start of the buffer weight decay applies to."""
        return sum(spec.size for spec in self.specs if spec.decays)

    @property
    def trained(self) -> int:
        """How many numbers at the start of the buffer are trained at all."""
        return sum(spec.size for spec in self.specs if spec.trained)

    def zeros_like(self) -> Parameters:
        """Return the same names over a new buffer of zeros: gradients, moments."""
        return Parameters(self.specs, array_module(self.flat).zeros_like(self.flat))

    def copy(self) -> Parameters:
        return Parameters(self.specs, self.flat.copy())

    def astype(self, dtype: str) -> Parameters:
        return Parameters(self.specs, self.flat.astype(dtype))


class Gradients(Parameters):
    """Gradients that count as zero without having been set to zero.

    Half a gigabyte of zeros, and adding to them, costs more than many an operation. So `clear` only notes that nothing
    was written to matrices yet; vectors, which are small, it sets to zero in one go (on a GPU, one launch). `into`
    fills a tensor with zeros the first time; `claim` says that nothing was there, and its caller overwrites. `complete`
    makes all of it valid; before that, what nothing was written to cannot be looked up.
    """

    def __init__(self, specs: Iterable[ParameterSpec], flat: Array):
        super().__init__(specs, flat)
        matrices = list(itertools.takewhile(operator.attrgetter("decays"), self.specs))
        self._matrices, self._vectors = [spec.name for spec in matrices], sum(spec.size for spec in matrices)
        self.clear()

    def clear(self) -> None:
        """Start anew: every gradient counts as zero. Vectors behind the matrices are small: they are, at once."""
        self._unwritten.update(self._matrices)
        self.flat[self._vectors :] = 0

    def complete(self, prefix: str = "") -> None:
        """Make the flat buffer, or the tensors under a prefix, valid: set to zero what nothing was written to."""
        for name in [name for name in self._unwritten if name.startswith(prefix)]:
            self.into(name)

    @contextmanager
    def watched(self, watch: Callable[[str], None]) -> Iterator[None]:
        """Call `watch` with a prefix of names whenever a backward pass is done with the tensors under it."""
        self._watchers.append(watch)
        try:
            yield
        finally:
            self._watchers.remove(watch)


def decayed_first(specs: Iterable[ParameterSpec]) -> tuple[ParameterSpec, ...]:
    """Order a specification: what weight decay applies to, then the rest, last what is not trained."""
    return tuple(sorted(specs, key=lambda spec: (not spec.trained, not spec.decays)))


def buffer(specs: Iterable[ParameterSpec], dtype: str) -> Array:
    """An array on the CPU, not filled yet, for all tensors of a specification.

    Raises:
        UserError: this machine has not so much memory.
    """
    count = sum(spec.size for spec in specs)
    needed, there = count * np.dtype(dtype).itemsize, memory()
    if there is not None and needed > there:
        raise UserError(
            f"the model has {count:,} parameters, {needed / 1e9:,.1f} GB in {dtype}, and this machine has "
            f"{there / 1e9:,.1f} GB of memory"
        )
    return np.empty(count, dtype)


def memory() -> int | None:
    """The bytes of memory that this machine has; None where the system does not say it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, for one
        return None


def initialize(
    specs: tuple[ParameterSpec, ...], *, seed: int, dtype: str = "float32", backend: Backend | str = "numpy"
) -> Parameters:
    """Draw initial parameters.

    Each tensor has its own generator, keyed by the seed and its name, so that adding a head or a layer leaves every
    other tensor as it was.
    """
    if isinstance(backend, str):
        backend = get_backend(backend)
    host = Parameters(specs, buffer(specs, dtype))
    for spec in specs:
        view = host[spec.name]
        if spec.std:
            draw = np.random.default_rng([seed, zlib.crc32(spec.name.encode())])
            normal = draw.standard_normal(spec.shape)
            while spec.truncated and (far := np.abs(normal) > 2).any():
                normal[far] = draw.standard_normal(int(far.sum()))
            view[...] = spec.mean + spec.std * normal
        else:
            view[...] = spec.mean
    return Parameters(specs, backend.asarray(host.flat))


def transfer(
    source: Mapping[str, Array], target: Parameters, *, missing: Iterable[str] = (), unexpected: Iterable[str] = ()
) -> None:
    """Copy the tensors of `source` into `target` by name, for instance a pretrained body under a new head.

    Args:
        missing: prefixes of names that the target has and the source need not have: they stay as they are.
        unexpected: prefixes of names that the source has and the target does not want.
    Raises:
        UserError: another tensor is missing or unexpected, or has another shape; the message names them.
    """
    lacking = [n for n in target if n not in source and not n.startswith(tuple(missing))]
    extra = [n for n in source if n not in target and not n.startswith(tuple(unexpected))]
    shapes = [n for n in target if n in source and target[n].shape != source[n].shape]
    problems = [("lack", lacking), ("have, though the model does not,", extra), ("have another shape for", shapes)]
    if found := [f"{verb} {', '.join(names)}" for verb, names in problems if names]:
        raise UserError(f"the weights do not fit the model: they {'; they '.join(found)}")
    for name in target:
        if name in source:
            target[name][...] = source[name]
