"""BERT from the command line: it trains, resumes to the same bits, evaluates, and fills in blanks."""

import dataclasses
import json
import math

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.core.measures import means
from minigpt.data.guessing import frequency_guess
from minigpt.generate.fill import fill_in
from minigpt.models import Bert, BertConfig
from minigpt.ops import IGNORE
from minigpt.train.config import build_config, read_preset
from minigpt.train.log import read_log
from minigpt.train.objectives.bert import BertObjective
from minigpt.train.trainer import Trainer

from ...data.nested import from_lists
from ..runs import contents

NAMES = ["Anna", "Bert", "Carl", "Dora", "Emil", "Fred", "Gina", "Hugo"]
TEXT = "\n\n".join(
    f"{a} has a {thing}. {a} likes the {thing}. Every day {a} looks at the {thing}. It is the {thing} of {a}."
    for i in range(6)
    for a in NAMES
    for thing in ("cat", "dog", "hat", "box")
)
SMALL = {
    "model.width": 16,
    "model.layers": 1,
    "model.context": 24,
    "train.batch": 5,
    "train.workers": 2,
    "train.eval_every": 4,
    "objective.max_predictions": 4,
    "sample.temperature": 1.0,
}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def arguments(text, out, *more, **changed):
    settings = SMALL | {key.replace("__", "."): value for key, value in changed.items()}
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = ["train", "bert-tiny", "--data", str(text), "--out", str(out), "--tokenizer", "wordpiece:80"]
    return [*command, "--steps", "10", *flags, *more]


def run_of(text, out, **changed):
    assert main(arguments(text, out, **changed)) == 0
    return out


