"""The page of a kernel: what it works out from the trace is what the kernel gave, and its lines are where it says."""

import base64
import json

import numpy as np
import pytest

from minigpt import ops
from minigpt.lab.explain.kernel_page import KernelPage, kernel_data, kernel_lines, phase_lines
from minigpt.lab.explain.kernel_walk import Sizes, Traced, Walk, run_flash
from minigpt.lab.trace import SHARED, Launch

ACCESS = np.dtype([(n, "i4") for n in ("step", "block", "thread", "phase")] + [("array", "i2"), ("element", "i8")])
ACCESS = np.dtype([*ACCESS.descr, ("count", "i2"), ("write", "?")])


def copies(phase, array, rows, at, stride, width):
    """A tile's rows from an array (1, T, 1, D) into shared memory, row by row, a thread each; None is no row."""
    for r, row in enumerate(rows):
        for c in range(stride):
            if row is not None and c < width:
                yield (0, 0, r, phase, array, row * width + c, 1, False)
            yield (0, 0, r, phase, -1, at + r * stride + c, 1, True)


def by_hand(n=3, width=2, tile=2):
    """Flash attention over three tokens in tiles of two, as the kernel would go about it, and its accesses."""
    rng = np.random.default_rng(3)
    q, k, v = (rng.standard_normal((1, n, 1, width)).astype(np.float32) for _ in range(3))
    o, _ = ops.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    z = np.where(np.tri(n) > 0, q[0, :, 0] @ k[0, :, 0].T / np.sqrt(width), -np.inf)
    lse = np.log(np.exp(z).sum(1)).astype(np.float32)[None, None]
    sizes = Sizes(n, 1, width, tile)
    words, accesses = tile * sizes.stride, []
    for turn, rows in enumerate(([0, 1], [2, None])):
        at = 3 * turn
        for array in (0, 1, 2) if turn == 0 else (1, 2):
            own = [2, None] if array == 0 else rows
            accesses += copies(at, array, own, array * words, sizes.stride, width)
        accesses += [(0, 0, r, at + 1, -1, 3 * words + r * sizes.score_stride, tile, True) for r in range(tile)]
        accesses += [(0, 0, r, at + 2, -1, 3 * words + r * sizes.score_stride, tile, False) for r in range(tile)]
    accesses += [(0, 0, 0, 6, 3, 2 * width + c, 1, True) for c in range(width)] + [(0, 0, 0, 6, 4, 2, 1, True)]
    a = np.array(accesses, ACCESS)
    a["block"] = 1  # the second tile of queries: token 2 alone
    arrays = {"q": q, "k": k, "v": v, "o": o, "lse": lse}
    launch = Launch("flash_forward", (2, 1, 1), (256, 1, 1), {name: x.shape for name, x in arrays.items()}, a)
    return Traced(sizes, ops.Mask(causal=True), launch, arrays)


def test_a_block_s_numbers_follow_from_who_copied_what():
    traced = by_hand()
    phases = Walk(traced, 1).phases
    assert [p.kind for p in phases] == ["load", "scores", "mixture", "load", "scores", "mixture", "write"]
    k, v = traced.arrays["k"][0, :, 0], traced.arrays["v"][0, :, 0]
    assert [p.keys for p in phases] == [0, 0, 0, 2, 2, 2, 2]
    assert np.array_equal(phases[0].shared["ks"][:, :2], k[:2]) and np.isnan(phases[0].shared["ps"]).all()
    assert np.array_equal(phases[3].shared["vs"][:, :2], [v[2], [0, 0]])  # beyond the end: zeros
    z = traced.arrays["q"][0, 2, 0] @ k.T / np.sqrt(2)
    first, second = phases[1].rows, phases[4].rows
    assert first.m_before[0] == -np.inf and first.m[0] == pytest.approx(z[:2].max())
    assert first.l[0] == pytest.approx(np.exp(z[:2] - z[:2].max()).sum())
    assert second.m_before[0] == first.m[0] and second.l_before[0] == first.l[0]
    assert second.l[0] == pytest.approx(np.exp(z - z.max()).sum(), rel=1e-6)
    assert second.shrink[0] == pytest.approx(np.exp(z[:2].max() - z.max()), rel=1e-6)
    assert phases[4].scores[0, 1] == -np.inf and phases[4].scores[0, 0] == pytest.approx(z[2])
    assert np.allclose(phases[6].output[0], traced.arrays["o"][0, 2, 0], atol=1e-6)
    assert phases[6].lse[0] == pytest.approx(traced.arrays["lse"][0, 0, 2], rel=1e-6)
    assert phases[0].touched["k", "read"].tolist() == [[0, 0], [0, 1], [1, 2], [1, 3]]
    assert phases[1].touched[SHARED, "write"].shape == (4, 2)  # a count of 2 is two words


