"""The plan against what was published: parameters, arithmetic, activations, training times."""

import pytest

from minigpt.lab.plan import find_gpu, make_plan
from minigpt.lab.plan.flops import PF_DAY, row_flops, six_n_d
from minigpt.lab.plan.memory import usual_bytes
from minigpt.lab.plan.schedule import full_rows, training_tokens
from minigpt.lab.plan.workload import workload
from minigpt.train.config import apply_settings, build_config, read_preset
from minigpt.train.families import FAMILIES

A100 = find_gpu("a100")


def preset(name, *settings):
    return build_config(apply_settings(read_preset(name), settings))


# Brown et al. 2020, table D.1: million parameters, FLOPs, PF-days. Table 2.1: batch size in tokens.
GPT3 = {
    "gpt3-small": (125, 2.25e20, 2.60, 0.5e6),
    "gpt3-medium": (356, 6.41e20, 7.42, 0.5e6),
    "gpt3-large": (760, 1.37e21, 15.8, 0.5e6),
    "gpt3-xl": (1320, 2.38e21, 27.5, 1e6),
    "gpt3-2.7b": (2650, 4.77e21, 55.2, 1e6),
    "gpt3-6.7b": (6660, 1.20e22, 139, 2e6),
    "gpt3-13b": (12850, 2.31e22, 268, 2e6),
    "gpt3-175b": (174600, 3.14e23, 3640, 3.2e6),
}


@pytest.mark.parametrize("name", GPT3)
def test_gpt3_parameters_and_arithmetic(name):
    millions, flops, pf_days, batch = GPT3[name]
    config = preset(name)
    w = workload(config)
    assert w.parameters == pytest.approx(millions * 1e6, rel=0.005)
    tokens = training_tokens(config, w.row_tokens)
    assert tokens == pytest.approx(300e9, rel=1e-5)
    assert full_rows(config) * w.row_tokens == pytest.approx(batch, rel=0.05)
    assert six_n_d(w.parameters, tokens) == pytest.approx(flops, rel=0.006)
    assert six_n_d(w.parameters, tokens) / PF_DAY == pytest.approx(pf_days, rel=0.006)
    # Attention, which 6 N D leaves out, and embeddings, which it counts, are each a smaller part of a larger model.
    counted = row_flops(w).training * tokens / w.row_tokens
    assert counted / flops == pytest.approx(1.0, abs=0.13 if millions < 1000 else 0.04)


@pytest.mark.parametrize(
    "name, parameters", {"bert-base-uncased": 110_106_428, "bert-large-uncased": 336_226_108}.items()
)
def test_bert(name, parameters):
    """GPT-3's table D.1 has 1.64e20 and 5.33e20 FLOPs for BERT, for 250B tokens of 109M and 355M parameters."""
    config = preset(name)
    w = workload(config)
    assert w.parameters == parameters
    assert training_tokens(config, w.row_tokens) == 131_072_000_000  # 1M steps of 128k tokens (the BERT paper)
    published = {"bert-base-uncased": 1.64e20, "bert-large-uncased": 5.33e20}[name]
    assert six_n_d(w.parameters, 250e9) == pytest.approx(published, rel=0.06)  # 355M is not what BERT-Large has
    assert six_n_d(109e6 if "base" in name else 355e6, 250e9) == pytest.approx(published, rel=0.004)


# Touvron et al. 2023, table 15, and Llama 2's table 2: hours of an A100 with 80 GB.
LLAMA = {
    "llama-7b": 82_432,
    "llama-13b": 135_168,
    "llama-33b": 530_432,
    "llama-65b": 1_022_362,
    "llama2-7b": 184_320,
    "llama2-13b": 368_640,
    "llama2-70b": 1_720_320,
}


