"""What GPT-3 trains with: a batch that grows, a schedule in tokens, a mixture, packed documents; and it all resumes."""

import itertools
import json
import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.models import GPT
from minigpt.train import trainer as trainers
from minigpt.train.config import build_config, read_preset
from minigpt.train.log import read_log
from minigpt.train.passes import LossScale
from minigpt.train.settings import RunConfig, TrainConfig
from minigpt.train.stepper import Stepper, step_rows

from ..tiers import some
from .runs import contents

SETTINGS = {
    "model.layers": 2,
    "model.width": 16,
    "model.heads": 2,
    "model.context": 16,
    "model.window": 5,
    "model.dropout": 0.1,
    "objective.sampling": "epochs",
    "objective.weights": "[3, 1]",
    "objective.end_of_text": "true",
    "objective.separator": "***",
    "data.tokenizer": "bpe:280",
    "train.batch": 4,
    "train.accumulation": 3,
    "train.ramp_from": 2,
    "train.ramp_tokens": 1200,
    "train.workers": 2,
    "train.eval_every": 9,
    "train.eval_tokens": 100,
    "train.sample_every": 10,
    "train.checkpoint_every": 5,
    "schedule.warmup_tokens": 400,
    "schedule.tokens": 1500,
    "sample.tokens": 5,
}


def train(folder, out, **changed):
    first, second = folder / "first.txt", folder / "second.txt"
    if not first.exists():
        first.write_text("".join(f"{i} and {i * i} are numbers.\n***\n" for i in range(150)))
        second.write_text("".join(f"The letter {chr(97 + i % 26)} is no number at all.\n" for i in range(120)))
    sets = [part for name, value in (SETTINGS | changed).items() for part in ("--set", f"{name}={value}")]
    data = ["--data", str(first), "--data", str(second)]
    return main(["train", "gpt3-tiny", *data, "--out", str(out), "--steps", "20", *sets])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt3")
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(folder, folder / "run") == 0
    patch.undo()
    return folder


def test_the_batch_grows_and_the_rate_follows_the_tokens(reference):
    lines = [line for line in read_log(reference / "run") if "loss" in line]
    tokens = [0, *(line["tokens"] for line in lines)]
    config = TrainConfig(batch=4, accumulation=3, ramp_from=2, ramp_tokens=1200)
    rows = [(b - a) // 16 for a, b in itertools.pairwise(tokens)]
    assert rows == [step_rows(config, before) for before in tokens[:-1]]
    assert rows[0] == 2 and rows == sorted(rows) and rows[-1] == 12 and len(set(rows)) > 4
    rates = [line["lr"] for line in lines]
    assert rates[0] == pytest.approx(2e-3 * 32 / 432)  # its own 32 tokens count
    assert rates[-1] == pytest.approx(2e-4) and tokens[-2] > 1500  # flat from there on
    peak = rates.index(max(rates))
    assert tokens[peak] <= 400 + 12 * 16 and rates[:peak] == sorted(rates[:peak])


@pytest.mark.parametrize("step", some([1, 7, 13], [7], "the same after seven steps"))
def test_stopping_and_resuming_gives_the_same_bits(reference, tmp_path, monkeypatch, step):
    right = trainers.Trainer.train
    with monkeypatch.context() as patch:
        patch.setattr(trainers.Trainer, "train", lambda s, **k: right(s, should_stop=lambda: s.state.step >= step))
        assert train(reference, tmp_path / "run") == 130
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert contents(tmp_path / "run", step=20) == contents(reference / "run", step=20)


def test_evaluation_counts_no_bytes_for_the_ends_of_texts(reference, capsys):
    assert main(["eval", str(reference / "run"), "--data", str(reference / "first.txt"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    first = (reference / "first.txt").read_text().replace("***\n", "").encode()
    # all tokens but the very first, which stands for the first characters
    expected = values["loss"] * values["tokens"] / 0.6931471805599453 / values["bits_per_byte"]
    assert len(first) - 8 < expected < len(first)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"objective.weights": "[1]"}, "objective.weights has 1 numbers, but there are 2 data.sources"),
        ({"objective.weights": "[1, -1]"}, "each must be positive"),
        ({"objective.weights": "['a', 'b']"}, "an item of objective.weights is 'a', but it must be a number"),
        ({"objective.weights": "3"}, "objective.weights is 3, but it must be a list of numbers"),
        ({"objective.sampling": "random"}, "objective.weights needs objective.sampling"),
        ({"objective.end_of_text": "false"}, "objective.separator means nothing without"),
        ({"data.tokenizer": "char"}, "of the kind char, has none"),
        ({"train.ramp_from": 13}, "train.ramp_from and ramp_tokens belong together"),
        ({"train.ramp_from": 0}, "train.ramp_from and ramp_tokens belong together"),
        ({"schedule.tokens": 300}, "it must be less than schedule.tokens, 300"),
        ({"train.ramp_tokens": -1}, "train.ramp_tokens is -1"),
    ],
)
def test_mistakes_are_one_sentence(reference, tmp_path, capsys, changed, message):
    assert train(reference, tmp_path / "run", **changed) == 2
    assert message in capsys.readouterr().err


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 10**6), st.integers(0, 2 * 10**6), st.data())
def test_the_ramp_ends_where_it_should(batch, accumulation, ramp, tokens, data):
    full = batch * accumulation
    start = data.draw(st.integers(1, full))
    config = TrainConfig(batch=batch, accumulation=accumulation, ramp_from=start, ramp_tokens=ramp)
    rows = step_rows(config, tokens)
    assert step_rows(config, 0) == start and start <= rows <= full and (tokens < ramp or rows == full)
    assert abs(rows - min(full, start + (full - start) * tokens / ramp)) < 1
    parts = drawn(config, tokens)
    assert sum(parts) == rows and max(parts) <= batch and max(parts) - min(parts) <= 1
    assert drawn(config, ramp) == [batch] * accumulation