def test_it_trains_and_says_how_well(text, tmp_path, capsys):
    run = run_of(text, tmp_path / "run")
    shown = capsys.readouterr()
    lines = read_log(run)
    measures = {"mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"}
    assert {"loss", *measures} < set(lines[1]) and "rows of 24;" in shown.err
    for line in lines:
        if "val_loss" in line:
            assert line["val_loss"] == pytest.approx(line["val_mlm_loss"] + line["val_nsp_loss"], rel=1e-6)
        else:
            assert line["loss"] == pytest.approx(line["mlm_loss"] + line["nsp_loss"], rel=1e-6)
    assert "/" in shown.out and "[" in shown.out  # what it said, and what was right
    assert main(["eval", str(run), "--baseline", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert set(values) == {"loss", "perplexity", "tokens", *measures, *(f"baseline_{name}" for name in measures)}
    assert f"guessing by frequency gives mlm_loss {values['baseline_mlm_loss']:.4f}" in shown.err
    assert values["perplexity"] == pytest.approx(math.exp(values["mlm_loss"]))
    last = [line for line in lines if "val_loss" in line][-1]
    assert values["loss"] == pytest.approx(last["val_loss"], rel=1e-6) and values["tokens"] == last["val_tokens"]
    assert main(["eval", str(run), "--data", str(text)]) == 0
    said = capsys.readouterr().out
    assert "nsp_accuracy" in said and "by frequency alone" not in said
    assert main(["eval", str(run), "--data", str(text), "--baseline"]) == 0
    assert "\nby frequency alone: mlm_loss" in capsys.readouterr().out


@pytest.mark.slow("train/test_resume.py: the same for GPT")
def test_it_resumes_to_the_same_bits(text, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_of(text, whole, train__accumulation=2, model__dropout=0.1)
    right = Trainer.train
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", lambda self, **k: right(self, should_stop=lambda: self.state.step >= 5))
        assert main(arguments(text, parts, train__accumulation=2, model__dropout=0.1)) == 130
    assert main(["train", "--resume", str(parts)]) == 0
    assert contents(parts, step=10) == contents(whole, step=10)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_agree(text, tmp_path, workers):
    one, other = run_of(text, tmp_path / "a"), run_of(text, tmp_path / "b", train__workers=workers)
    for a, b in zip(read_log(one), read_log(other), strict=True):
        assert a == pytest.approx(b, rel=2e-4)


def test_without_pairs_it_learns_masked_tokens_only(text, tmp_path, capsys):
    run = run_of(text, tmp_path / "run", model__pairs="false", objective__whole_words="true")
    assert set(read_log(run)[1]) == {"step", "loss", "lr", "grad_norm", "mlm_loss", "mlm_accuracy"}
    capsys.readouterr()
    assert main(["eval", str(run), "--json"]) == 0
    assert not [name for name in json.loads(capsys.readouterr().out) if "nsp" in name]


@pytest.mark.slow("test_it_trains_and_says_how_well: ten steps")
def test_it_learns_both_tasks(text, tmp_path, capsys):
    """Names and things stand in both segments of a true pair: the model has to look from one to the other."""
    settings = {"model__width": 32, "model__context": 32, "train__batch": 32, "train__eval_every": 0}
    flags = ["--tokenizer", "wordpiece:160", "--steps", "400", "--set", "schedule.peak=3e-3"]
    run = tmp_path / "run"
    assert main(arguments(text, run, *flags, **settings, schedule__warmup=20, train__sample_every=0)) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--baseline", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["mlm_loss"] < 1.5 < values["baseline_mlm_loss"] - 1
    assert values["mlm_accuracy"] > values["baseline_mlm_accuracy"] + 0.25
    assert values["nsp_accuracy"] > values["baseline_nsp_accuracy"] + 0.15


def test_blanks_of_a_prompt_are_filled(text, tmp_path, capsys):
    run = run_of(text, tmp_path / "run")
    capsys.readouterr()
    samples = []
    for seed in ("1", "1", "2"):
        assert main(["sample", str(run), "--prompt", "Anna has [MASK] cat. It [MASK].", "--seed", seed]) == 0
        samples.append(capsys.readouterr().out)
    assert samples[0] == samples[1] != samples[2]
    words = samples[0].split()
    assert samples[0].startswith("anna has [") and words[-1] == "." and "[MASK]" not in samples[0]
    assert main(["sample", str(run), "--prompt", "no blank"]) == 2
    assert "the prompt has no [MASK]" in capsys.readouterr().err
    assert main(["sample", str(run), "--prompt", "[MASK] " * 30]) == 2
    assert "the prompt has 32 tokens with [CLS] and [SEP], but the model's context is 24" in capsys.readouterr().err


def test_blanks_are_filled_from_the_scores_at_their_places():
    model = Bert(BertConfig(vocab_size=11, context=8, layers=1, heads=2, width=8))
    params = model.init(seed=0, dtype="float64")
    params["masked.bias"][:] = np.arange(11.0) * 10
    ids = [2, 4, 5, 4, 3]
    assert fill_in(model, params, ids, [1, 3]) == [2, 10, 5, 10, 3]
    assert fill_in(model, params, ids, [1], vocab_size=9) == [2, 8, 5, 4, 3]
    params["masked.bias"][0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        fill_in(model, params, ids, [1])


def test_guessing_is_what_frequencies_know():
    counts = np.array([5, 0, 3])
    targets = [np.array([[0, IGNORE, 2]]), np.array([1, 0])]
    expected = -(2 * math.log(6 / 11) + math.log(4 / 11) + math.log(1 / 11)) / 4
    assert means(frequency_guess(counts, targets)) == pytest.approx({"loss": expected, "accuracy": 0.5})


def objective(documents=None, **changed):
    config = build_config({"family": "bert", "model": {"context": 16, "vocab_size": 90}, **changed})
    return BertObjective(config, tokenizers.train("wordpiece", [TEXT], 80))


def test_validation_is_always_the_same_and_does_not_depend_on_the_seed():
    rng = np.random.default_rng(0)
    documents = from_lists([[rng.integers(5, 60, 7).tolist() for _ in range(5)] for _ in range(20)])
    first, second = (objective(train={"seed": seed}) for seed in (0, 1))
    batches = [[make() for make in o.evaluation_batches(documents, 4)] for o in (first, second)]
    for a, b in zip(*batches, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert sum(b.row_count for b in batches[0]) == len(first._examples(documents, 0).stream.examples_of_pass(0))
    some = first.evaluation_batches(documents, 4, limit=10 * 16)
    assert sum(make().row_count for make in some) == 10
    assert np.array_equal(some[0]().inputs, batches[0][0].inputs)
    train = [o.batch(documents, 4, seed=s, step=0, part=0, first_row=0).inputs for o, s in ((first, 0), (second, 1))]
    assert not np.array_equal(*train)


def test_rows_come_from_the_stream_one_after_the_other():
    documents = from_lists([[[i] * 3 for i in range(5, 25)] for _ in range(9)])
    o = objective()
    whole = o._examples(documents, 7).batch(0, 24).inputs
    parts = [o.batch(documents, 4, seed=7, step=0, part=0, first_row=row).inputs for row in range(0, 24, 4)]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"objective": {"documents": "chapters"}}, "objective.documents is 'chapters'; choose one of paragraphs"),
        ({"objective": {"mask_probability": 1.0}}, "objective.mask_probability is 1.0"),
        ({"objective": {"short_probability": 1.5}}, "objective.short_probability is 1.5"),
        ({"objective": {"dupe_factor": 0}}, "objective.dupe_factor is 0"),
        ({"objective": {"masking": 1}}, "unknown setting 'objective.masking': did you mean 'objective.mask_prob"),
        ({"sample": {"prompt": "abc"}}, r"the prompt has no \[MASK\]"),
        ({"schedule": {"kind": "berd"}}, "choose one of .*, bert"),
    ],
)
def test_impossible_settings_are_refused(changed, sentence):
    with pytest.raises(UserError, match=sentence):
        objective(**changed)


@pytest.mark.parametrize(
    "text, settings, sentence",
    [
        ("One. Two.", {}, "has 1 document, and training and validation need at least 2 each"),
        ("One.\n\nTwo.\n\nThree.", {}, "has 3 documents"),
        ("One.", {"model__pairs": "false"}, "need at least 1 each"),
        ("", {}, "there is no text"),
    ],
)
def test_texts_that_are_too_short_are_refused(text, settings, sentence, tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text(text)
    assert main(arguments(path, tmp_path / "run", **settings)) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_other_tokenizers_are_refused(text, tmp_path, capsys):
    command = ["train", "bert-tiny", "--data", str(text), "--out", str(tmp_path / "run"), "--tokenizer", "byte"]
    assert main(command) == 2
    assert "lacks [PAD], [CLS], [SEP], [MASK]; choose wordpiece:SIZE" in capsys.readouterr().err


def test_presets_are_the_published_shapes():
    def config(name):
        return build_config(read_preset(f"bert-{name}"))

    sizes = {"base": (12, 768), "large": (24, 1024)}
    shapes = {"mini": (4, 256), "small": (4, 512), "medium": (8, 512)}
    shapes |= {f"{size}-{case}": shape for size, shape in sizes.items() for case in ("cased", "uncased")}
    for name, (layers, width) in shapes.items():
        m = config(name).model
        assert (m.layers, m.width, m.heads, m.feed_forward, m.context) == (layers, width, width // 64, 4 * width, 512)
        assert (m.dropout, m.attention_dropout, m.norm_eps, m.token_types, m.pairs) == (0.1, 0.1, 1e-12, 2, True)
        assert m.vocab_size == (28996 if name.endswith("-cased") else 30522)
    assert Bert(config("base-uncased").model).parameter_count == 110_106_428
    assert Bert(config("large-uncased").model).parameter_count == 336_226_108
    for name, body in {"base-cased": 108_310_272, "large-cased": 333_579_264}.items():
        model = Bert(config(name).model)
        assert sum(s.size for s in model.specs if not s.name.startswith(("masked.", "pairs."))) == body
    c = config("base-uncased")
    assert c.train.batch * c.train.accumulation == 256 and c.train.steps == 1_000_000
    assert dataclasses.astuple(c.optimizer)[:6] == ("bert", 0.9, 0.999, 1e-6, 0.01, 1.0)
    assert (c.schedule.kind, c.schedule.peak, c.schedule.floor, c.schedule.warmup) == ("bert", 1e-4, 0.0, 10_000)
    tiny = config("tiny").model
    assert (tiny.layers, tiny.width, tiny.heads) == (2, 128, 2)