@pytest.mark.parametrize("name", LLAMA)
def test_llama_gpu_hours(name):
    """One assumption, an MFU of 0.45, comes within a fifth of all seven."""
    p = make_plan(name, preset(name), A100, gpus=2048, mfu=0.45)
    assert p.gpu_hours() == pytest.approx(LLAMA[name], rel=0.2)
    implied = p.gpu_hours(1.0) / LLAMA[name]
    assert 0.38 <= implied <= 0.53  # what estimate.MFU says of them
    assert p.layout is not None


def test_parameter_groups_add_up_to_the_models_own_count():
    w = workload(preset("llama-7b"))
    assert w.parameters == sum(w.groups.values()) == 6_738_415_616
    assert w.groups["output and heads"] == w.groups["token embedding"] == 32000 * 4096
    w = workload(preset("gpt2"))
    assert w.parameters == 124_439_808 and w.embedding == 50257 * 768 + 1024 * 768
    assert w.non_embedding == w.parameters - w.embedding
    assert workload(preset("bart-large")).parameters == 406_291_456


def test_arithmetic_with_recomputation_is_megatrons_formula():
    """Narayanan et al. 2021, equation 3: 96 B s l h² (1 + s/6h + V/16lh) a step, every T x T score counted."""
    for name in ("gpt2", "gpt3-175b"):
        config = preset(name, "model.window=0")
        c = config.model
        formula = 96 * c.context * c.layers * c.width**2
        formula *= 1 + c.context / (6 * c.width) + c.vocab_size / (16 * c.layers * c.width)
        assert row_flops(workload(config)).computed("full", full=True, flash=False) == pytest.approx(formula, rel=1e-12)


def test_megatrons_34_days():
    """The same paper, section 5: 175B parameters, 300B tokens, 1024 A100s at 140 TFLOP/s each take 34 days."""
    config = preset("gpt3-175b", "model.window=0")
    row = row_flops(workload(config))
    done = row.computed("full", full=True, flash=False) * 300e9 / 2048
    assert done / (1024 * 140e12) / 86400 == pytest.approx(34, rel=0.03)


def test_activations_are_the_published_formula():
    """Korthikanti et al. 2022, equation 1: s b h (34 + 5 a s/h) bytes a layer, in 16 bits and with dropout."""
    config = preset("gpt3-175b", "model.dropout=0.1")
    (stack,) = workload(config).stacks
    s, h, a = config.model.context, config.model.width, config.model.heads
    assert usual_bytes(stack, attention="scores") == s * h * (34 + 5 * a * s / h)
    assert usual_bytes(stack, attention="scores", recompute="selective") == s * h * 34 + 4 * a * s  # and log-sum-exps
    assert usual_bytes(stack, recompute="full") == 2 * s * h
    without = stack._replace(block=preset("gpt3-175b").model.block())
    assert usual_bytes(without, attention="scores") == s * h * (32 + 2 * a * s / h)


def test_banded_layers_are_counted_as_they_are():
    dense, banded = (row_flops(workload(preset("gpt3-small", f"model.window={w}"))) for w in (0, 256))
    t, w = 2048, 256
    allowed = w * (w + 1) // 2 + (t - w) * w
    assert banded.attention_full == dense.attention_full == 12 * 4 * 768 * t * t
    assert dense.attention == 12 * 4 * 768 * t * (t + 1) // 2
    assert banded.attention == 6 * 4 * 768 * (t * (t + 1) // 2 + allowed)
    assert dense.linear == 2 * t * 12 * 12 * 768 * 768


def test_a_linear_layer_is_two_operations_a_weight_and_token():
    """Every matrix of the specification is met once by every token, except tables that are looked up."""
    for name in ("gpt2", "llama3-8b"):
        config = preset(name)
        specs = FAMILIES[config.family].model(config.model).specs
        matrices = sum(s.size for s in specs if s.decays and s.name not in ("tokens", "positions", "output"))
        row = row_flops(workload(config))
        assert row.linear == 2 * config.model.context * matrices
        assert row.output == 2 * config.model.context * config.model.width * config.model.vocab_size
