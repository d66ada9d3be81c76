"""The training loop that is to be read takes the steps of the one that trains, to the bit."""

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.data.dataset import load_dataset
from minigpt.interop.loaded import load
from minigpt.models import GPT, GPTConfig
from minigpt.train import loop
from minigpt.train.families import make_model
from minigpt.train.log import read_log
from minigpt.train.optimizer import OptimizerConfig
from minigpt.train.schedule import ScheduleConfig

from ..tiers import some
from .runs import arguments

ONE_PASS = {"train__workers": 1, "train__accumulation": 1, "train__sample_every": 0, "train__checkpoint_every": 0}
IN_TOKENS = {"schedule__tokens": 1500, "schedule__warmup_tokens": 300}
LLAMA = {"model__kv_heads": 1, "sample__prompt": "Line", "optimizer__variant": "bert"}
CASES = {
    "gpt": {"train__operations": "plain"},
    "gpt, fast": {"train__operations": "fast", **IN_TOKENS},
    "muon": {"train__operations": "fast", "optimizer__name": "muon"},
    "llama": {"train__operations": "plain", **LLAMA},
}


@pytest.mark.parametrize("case", some(CASES, ["gpt"], "the same with a GPT and plain operations"))
def test_the_loop_and_the_trainer_give_the_same_weights(text_file, tmp_path, case):
    words = arguments(text_file, tmp_path / "run", 20, optimizer__clip=0.8, **ONE_PASS, **CASES[case])
    if case == "llama":
        others = [word.replace("model.dropout", "model.attention_dropout") for word in words[2:]]
        words = ["train", "llama-tiny", *others]
    assert main(words) == 0
    run, lines = load(tmp_path / "run"), read_log(tmp_path / "run")
    config = run.config
    fraction, context = config.data.validation_fraction, config.model.context
    data = load_dataset(config.data.sources, run.tokenizer, validation_fraction=fraction, context=context)
    model = make_model(config)
    params = model.init(seed=config.train.seed)
    steps, evaluations = loop.train(
        model,
        params,
        data.train,
        data.validation,
        steps=20,
        rows=config.train.batch,
        optimizer=config.optimizer,
        schedule=config.schedule,
        seed=config.train.seed,
        eval_every=config.train.eval_every,
        eval_tokens=config.train.eval_tokens,
        operations={"plain": ops, "fast": fast}[config.train.operations],
    )
    assert params.flat.tobytes() == run.params.flat.tobytes()
    logged = [(line["step"], line["loss"], line["lr"], line["grad_norm"]) for line in lines if "loss" in line]
    assert steps == logged
    assert evaluations == [(line["step"], line["val_loss"]) for line in lines if "val_loss" in line]
    assert [e.step for e in evaluations] == [0, 7, 14, 20] and evaluations[-1].loss < evaluations[0].loss
    clipped = [step.grad_norm > config.optimizer.clip for step in steps]
    assert any(clipped) and not all(clipped)


def test_a_loss_that_is_not_finite_is_one_sentence():
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    params, tokens = model.init(seed=0), np.arange(50) % 5
    params["tokens"][0, 0] = np.nan
    settings = {"optimizer": OptimizerConfig(), "schedule": ScheduleConfig(), "eval_every": 0}
    with pytest.raises(UserError, match="after 0 steps the loss is nan and the gradient's norm nan; lower"):
        loop.train(model, params, tokens, tokens, steps=1, rows=2, **settings)
