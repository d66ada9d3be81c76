"""GPT as a whole: sizes, gradients, shards, and what it must and must not depend on."""

import dataclasses
import math

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch
from minigpt.lab.gradcheck.cases import MODEL_CASES, random_parameters
from minigpt.lab.testing import ELEMENTS
from minigpt.models import GPT, GPTConfig
from minigpt.ops import IGNORE
from minigpt.train.config import build_config, preset_names, read_preset
from minigpt.train.families import FAMILIES
from minigpt.train.stepper import stepping


def small(**changed):
    return GPT(GPTConfig(**{"vocab_size": 11, "context": 8, "layers": 2, "heads": 2, "width": 8} | changed))


def random_batch(rows=5, length=8, vocab=11, seed=0):
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, vocab, (rows, length)), rng.integers(0, vocab, (rows, length))
    targets[1, 3:] = IGNORE  # uneven counts, so that a mean of shard means would be wrong
    return Batch(inputs, targets)


@pytest.mark.parametrize("name", MODEL_CASES)
def test_every_parameter_has_its_true_gradient(name):
    case = MODEL_CASES[name]()
    checks = list(case.checks(elements=0))  # along the direction in which every element has a share
    assert [check.name for check in checks] == [spec.name for spec in case.model.specs if spec.trained]
    for check in checks:
        assert check.passed, check


@pytest.mark.parametrize("name", MODEL_CASES)
def test_fast_operations_give_the_same_gradients(name):
    """To rounding: what is true of the plain ones' gradients is true of these."""
    found = []
    for implementation in (ops, fast):
        case = MODEL_CASES[name]()
        run = dataclasses.replace(case.run, ops=implementation)
        loss, cache = case.model.forward(case.params, case.batch, run)
        grads = case.params.zeros_like()
        case.model.backward(case.params, grads, cache, run)
        found.append((loss, grads.flat))
    (plain_loss, plain), (fast_loss, ours) = found
    assert abs(fast_loss - plain_loss) <= 1e-12 * max(1, abs(plain_loss))
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-12 * max(1, np.abs(plain).max()))


# One of each body, with every parameter that its family can have: all elements. The others are these with another
# batch, head or option: their elements that can tell, and a direction, in which all have a share.
WHOLE = ["gpt", "gpt2", "gpt3", "llama-grouped", "llama-tied", "transformer-trained", "bart", "bart-classifier", "bert"]
WHOLE += ["bert-spans", "gpt-classes"]


def check_elements(name, elements):
    """Of the plain operations, whose gradients the fast ones give to rounding (above)."""
    for check in MODEL_CASES[name]().checks(elements=elements):
        assert check.passed, check


@pytest.mark.slow("test_every_parameter_has_its_true_gradient: the same along a direction")
@pytest.mark.parametrize("name", MODEL_CASES)
def test_elements_have_their_true_gradients(name):
    check_elements(name, None if name in WHOLE else ELEMENTS)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in MODEL_CASES if name not in WHOLE])
def test_every_element_has_its_true_gradient(name):
    check_elements(name, None)


@pytest.mark.parametrize(
    "preset, count",
    {
        "gpt": 116_534_784,
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
        "bart-base": 139_420_416,
        "bart-large": 406_291_456,
        "transformer-base": 63_045_632,
        "transformer-big": 214_171_648,
    }.items(),
)
def test_published_sizes(preset, count):
    config = build_config(read_preset(preset))
    assert FAMILIES[config.family].model(config.model).parameter_count == count


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid(preset):
    assert build_config(read_preset(preset)).train.steps > 0


def test_shakespeare_cpu_is_the_published_recipe():
    config = build_config(read_preset("shakespeare-cpu"))
    m, t, s, o = config.model, config.train, config.schedule, config.optimizer
    assert (m.layers, m.heads, m.width, m.context, m.dropout, m.bias) == (4, 4, 128, 64, 0.0, False)
    assert (t.batch, t.accumulation, t.steps) == (12, 1, 2000)
    assert (s.kind, s.peak, s.floor, s.warmup) == ("cosine", 1e-3, 1e-4, 100)
    assert (o.variant, o.beta1, o.beta2, o.weight_decay, o.clip) == ("adamw", 0.9, 0.99, 0.1, 1.0)
    assert m.norm == "pre" and m.scaled_residual_init and m.init_std == 0.02


