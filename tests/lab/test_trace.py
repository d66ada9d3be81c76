"""The teaching trace: what it says of a kernel is what the kernel does."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.core.errors import UserError
from minigpt.kernels.attention import Flash, Tiled
from minigpt.kernels.emulator import EmulatedModule, Emulation
from minigpt.lab.plot import save_figure
from minigpt.lab.trace import SHARED, Trace, figure, who

SHIFT = """
extern "C" __global__ void shift(const float* x, float* y, int n) {
  DYNAMIC_SHARED(float, s);
  const int i = blockIdx.x * 4 + threadIdx.x;
  s[threadIdx.x] = x[i];
  __syncthreads();
  y[n - 1 - i] = s[3 - threadIdx.x];
}
"""


def test_every_access_of_a_small_kernel():
    trace = Trace()
    x, y = np.arange(8, dtype=np.float32), np.zeros((2, 4), np.float32)
    kernel = EmulatedModule(SHIFT, emulation=Emulation(trace=trace)).get_function("shift")
    kernel((2,), (4,), (x, y, np.int32(8)), shared_mem=16)
    assert y.reshape(-1).tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    (launch,) = trace.launches
    assert launch.arrays == {"x": (8,), "y": (2, 4)} and launch.grid == (2, 1, 1)
    reads = [r for r in launch.records() if r["array"] == "x"]
    assert [(r["block"][0], r["thread"], r["phase"], r["access"], r["index"]) for r in reads] == [
        (i // 4, i % 4, 0, "read", (i,)) for i in range(8)
    ]
    writes = launch.records(launch.of("y", write=True))
    # within a phase in any order: here the last to reach the barrier goes on first
    assert sorted((r["thread"], r["phase"], r["index"]) for r in writes if r["block"][0] == 1) == [
        (t, 1, (0, 3 - t)) for t in range(4)
    ]
    shared = launch.of(SHARED, block=0)
    assert [(a["element"], a["thread"]) for a in shared[:4]] == [(t, t) for t in range(4)] and shared["write"][:4].all()
    assert {(a["element"], a["thread"]) for a in shared[4:]} == {(3 - t, t) for t in range(4)}
    assert not shared["write"][4:].any()
    with pytest.raises(UserError, match="shift has no array 'z': choose one of x, y, shared memory"):
        launch.of("z")


def attention(rung, **settings):
    """The launches of one causal forward and backward pass on views of one fused array."""
    trace = Trace()
    qkv = np.random.default_rng(0).standard_normal((1, 48, 6, 16)).astype(np.float32)
    q, k, v = qkv[:, :, :2], qkv[:, :, 2:4], qkv[:, :, 4:]
    implementation = rung(emulation=Emulation(trace=trace), **settings)
    y, cache = implementation.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    implementation.attention_backward(y, cache)
    expected, _ = ops.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    np.testing.assert_allclose(y, expected, atol=1e-5)
    return {launch.kernel: launch for launch in trace.launches}


@pytest.mark.slow("test_every_access_of_a_small_kernel")
def test_flash_attention_reads_the_tiles_that_it_should(tmp_path):
    launches = attention(Flash, tile=16)
    assert list(launches) == ["flash_forward", "flash_delta", "flash_backward_keys", "flash_backward_queries"]
    forward = launches["flash_forward"]
    tiles = [list(range(start, start + 16)) for start in (0, 16, 32)]
    for block in range(3):  # a causal block reads the key tiles up to its own, three barriers apart
        assert forward.rows("q", block=block) == {0: tiles[block]}
        assert forward.rows("k", block=block) == {3 * i: tiles[i] for i in range(block + 1)}
    backward = launches["flash_backward_keys"]
    assert list(backward.rows("q", block=2).values()) == [tiles[2]]
    assert list(backward.rows("q", block=0).values()) == tiles
    written = who(forward, "o", write=True)
    assert written.shape == (48, 16)
    assert (
        written == np.arange(16) + 16 * (np.arange(48) % 16)[:, None]
    ).all()  # thread (tx, ty) owns column tx, row ty
    path = save_figure(figure(forward), tmp_path / "flash.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow("test_every_access_of_a_small_kernel")
def test_only_the_first_rungs_touch_a_matrix_of_scores():
    assert "scores" in attention(Tiled)["tiled_scores"].arrays
    for launch in attention(Flash).values():
        assert all(np.prod(shape[1:]) < 48 * 48 for shape in launch.arrays.values())


@pytest.mark.slow("test_every_access_of_a_small_kernel")
def test_atomic_additions_are_seen():
    backward = attention(Flash, tile=16, deterministic=False)["flash_backward_keys"]
    added = backward.of("dq", write=True)
    assert set(added["block"].tolist()) == set(range(6)) and len(added) >= (1 + 2 + 3) * 16 * 16 * 2
