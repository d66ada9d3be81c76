"""Layouts fit, use every GPU, and lose what they are said to lose."""

import pytest

from minigpt.lab.plan import find_gpu
from minigpt.lab.plan.flops import row_flops
from minigpt.lab.plan.layout import (
    USABLE,
    Split,
    best_layout,
    bubble,
    memory,
    smallest,
    splits,
    stage_parameters,
    traffic,
)
from minigpt.lab.plan.memory import usual_bytes
from minigpt.lab.plan.workload import workload
from minigpt.train.config import build_config, read_preset


def of(name):
    return workload(build_config(read_preset(name)))


@pytest.mark.parametrize(
    "name, gpu, gpus, rows",
    [
        ("gpt3-175b", "a100", 1024, 1562),
        ("gpt3-175b", "v100", 2048, 1562),
        ("llama-65b", "a100", 2048, 2048),
        ("gpt2", "l4", 6, 512),
        ("bert-large-uncased", "v100", 16, 256),
        ("bart-large", "h100", 8, 8000),
    ],
)
def test_what_is_chosen_fits_and_uses_every_gpu(name, gpu, gpus, rows):
    w, card = of(name), find_gpu(gpu)
    layout = best_layout(w, card, gpus, rows)
    s = layout.split
    assert s.data * s.tensor * s.pipeline == gpus
    assert layout.bytes <= USABLE * card.memory
    assert s.data * s.micro_rows * (s.micro_batches - 1) < rows <= s.data * s.micro_rows * s.micro_batches
    assert w.stacks[0].layers % s.pipeline == 0 and w.stacks[0].block.kv_heads % s.tensor == 0
    assert 0 < layout.ceiling < 1
    everything = [best for best in splits(w, gpus, rows) if sum(memory(w, best).values()) <= USABLE * card.memory]
    assert s in everything


def test_the_smallest_number_of_gpus():
    w, h100 = of("gpt3-175b"), find_gpu("h100")
    few = smallest(w, h100, 1562)
    assert best_layout(w, h100, few, 1562) and not best_layout(w, h100, few // 2, 1562)
    assert few >= 174.6e9 * 16 / (USABLE * 80e9)  # the training state alone
    assert smallest(of("gpt2"), h100, 512) == 1
    assert smallest(w, find_gpu("l4"), 1, most=64) is None


def test_bubble_is_idle_turns_over_all_turns():
    """Counted on a time table of 1F1B: each stage works in m turns forward, and the last begins p − 1 turns late."""
    for p, m in [(1, 5), (4, 4), (8, 32), (3, 1)]:
        turns = m + p - 1
        assert bubble(Split(1, 1, p, 0, 1, m, "none")) == pytest.approx((turns - m) / turns)


def test_more_data_parallel_shards_hold_less():
    w = of("llama-7b")
    held = [memory(w, Split(8, 1, 1, zero, 1, 1, "none"))["training state"] for zero in (0, 1, 3)]
    assert held == [pytest.approx(w.parameters * n) for n in (16, 4 + 12 / 8, 16 / 8)]


def test_pipelines_hold_as_many_micro_batches_as_they_have_stages():
    w = of("gpt2-xl")
    whole = 48 * usual_bytes(w.stacks[0])
    for p, m, share in [(1, 8, 1), (4, 8, 1), (4, 2, 2 / 4), (16, 1, 1 / 16)]:
        assert memory(w, Split(1, 1, p, 0, 1, m, "none"))["activations"] == pytest.approx(whole * share)
    assert memory(w, Split(1, 4, 1, 0, 1, 1, "none"))["activations"] == pytest.approx(whole / 4)


def test_traffic():
    w = of("gpt2-medium")
    b, t, c, layers = 2, 1024, 1024, 24
    sent = traffic(w, Split(4, 2, 3, 0, b, 5, "none"))
    share = stage_parameters(w, Split(4, 2, 3, 0, b, 5, "none"))
    assert sent["gradients"] == pytest.approx(2 * 3 / 4 * 2 * share)
    assert sent["tensor"] == pytest.approx(5 * 8 * 4 * (b * t * c * 2) * 2 * 1 / 2)  # 4 sums for each of 8 layers
    assert sent["pipeline"] == pytest.approx(5 * 2 * b * t * c * 2 / 2)
    assert traffic(w, Split(4, 2, 3, 0, b, 5, "full"))["tensor"] == pytest.approx(1.5 * sent["tensor"])
    assert traffic(w, Split(4, 1, 1, 3, b, 1, "none"))["gradients"] == pytest.approx(3 * 3 / 4 * 2 * w.parameters)
    assert layers % 3 == 0 and sum(traffic(w, Split(1, 1, 1, 0, b, 5, "none")).values()) == 0


def test_without_communication_the_ceiling_is_recomputation_alone():
    w, gpu = of("gpt2"), find_gpu("h100")
    row = row_flops(w)
    layout = best_layout(w, gpu, 1, 512)
    assert layout.split.recompute == "none"
    assert layout.ceiling == pytest.approx(row.training / row.computed())