def test_initial_distribution():
    params = GPT(GPTConfig(vocab_size=300, context=50, layers=8, heads=2, width=64)).init(seed=3)
    assert params["tokens"].std() == pytest.approx(0.02, rel=0.03)
    assert params["blocks.3.attention.qkv.weight"].std() == pytest.approx(0.02, rel=0.03)
    for name in ("attention.out", "mlp.down"):  # they write into the residual stream: 1/sqrt(2 L) = 1/4
        assert params[f"blocks.3.{name}.weight"].std() == pytest.approx(0.005, rel=0.05)
    assert (params["blocks.0.norm1.gain"] == 1).all() and (params["blocks.0.mlp.up.bias"] == 0).all()
    post = GPT(GPTConfig(vocab_size=9, layers=8, heads=2, width=64, norm="post", scaled_residual_init=False)).init()
    assert post["blocks.3.mlp.down.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert "final_norm.gain" not in post


def test_the_first_loss_is_that_of_guessing():
    model, batch = small(vocab_size=50, width=32), random_batch(20, vocab=50)
    loss, _ = model.forward(model.init(seed=1), batch)
    assert loss == pytest.approx(math.log(50), rel=0.02)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_text_longer_than_the_context_is_refused(norm):
    model = small(norm=norm)
    with pytest.raises(ValueError, match="do not fit the model's context of 8"):
        model.logits(model.init(), np.zeros((1, 9), dtype=int))


def test_later_tokens_do_not_change_earlier_logits():
    model = small()
    params, ids = random_parameters(model), random_batch().inputs
    changed = ids.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    before, after = model.logits(params, ids), model.logits(params, changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any()


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_window_of_the_whole_context_is_the_dense_model_bit_for_bit(implementation, dtype):
    dense, run = small(layers=4), Run(train=True, seed=1, ops=implementation)
    params, batch, results = random_parameters(dense).astype(dtype), random_batch(), []
    for model in (dense, small(layers=4, window=8), small(layers=4, window=100)):
        loss, cache = model.forward(params, batch, run)
        grads = params.zeros_like()
        model.backward(params, grads, cache, run)
        results.append((loss, model.logits(params, batch.inputs, run), grads.flat))
    for loss, logits, gradient in results[1:]:
        assert loss == results[0][0]
        np.testing.assert_array_equal(logits, results[0][1])
        np.testing.assert_array_equal(gradient, results[0][2])
    narrow = small(layers=4, window=3).logits(params, batch.inputs, run)
    assert (narrow != results[0][1]).any()


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_shards_agree(dropout, implementation):
    """One, two and four shards give the same loss and gradient: the same drops, the global mean."""
    model, batch = small(dropout=dropout), random_batch()
    params, results = random_parameters(model), []
    for workers in (1, 2, 4):
        with stepping(model, params, workers=workers, operations=implementation) as stepper:
            loss, grads = stepper.loss_and_grads([batch], seed=1, step=2)
            results.append((loss, grads.flat.copy()))
    for loss, grads in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-13)
        np.testing.assert_allclose(grads, results[0][1], rtol=1e-9, atol=1e-12)
    run = Run(train=True, seed=1, step=2)
    assert results[0][0] == pytest.approx(model.forward(params, batch, run)[0], rel=1e-13)


def test_accumulation_equals_one_large_batch():
    model, batch = small(dropout=0.2), random_batch(rows=6)
    params = random_parameters(model)
    with stepping(model, params, workers=2) as stepper:
        loss, grads = stepper.loss_and_grads([batch], seed=1, step=2)
        grads = grads.flat.copy()
        parts = [batch.rows(0, 2), batch.rows(2, 4), batch.rows(4, 6)]
        again, parts_grads = stepper.loss_and_grads(parts, seed=1, step=2)
    assert again == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(parts_grads.flat, grads, rtol=1e-9, atol=1e-12)


def test_more_workers_than_rows():
    model, batch = small(), random_batch(rows=2)
    params = random_parameters(model)
    with stepping(model, params, workers=4) as stepper:
        loss, _ = stepper.loss_and_grads([batch], seed=1, step=2)
    assert loss == pytest.approx(model.forward(params, batch)[0], rel=1e-13)


def test_backward_adds_and_scales():
    model, batch = small(), random_batch()
    params = random_parameters(model)
    _, cache = model.forward(params, batch)
    once, scaled = params.zeros_like(), params.zeros_like()
    model.backward(params, once, cache)
    scaled.flat[...] = 1.0
    model.backward(params, scaled, cache, scale=0.5)
    np.testing.assert_allclose(scaled.flat, 1 + 0.5 * once.flat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision_stays_single(implementation):
    model, batch = small(dropout=0.1, activation="gelu_erf"), random_batch()
    params = random_parameters(model).astype("float32")
    run = Run(train=True, ops=implementation)
    _, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)

    def dtypes(x):
        if isinstance(x, np.ndarray):
            return {x.dtype.name}
        return set().union(*map(dtypes, x)) if isinstance(x, (tuple, list)) and x else set()

    assert "float64" not in dtypes(cache) and grads.flat.dtype == np.float32


def test_positions_may_start_as_sinusoids():
    config = GPTConfig(vocab_size=11, context=32, layers=1, heads=2, width=16, init_std=0.05)
    normal = GPT(config).init(seed=3, dtype="float64")
    params = GPT(dataclasses.replace(config, positions_init="sinusoidal")).init(seed=3, dtype="float64")
    positions = params["positions"]
    assert np.sqrt((positions**2).mean()) == pytest.approx(0.05, rel=1e-12)  # as large as a normal start
    # One step on is one rotation, the same for all positions, of every pair of a sine and a cosine.
    waves = positions[:, 0::2] * 1j + positions[:, 1::2]
    np.testing.assert_allclose(waves[1:] / waves[:-1], np.broadcast_to(waves[1] / waves[0], (31, 8)), rtol=1e-12)
    for name in normal:
        assert (params[name] == normal[name]).all() == (name != "positions")


@pytest.mark.parametrize("name", MODEL_CASES)
def test_a_model_draws_with_seed_0_unless_told(name):
    model = MODEL_CASES[name]().model
    assert (model.init().flat == model.init(seed=0).flat).all() and (model.init(seed=1).flat != model.init().flat).any()


@pytest.mark.parametrize("name", [name for name in MODEL_CASES if "dropout" in name or "trained" in name])
def test_no_two_draws_of_dropout_share_a_site(name):
    """Else two layers of one model, or an encoder and its decoder, would drop the same entries."""
    case, asked = MODEL_CASES[name](), []

    @dataclasses.dataclass(frozen=True)
    class Counting(Run):
        def dropout_key(self, site):
            asked.append(site)
            return super().dropout_key(site)

    case.model.forward(case.params, case.batch, Counting(**vars(case.run) | {"train": True}))
    assert len(asked) > 4 and len(set(asked)) == len(asked)


SIZES = {
    "gpt": ("context", "layers", "heads", "width", "feed_forward"),
    "llama": ("context", "layers", "heads", "width"),
    "bert": ("context", "layers", "heads", "width"),
    "bart": ("context", "encoder_layers", "decoder_layers", "heads", "width"),
    "transformer": ("context", "encoder_layers", "decoder_layers", "heads", "width"),
}


@pytest.mark.parametrize("family, name", [(family, name) for family, names in SIZES.items() for name in names])
def test_sizes_below_what_can_be_are_refused(family, name):
    with pytest.raises(UserError, match=f"model.{name}"):
        build_config({"family": family, "model": {name: -1}})


@pytest.mark.parametrize("name", ["vocab_size", "window"])
def test_what_may_be_zero_may_not_be_negative(name):
    with pytest.raises(UserError, match=f"model.{name} is -1"):
        GPTConfig(**{name: -1})
    assert getattr(GPTConfig(**{name: 0}), name) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_needs_a_vocabulary(family):
    config = build_config({"family": family})
    assert config.model.vocab_size == 0
    with pytest.raises(UserError, match=r"model\.vocab_size is 0"):
        FAMILIES[family].model(config.model)


@pytest.mark.parametrize("name", [name for name in MODEL_CASES if hasattr(MODEL_CASES[name]().batch, "starts")])
def test_a_span_is_right_at_either_end(name):
    """Where the largest scores are called the answers, every one is right; with the ends moved on, none of them is."""
    case = MODEL_CASES[name]()
    _, cache = case.model.forward(case.params, case.batch, case.run)
    starts, ends = cache.scores.argmax(axis=1).T
    rows, length = len(starts), cache.scores.shape[1]
    for moved, right in ((0, 2 * rows), (1, rows)):
        batch = case.batch._replace(starts=starts, ends=(ends + moved) % length)
        _, cache = case.model.forward(case.params, batch, case.run)
        assert case.model.measures(cache) == {"accuracy": (right, 2 * rows)}


@pytest.mark.parametrize("family", FAMILIES)
def test_configurations_cannot_be_changed(family):
    """What was made from one, a model and its parameters, would not follow."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        FAMILIES[family].config().width = 8


@pytest.mark.parametrize("name", ["norm_eps", "init_std"])
def test_sizes_that_must_be_positive(name):
    with pytest.raises(UserError, match=r"model\.norm_eps and model\.init_std must be positive"):
        GPTConfig(**{name: 0.0})


class _Asked(Run):
    """Notes which sites of dropout are asked for."""

    def dropout_key(self, site):
        self.denominators.setdefault("sites", []).append(site)
        return super().dropout_key(site)


@pytest.mark.parametrize(
    "name", ["gpt2-dropout", "llama-dropout", "bert-dropout", "bart-trained", "transformer-trained"]
)
def test_no_two_places_of_a_model_share_a_draw(name):
    """Each site is asked for once, the embedding's, number 0, first; and few numbers are left out."""
    case = MODEL_CASES[name]()
    run = _Asked(train=True, denominators={})
    case.model.forward(case.params, case.batch, run)
    sites = run.denominators["sites"]
    assert len(set(sites)) == len(sites) and sites[0] == 0 and max(sites) <= len(sites) + 1
