"""What fine-tuning starts from: recipes, the number of steps, pretrained weights under a new head."""

import dataclasses

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.tasks import TASKS, Classification, MultipleChoice, Span, Summary
from minigpt.train.config import apply_settings, build_config, read_preset
from minigpt.train.families import make_model, objective_class
from minigpt.train.finetuning import Request, finetuning_config, recipe_for, start_weights, with_epochs

SHAPE = {"vocab_size": 40, "context": 20, "width": 8, "heads": 2}


def source(family="gpt", **model):
    layers = {"encoder_layers": 1, "decoder_layers": 1} if family == "bart" else {"layers": 1}
    return build_config({"family": family, "model": SHAPE | layers | model})


def weights(config, seed=3):
    return dict(make_model(config).init(seed))


def test_the_published_recipes():
    gpt = recipe_for("gpt", 768, "rte")
    assert (gpt.epochs, gpt.warmup) == (3, 0.002) and gpt.settings["schedule"] == {"kind": "linear", "peak": 6.25e-5}
    assert gpt.settings["train"] == {"batch": 32} and gpt.settings["optimizer"]["weight_decay"] == 0.01
    assert objective_class("gpt", "rte").Config().auxiliary == 0.5
    assert recipe_for("bert", 768, "squad").settings["schedule"]["kind"] == "bert"
    assert recipe_for("bart", 768, "cnn-dm").settings["model"]["label_smoothing"] == 0.1
    assert "label_smoothing" not in recipe_for("bart", 768, "rte").settings["model"]
    assert recipe_for("llama", 128, "rte") == recipe_for("gpt", 128, "rte") != recipe_for("gpt", 768, "rte")


def test_small_models_learn_labels_alone():
    assert finetuning_config(source(width=8), Request("rte", "folder")).objective.auxiliary == 0
    assert finetuning_config(source(width=512), Request("rte", "folder")).objective.auxiliary == 0.5
    asked = Request("rte", "folder", settings=("objective.auxiliary=0.5",))
    assert finetuning_config(source(width=8), asked).objective.auxiliary == 0.5


@pytest.mark.parametrize("family", ["gpt", "llama", "bert", "bart"])
@pytest.mark.parametrize("width", [8, 512])
def test_every_recipe_makes_a_configuration(family, width):
    config = source(family, width=width)
    for task in TASKS:
        if TASKS[task].kind in (Classification, Summary) and not (family == "bert" and TASKS[task].kind is Summary):
            made = finetuning_config(config, Request(task, "folder"))
            assert make_model(made).parameter_count > 0 and made.task == task


def test_steps_follow_from_epochs_and_rows():
    request = Request("rte", "folder", epochs=3, settings=("train.batch=8",))
    config = with_epochs(finetuning_config(source(), request), request, rows=100)
    assert config.train.steps == 38 and config.train.eval_every == config.train.checkpoint_every == 12  # 300/8, 100/8
    assert config.schedule.warmup == round(0.05 * 38)
    given = Request("rte", "folder", settings=("train.steps=7", "schedule.warmup=5"))
    config = with_epochs(finetuning_config(source(), given), given, rows=100)
    assert config.train.steps == 7 and config.schedule.warmup == 5


def test_three_rows_are_appended_to_the_embedding():
    config = source()
    pretrained = weights(config)
    model = make_model(finetuning_config(config, Request("rte", "folder")))
    start = start_weights(model, pretrained, seed=1, dtype="float32")
    np.testing.assert_array_equal(start.params["tokens"][:40], pretrained["tokens"])
    np.testing.assert_array_equal(start.params["blocks.0.mlp.up.weight"], pretrained["blocks.0.mlp.up.weight"])
    assert start.params["tokens"].shape == (43, 8) and 0.01 < start.params["tokens"][40:].std() < 0.03
    assert start.new == ["head.weight", "head.bias", "3 rows of tokens"] and not start.left_out
    other = start_weights(model, pretrained, seed=2, dtype="float32")
    assert not np.array_equal(other.params["tokens"][40:], start.params["tokens"][40:])


SMALL = ("vocab_size=40", "context=20", "width=8", "heads=2", "feed_forward=16")
PRESETS = [
    ("tiny",),
    ("gpt2-tiny",),
    ("gpt3-tiny",),
    ("llama-tiny", "kv_heads=1"),
    ("bert-tiny",),
    ("bert-tiny", "attention_init=comparing"),
    ("bart-tiny",),
]
TASK_OF_KIND = {TASKS[task].kind: task for task in TASKS}  # one task of each kind