class Recorded:
    """In the place of objective and workers: notes the rows of each batch, which follow each other; trains nothing."""

    def __init__(self, first):
        self.next, self.rows = first, []

    def batch(self, data, rows, *, seed, step, part, first_row):
        assert (part, first_row) == (len(self.rows), self.next)
        self.next += rows
        self.rows.append(rows)
        return SimpleNamespace(token_count=0, row_count=rows)

    def loss_and_grads(self, batches, **how):
        return 1.0, None

    def norm(self):
        return 1.0

    def update(self, lr, *, scale):
        pass


def drawn(config, tokens):
    """The rows of each batch that the step after so many tokens draws."""
    recorded, state = Recorded(50), SimpleNamespace(step=3, rows=50, tokens=tokens, loss_scale=LossScale())
    Stepper(None, RunConfig(train=config), recorded, None, recorded).make(state)
    assert state.rows == recorded.next and state.step == 4
    return recorded.rows


@pytest.mark.parametrize(
    "preset, count, tokens_per_step, rate",
    [
        ("gpt3-small", 125_226_240, 0.5e6, 6.0e-4),
        ("gpt3-medium", 355_871_744, 0.5e6, 3.0e-4),
        ("gpt3-large", 760_300_032, 0.5e6, 2.5e-4),
        ("gpt3-xl", 1_315_723_264, 1e6, 2.0e-4),
        ("gpt3-2.7b", 2_651_553_280, 1e6, 1.6e-4),
        ("gpt3-6.7b", 6_658_404_352, 2e6, 1.2e-4),
        ("gpt3-13b", 12_853_386_240, 2e6, 1.0e-4),
        ("gpt3-175b", 174_604_259_328, 3.2e6, 0.6e-4),
    ],
)
def test_published_sizes(preset, count, tokens_per_step, rate):
    c = build_config(read_preset(preset))
    assert GPT(c.model).parameter_count == count and c.model.window and c.model.width % c.model.heads == 0
    full = c.train.batch * c.train.accumulation * c.model.context
    assert full == pytest.approx(tokens_per_step, rel=0.05) and c.train.ramp_from * c.model.context == 2**15
    s, o = c.schedule, c.optimizer
    assert (s.peak, s.floor) == (pytest.approx(rate), pytest.approx(rate / 10))
    assert (s.warmup_tokens, s.tokens, o.beta1, o.beta2, o.weight_decay, o.clip) == (375e6, 260e9, 0.9, 0.95, 0.1, 1.0)
    ramp, growth = c.train.ramp_tokens, full / 2**15  # a ramp of N tokens takes ∫ dn/rows(n) steps: N ln(g)/(1 − 1/g)
    whole_steps = 300e9 - ramp + ramp * math.log(growth) / (1 - 1 / growth)
    assert c.train.steps * full == pytest.approx(whole_steps, rel=2e-3)


def test_the_wrong_published_shapes_are_refused_or_too_large():
    values = read_preset("gpt3-13b")
    with pytest.raises(UserError, match=r"model.width 5140 is not a multiple of model.heads 40"):
        build_config(values | {"model": values["model"] | {"width": 5140}})
    xl = read_preset("gpt3-xl")
    with pytest.raises(UserError, match=r"model.width 2048 is not a multiple of model.heads 24"):
        build_config(xl | {"model": xl["model"] | {"heads": 24}})
