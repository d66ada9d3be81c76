"""safetensors files: read as the library reads them, memory-mapped, block by block, whatever they are stored as."""

import json
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minigpt.core.errors import UserError
from minigpt.core.tensor_file import file_pieces
from minigpt.interop import weight_files
from minigpt.interop.weight_files import open_file

from .files import bfloat16, write_tensors


def read(path):
    tensors = {}
    for name, stored in open_file(path).items():
        tensors[name] = np.empty(stored.shape, np.float64)
        stored.copy_into(tensors[name])
    return tensors


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"matrix": (7, 5), "vector": (3,), "cube": (2, 1, 3), "scalar": (), "none": (0, 4)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_the_library_reads_what_we_write_and_we_what_it_writes(arrays, tmp_path):
    (tmp_path / "ours").write_bytes(b"".join(file_pieces(arrays)))
    assert {k: v.tolist() for k, v in load_file(tmp_path / "ours").items()} == {
        k: v.tolist() for k, v in arrays.items()
    }
    save_file(arrays, tmp_path / "theirs", metadata={"format": "pt"})
    for path in ("ours", "theirs"):
        found = read(tmp_path / path)
        assert found.keys() == arrays.keys() and all(np.array_equal(found[k], arrays[k]) for k in arrays)


def test_views_are_written_in_their_own_layout(tmp_path):
    x = np.arange(12, dtype=np.float64).reshape(3, 4)
    (tmp_path / "f").write_bytes(b"".join(file_pieces({"t": x.T, "c": x[:, 1:3]})))
    found = load_file(tmp_path / "f")
    assert np.array_equal(found["t"], x.T) and np.array_equal(found["c"], x[:, 1:3])


@pytest.mark.parametrize("rows", [1, 4, 1000])
def test_every_precision(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "_BLOCK", 5 * rows)
    x = np.random.default_rng(1).standard_normal((9, 5))
    small = np.array([2.0**-120, 1.0, -3.0, 2.0**120])  # beyond float16, exact in bfloat16
    stored = {
        "f8": ("F64", (9, 5), x.tobytes()),
        "f4": ("F32", (9, 5), x.astype("<f4").tobytes()),
        "f2": ("F16", (9, 5), x.astype("<f2").tobytes()),
        "bf": ("BF16", (9, 5), bfloat16(x)),
        "bf small": ("BF16", (4,), bfloat16(small)),
    }
    write_tensors(tmp_path / "f", stored)
    found = read(tmp_path / "f")
    assert np.array_equal(found["f8"], x) and np.array_equal(found["f4"], x.astype("f4"))
    assert np.array_equal(found["f2"], x.astype("f2")) and np.array_equal(found["bf small"], small)
    assert np.abs(found["bf"] / x - 1).max() < 2.0**-7


def test_transposed_targets_are_filled_in_place(tmp_path):
    save_file({"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, tmp_path / "f")
    ours = np.zeros((3, 4), np.float32)
    open_file(tmp_path / "f")["w"].copy_into(ours[:, 1:3].T)
    assert ours.tolist() == [[0, 0, 3, 0], [0, 1, 4, 0], [0, 2, 5, 0]]


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_a_tensor_is_never_twice_in_memory(dtype, tmp_path):
    """Copying 32 MB (64 MB as float32) takes the memory of a few blocks, not that of the tensor."""
    size = 1 << 24
    with open(tmp_path / "f", "wb") as file:
        itemsize = 4 if dtype == "F32" else 2
        header = json.dumps({"w": {"dtype": dtype, "shape": [4096, 4096], "data_offsets": [0, size * itemsize]}})
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + size * itemsize)
    target = np.empty((4096, 4096), np.float32)
    tracemalloc.start()
    open_file(tmp_path / "f")["w"].copy_into(target.T)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24e6 and not target.any()


def test_other_types_are_refused_when_they_are_needed(tmp_path):
    write_tensors(tmp_path / "f", {"w": ("F8_E4M3", (2,), b"ab"), "i": ("I64", (1,), bytes(8))})
    for name, dtype in [("w", "F8_E4M3"), ("i", "I64")]:
        stored = open_file(tmp_path / "f")[name]
        with pytest.raises(UserError, match=f"{name} is stored as {dtype}; only F64, F32, F16, BF16 are read"):
            stored.copy_into(np.empty(stored.shape))


def test_numbers_too_large_for_the_target(tmp_path):
    save_file({"w": np.array([1.0, 1e300])}, tmp_path / "f")
    with pytest.raises(UserError, match="w has values that are not finite in float32"):
        open_file(tmp_path / "f")["w"].copy_into(np.empty(2, np.float32))