@pytest.mark.parametrize("preset", PRESETS, ids=" ".join)
def test_from_scratch_begins_with_the_weights_that_the_preset_draws(preset):
    """Bit for bit, under every head: sinusoidal positions, the preset's standard deviation, what its body does else.

    Only so is "from scratch" the model that was pretrained, before it was.
    """
    settings = [f"model.{setting}" for setting in (*SMALL, *preset[1:])]
    config = build_config(apply_settings(read_preset(preset[0]), settings))
    drawn, heads = weights(config, seed=5), 0
    for task in TASK_OF_KIND.values():
        if not _has(config.family, task):
            continue
        model = make_model(finetuning_config(config, Request(task, "folder", seed=5)))
        params = model.init(5)
        for name in drawn.keys() & params.keys():
            rows = params[name][:40] if name == "tokens" else params[name]  # behind them, the special tokens'
            assert np.array_equal(rows, drawn[name]), (task, name)
        start = start_weights(model, weights(config, seed=6), seed=5, dtype="float32")
        for name in params.keys() - drawn.keys():
            assert np.array_equal(start.params[name], params[name]), (task, name)  # both arms have the same new head
            heads += 1
        assert not np.array_equal(start.params["tokens"], params["tokens"])
    assert heads


def test_what_starts_anew_is_drawn_as_the_body_draws_it():
    config = source("gpt", positions_init="sinusoidal", init_std=0.1)
    model, pretrained = make_model(finetuning_config(config, Request("rte", "folder"))), weights(config)
    del pretrained["positions"]
    start = start_weights(model, pretrained, seed=5, dtype="float32", fresh=("positions",))
    assert np.array_equal(start.params["positions"], weights(config)["positions"])


def test_an_untied_output_layer_grows_too():
    config = source("llama", tied=False)
    model = make_model(finetuning_config(config, Request("rte", "folder")))
    pretrained = weights(config)
    start = start_weights(model, pretrained, seed=1, dtype="float32")
    assert start.params["output"].shape == (8, 43)
    np.testing.assert_array_equal(start.params["output"][:, :40], pretrained["output"])


def test_the_same_task_goes_on_with_its_head():
    config = finetuning_config(source(), Request("rte", "folder"))
    pretrained = weights(config)
    again = finetuning_config(config, Request("rte", "folder"))
    assert again.model.vocab_size == config.model.vocab_size
    start = start_weights(make_model(again), pretrained, seed=1, dtype="float32", same_task=True)
    np.testing.assert_array_equal(start.params["head.weight"], pretrained["head.weight"])
    other = start_weights(make_model(again), pretrained, seed=1, dtype="float32")
    assert "head.weight" in other.new and "head.weight" in other.left_out


def test_spans_need_no_pooler_and_other_tensors_need_a_word():
    config = source("bert")
    model = make_model(finetuning_config(config, Request("squad", "folder")))
    assert "pooler.weight" in start_weights(model, weights(config), seed=1, dtype="float32").left_out
    strange = weights(config) | {"extra.weight": np.zeros((2, 2))}
    with pytest.raises(UserError, match=r"they have, though the model does not, extra.weight; name what .* --skip"):
        start_weights(model, strange, seed=1, dtype="float32")
    assert start_weights(model, strange, seed=1, dtype="float32", skip=("extra",)).params
    smaller = dataclasses.replace(config, model=dataclasses.replace(config.model, context=16))
    with pytest.raises(UserError, match="another shape for positions"):
        start_weights(model, weights(smaller), seed=1, dtype="float32")


def test_who_has_a_head_for_what():
    kinds = {family: {TASKS[t].kind for t in TASKS if _has(family, t)} for family in ("gpt", "llama", "bert", "bart")}
    assert MultipleChoice in kinds["gpt"] and Span not in kinds["gpt"] and Summary in kinds["gpt"]
    assert kinds["llama"] == kinds["gpt"]
    assert {MultipleChoice, Span} <= kinds["bert"] and Summary not in kinds["bert"]
    assert {Span, Summary} <= kinds["bart"] and MultipleChoice not in kinds["bart"]
    with pytest.raises(UserError, match="transformer cannot be fine-tuned for rte: it has no head"):
        objective_class("transformer", "rte")


def _has(family, task):
    try:
        return bool(objective_class(family, task))
    except UserError:
        return False
