"""From a plan's workload to the times of a step."""

import pytest

from minigpt.lab.plan import find_gpu
from minigpt.lab.plan.flops import row_flops
from minigpt.lab.plan.layout import Split
from minigpt.lab.plan.workload import workload
from minigpt.lab.simulate.cluster import Cluster, job_of, machine, useful_seconds
from minigpt.lab.simulate.step import play
from minigpt.train.config import build_config, read_preset

GPT2 = workload(build_config(read_preset("gpt2")))
H100 = find_gpu("h100")


def job(split, mfu=0.5, **cluster):
    return job_of(GPT2, split, machine(H100, Cluster(**cluster), "bfloat16", mfu))


def test_layers_add_up_to_the_plans_arithmetic():
    """However it is split, without what is sent; and all gradients are there, 2 bytes a number."""
    for split in (Split(8, 1, 1, 0, 4, 2, "none"), Split(2, 2, 4, 1, 4, 2, "none")):
        free = {"link_latency": 0.0, "network_latency": 0.0, "link": 1e30, "network": 1e30}
        made = job(split, **free)
        layers = [layer for stage in made.stages for layer in stage]
        seconds = sum(layer.forward + layer.backward for layer in layers) * split.tensor / split.micro_rows
        assert seconds == pytest.approx(row_flops(GPT2).training / (0.5 * H100.flops))
        assert seconds == pytest.approx(useful_seconds(GPT2, machine(H100, Cluster(), "bfloat16", 0.5)))
        tied = GPT2.groups["token embedding"] if split.pipeline > 1 else 0  # of which the last stage has a copy
        assert sum(layer.bytes for layer in layers) * split.tensor == pytest.approx(2 * (GPT2.parameters + tied))


def test_measured_layers():
    made = job(Split(2, 1, 1, 0, 4, 3, "none"), block_forward=1e-3, block_backward=3e-3)
    assert made.stages[0][1].forward == pytest.approx(4e-3) and made.stages[0][5].backward == pytest.approx(12e-3)
    again = job(Split(2, 1, 1, 0, 4, 3, "full"), block_forward=1e-3, block_backward=3e-3)
    assert again.stages[0][5].backward == pytest.approx(16e-3)


def test_tensor_parallelism_sends_twice_in_each_pass_of_a_block():
    whole, halves = (job(Split(1, t, 1, 0, 4, 1, "none"), mfu=1.0).stages[0][1] for t in (1, 2))
    states = 2 * 4 * 1024 * 768
    send = 2 * 2 * (3e-6 + states / 2 / H100.link)
    assert halves.forward == pytest.approx(whole.forward / 2 + send)
    assert halves.backward == pytest.approx(whole.backward / 2 + send)


def test_a_tensor_group_of_several_nodes_sends_through_the_network():
    split = Split(1, 4, 1, 0, 4, 1, "none")
    one, four = (job(split, node=node).stages[0][1].forward for node in (4, 1))
    states = 2 * 4 * 1024 * 768 / 4
    assert four - one == pytest.approx(2 * 2 * 3 * (10e-6 - 3e-6 + states / H100.network - states / H100.link))


def test_replicas_share_nodes_with_tensor_groups():
    assert job(Split(8, 1, 1, 0, 1, 1, "none")).group[:2] == (1, 8)
    assert job(Split(16, 4, 1, 0, 1, 1, "none")).group[:2] == (8, 2)
    assert job(Split(6, 8, 2, 0, 1, 1, "none")).group[:2] == (6, 1)
    assert job(Split(12, 1, 1, 0, 1, 1, "none"), node=8).group[:2] == (3, 4)  # 8 and 4 would not be alike


def test_stragglers():
    split = Split(4, 1, 1, 0, 4, 1, "none")
    usual, slow = (play(job(split, straggler=factor)).seconds for factor in (1.0, 1.5))
    assert slow - usual == pytest.approx(0.5 * job(split).arithmetic, rel=0.02)
    drawn = job(split, spread=0.1, seed=7)
    assert drawn.slowness == job(split, spread=0.1, seed=7).slowness and min(drawn.slowness) >= 1
    assert play(drawn).seconds - usual == pytest.approx((max(drawn.slowness) - 1) * drawn.arithmetic, rel=0.05)
