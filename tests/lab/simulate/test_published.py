"""The simulator against runs that were published. What was fitted is said; the rest must come within 10%.

The layouts are those of the papers where they say them. A fit sets one number, the part of the peak that a GPU reaches
while it computes, on the smallest run; a step is A/x + B in it, so two simulated steps give A and B.
"""

import pytest

from minigpt.lab.plan import find_gpu
from minigpt.lab.plan.flops import row_flops
from minigpt.lab.plan.layout import Split
from minigpt.lab.plan.workload import workload
from minigpt.lab.simulate.cluster import Cluster, job_of, machine
from minigpt.lab.simulate.step import play
from minigpt.train.config import apply_settings, build_config, read_preset


def of(name, *settings):
    return workload(build_config(apply_settings(read_preset(name), settings)))


def step(w, gpu, split, mfu, precision="bfloat16", **cluster):
    return play(job_of(w, split, machine(find_gpu(gpu), Cluster(**cluster), precision, mfu))).seconds


def fit(seconds_at, target):
    """x with A/x + B = target."""
    low, high = seconds_at(0.4), seconds_at(0.8)
    a = (low - high) / (1 / 0.4 - 1 / 0.8)
    return a / (target - (high - a / 0.8))


@pytest.mark.slow("the limits in test_step.py")
def test_megatron_turing_nlg():
    """Smith et al. 2022, section 2.4: 530B parameters, 1,920 rows of 2,048 tokens, tensor 8 x pipeline 35, all
    activations computed again. Fitted: 2,240 A100s. Predicted: 2,800 and 3,360."""
    size = ("model.layers=105", "model.width=20480", "model.heads=128", "model.vocab_size=50272", "model.window=0")
    w = of("gpt3-175b", *size)
    assert w.parameters == pytest.approx(530e9, rel=0.001)

    def seconds(replicas, x):
        return step(w, "a100", Split(replicas, 8, 35, 1, 1, 1920 // replicas, "full"), x, "float16")

    x = fit(lambda x: seconds(8, x), 60.1)
    assert 0.4 < x < 0.6 and seconds(8, x) == pytest.approx(60.1, rel=0.001)
    assert seconds(10, x) == pytest.approx(50.2, rel=0.02)  # 49.6
    assert seconds(12, x) == pytest.approx(44.4, rel=0.05)  # 42.5


@pytest.mark.slow("the limits in test_step.py")
def test_megatron_strong_scaling():
    """Megatron-LM's README: 175B parameters, 1,152 rows, MFU 47% on 96 H100s and 42% on 4,608. Fitted: 96.

    It does not say the layout; tensor 8 x pipeline 12 is the one whose single replica has 96 GPUs, with the most chunks
    that 96 layers allow. (On 96 GPUs, where 1,152 micro-batches leave next to no bubble, two chunks, which are quicker
    to simulate.) Another layout is another prediction: 4 x 8 with 6 chunks gives 37%.
    """
    w = of("gpt3-175b", "model.window=0", "model.vocab_size=51200")

    def mfu(replicas, x, chunks):
        split = Split(replicas, 8, 12, 1, 1, 1152 // replicas, "none")
        seconds = step(w, "h100", split, x, chunks=chunks)
        return 1152 * row_flops(w).training / (96 * replicas * find_gpu("h100").flops * seconds)

    x = fit(lambda x: 1 / mfu(1, x, 2), 1 / 0.47)
    assert 0.5 < x < 0.65
    assert mfu(48, x, 8) == pytest.approx(0.42, rel=0.05)  # 0.41


def test_nanogpt_on_several_nodes():
    """GPT-2's size, 0.5M tokens a step, nodes of 8 H100s: 10.54, 5.88 and 3.38 minutes on 2, 4 and 8 nodes (a public
    cloud's example). Fitted: minutes that do not scale and the number of steps, on 2 and 8. Predicted: 4."""
    w = of("gpt2")
    two, four, eight = (
        step(w, "h100", Split(8 * n, 1, 1, 1, 1, 64 // n, "none"), 0.4, overlap=False) for n in (2, 4, 8)
    )
    steps = (10.54 - 3.38) / (two - eight)
    fixed = 10.54 - steps * two
    assert steps > 0 and 0 < fixed < 1
    assert fixed + steps * four == pytest.approx(5.88, rel=0.05)  # 5.7