def test_lines_are_cut_at_the_barriers():
    text, parts = dict(kernel_lines()), phase_lines()
    joined = {kind: "\n".join(text[n] for n in numbers) for kind, numbers in parts.items()}
    assert "load_tile<BR>(qs" in joined["first"] and joined["load"].count("load_tile<BC>") == 2
    assert "row_max(largest)" in joined["scores"] and "store_scores(ps" in joined["scores"]
    assert "scores_times_rows" in joined["mixture"] and "store_rows(o" in joined["write"]
    assert [joined[kind].count("__syncthreads()") for kind in ("load", "scores", "mixture", "write")] == [1, 1, 1, 0]
    numbers = sorted({n for own in parts.values() for n in own})
    left = [text[n].strip() for n in text if n not in numbers]
    assert left == ["}", "}"]  # the loop's end and the kernel's


CASES = [(Sizes(), ops.Mask(causal=True)), (Sizes(20, 1, 24), ops.Mask(window=3)), (Sizes(33, 1, 8, 32), ops.NO_MASK)]


@pytest.mark.slow("test_a_block_s_numbers_follow_from_who_copied_what: the same from accesses written by hand")
@pytest.mark.parametrize(("sizes", "mask"), CASES)
def test_the_walk_ends_with_what_the_kernel_gave(sizes, mask):
    traced = run_flash(sizes, mask)
    q, k, v, o, lse = (traced.arrays[name] for name in ("q", "k", "v", "o", "lse"))
    expected, _ = ops.attention_forward(q, k, v, mask=mask)
    assert np.allclose(o, expected, atol=1e-5)
    seen = np.zeros(lse.shape, bool)
    for block in range(int(np.prod(traced.launch.grid))):
        last = Walk(traced, block).phases[-1]
        first, head = block % traced.launch.grid[0] * sizes.tile, block // traced.launch.grid[0]
        rows = slice(first, min(first + sizes.tile, sizes.tokens))
        n = rows.stop - first
        assert np.allclose(last.output[:n], o[0, rows, head], atol=2e-6)
        assert np.allclose(last.lse[:n], lse[0, head, rows], atol=2e-6)
        seen[0, head, rows] = True
        written = np.unravel_index(last.touched["o", "write"][:, 1], o.shape)
        assert set(written[1]) == set(range(rows.start, rows.stop)) and set(written[2]) == {head}
    assert seen.all()


@pytest.mark.slow("test_a_block_s_numbers_follow_from_who_copied_what")
def test_every_access_is_on_the_page_and_the_page_is_small():
    traced = run_flash()
    page = KernelPage(traced)
    data = page.data
    assert len(page.html) < 1_000_000 and json.loads(json.dumps(data, allow_nan=False))["steps"]
    assert len(data["steps"]) == 1 + sum(3 * tiles + 1 for tiles in (1, 2, 3, 1, 2, 3))
    a, lengths = traced.launch.accesses, [len(base64.b64decode(x)) // 4 for x in data["touches"]]
    names = [*traced.launch.arrays, SHARED]
    for step in data["steps"][1:]:
        own = a[(a["block"] == step["block"]) & (a["phase"] == step["phase"])]
        counted = np.unique(np.stack([own["array"], own["thread"], own["element"], own["write"]]), axis=1).shape[1]
        shown = [n for touched in step["touched"].values() for n in touched.values()]
        assert sum(lengths[n] for n in shown) == counted, (step["block"], step["phase"], names)


def test_a_page_of_accesses_written_by_hand():
    traced = by_hand()
    data = kernel_data(traced._replace(launch=traced.launch._replace(grid=(2, 1, 1))))
    steps = data["steps"]
    assert [s["kind"] for s in steps[:3]] == ["grid", "load", "scores"] and steps[2]["touched"].keys() == {"ps"}
    pairs = np.frombuffer(base64.b64decode(data["touches"][steps[1]["touched"]["q"]["read"]]), "<u2").reshape(-1, 2)
    assert pairs.tolist() == [[0, 4], [0, 5]]  # the block's own row, number 2
    assert steps[2]["rows"]["m_before"] == [None, None]  # −∞
