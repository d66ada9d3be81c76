"""BART's objective: rows, noise that repeats, the copying baseline, and a run from text to restored text."""

import json
import math

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.data.copying import copied_tokens, copying_baseline
from minigpt.data.noising import Noise
from minigpt.data.seq2seq import Seq2SeqBatch, seq2seq_batch
from minigpt.ops import IGNORE
from minigpt.train.config import build_config
from minigpt.train.objectives.denoising import DenoisingObjective

from ...conftest import TEXT
from ..runs import contents

TINY = {
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "model.width": 16,
    "model.heads": 2,
    "model.context": 16,
    "model.dropout": 0.2,
    "train.batch": 5,
    "train.accumulation": 2,
    "train.workers": 2,
    "train.eval_every": 7,
    "train.eval_tokens": 100,
    "train.sample_every": 6,
    "train.checkpoint_every": 5,
    "schedule.warmup": 3,
    "sample.tokens": 12,
}


def arguments(preset, text, out, steps, **changed):
    settings = TINY | {name.replace("__", "."): value for name, value in changed.items()}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    where = ["--data", str(text), "--tokenizer", "bpe:300", "--out", str(out), "--steps", str(steps)]
    return ["train", preset, *where, *sets]


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train("bpe", [TEXT], 300, special_tokens=["<s>", "<pad>", "</s>", "<mask>"])


def objective(tokenizer, text=None, **settings):
    sources = [str(text)] if text else []
    model = {"context": 16, "width": 8, "heads": 2, "vocab_size": 300}
    values = {"family": "bart", "model": model, "objective": settings, "data": {"sources": sources}}
    return DenoisingObjective(build_config(values), tokenizer)


def test_targets_are_the_clean_windows(tokenizer, text_file):
    o = objective(tokenizer, text_file)
    train = o.load().train
    batch = o.batch(train, 7, seed=1, step=2, part=3)
    assert batch.targets.shape == (7, 16) and (batch.targets[:, 0] == 0).all() and (batch.targets[:, -1] == 2).all()
    text = train.ids.astype(np.int64).tobytes()
    for row in batch.targets[:, 1:-1]:
        assert row.tobytes() in text
    assert (batch.inputs[:, 0] == 2).all() and (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
    assert (batch.source == 3).any() and batch.source.shape[1] <= 16
    assert (batch.source[np.arange(7), batch.source_padding.sum(axis=1) - 1] == 2).all()


def test_batches_are_functions_of_their_place(tokenizer, text_file):
    o = objective(tokenizer, text_file)
    train = o.load().train

    def same(a, b):
        return all(x.shape == y.shape and (x == y).all() for x, y in zip(a[:3], b[:3], strict=True))

    first = o.batch(train, 4, seed=1, step=2, part=0)
    assert same(first, objective(tokenizer, text_file).batch(train, 4, seed=1, step=2, part=0))
    for place in ({"seed": 2}, {"step": 3}, {"part": 1}):
        assert not same(first, o.batch(train, 4, **({"seed": 1, "step": 2, "part": 0} | place)))


def test_without_noise_the_source_is_the_target(tokenizer, text_file):
    o = objective(tokenizer, text_file, permute=0.0, infill=0.0, length=9)
    batch = o.batch(o.load().train, 3, seed=0, step=0, part=0)
    assert batch.source.shape == (3, 9) and (batch.source == batch.targets).all()


def test_evaluation_covers_the_text_once(tokenizer, text_file):
    o = objective(tokenizer, text_file)
    data = o.load().validation
    batches = [make() for make in o.evaluation_batches(data, 4)]
    seen = np.concatenate([row[(row != IGNORE)][1:-1] for batch in batches for row in batch.targets])
    np.testing.assert_array_equal(seen, data)
    again = [make() for make in o.evaluation_batches(data, 4)]
    assert all((a.source == b.source).all() for a, b in zip(batches, again, strict=True))
    some = [make() for make in o.evaluation_batches(data, 4, limit=60)]
    assert 0 < sum(batch.counts()["tokens"] for batch in some) <= 100


def test_copying_by_example():
    """Copying goes on where the longest match goes on, and never knows what was masked."""
    source = np.array([0, 5, 6, 7, 3, 5, 8, 2])  # <s> 5 6 7 <mask> 5 8 </s>
    target = np.array([0, 5, 6, 7, 9, 5, 8, 2])
    batch = seq2seq_batch([source], [target], pad=1, start=2)
    #    read:  </s> <s>  5  6  7  9  5  8        9 is nowhere; 5 alone matches its first place, 5 8 the second one
    assert copied_tokens(batch)[0].tolist() == [0, 5, 6, 7, 3, -1, 6, 2]
    copying = copying_baseline([batch], vocab_size=11)
    assert copying.accuracy == 5 / 8
    bet = -(5 * math.log(5 / 8) + 3 * math.log(3 / 8 / 10)) / 8
    assert copying.loss == pytest.approx(bet, rel=1e-12)
    assert all(
        bet < -(5 * math.log(a) + 3 * math.log((1 - a) / 10)) / 8 for a in (5 / 8 - 0.01, 5 / 8 + 0.01)
    )  # no other bet is better
    more = copying_baseline([batch], vocab_size=12).loss - copying.loss  # a twelfth token to be wrong with
    assert more == pytest.approx(3 / 8 * math.log(11 / 10), rel=1e-9)


def test_copying_an_undamaged_text_is_always_right():
    rows = [np.array([0, *range(5, 5 + n), 2]) for n in (3, 6)]
    batch = seq2seq_batch(rows, rows, pad=1, start=2)
    copying = copying_baseline([batch], vocab_size=50)
    assert copying.accuracy == 1.0 and copying.loss == 0.0
    nothing = Seq2SeqBatch(batch.source, batch.inputs, np.full_like(batch.targets, IGNORE))
    assert copying_baseline([nothing], vocab_size=50).accuracy == 0.0
    targets = np.full_like(batch.targets, IGNORE)
    targets[0, 0] = batch.targets[0, 0]
    assert copying_baseline([batch._replace(targets=targets)], vocab_size=50).accuracy == 1.0  # of the only one


@pytest.mark.slow("train/test_resume.py: the same for GPT")
def test_a_run_resumes_to_the_same_bits(text_file, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(arguments("bart-tiny", text_file, whole, 12, schedule__steps=12)) == 0
    assert "copying the damaged text would come to accuracy 0." in capsys.readouterr().err
    assert main(arguments("bart-tiny", text_file, parts, 5, schedule__steps=12)) == 0
    assert main(["train", "--resume", str(parts), "--steps", "12"]) == 0
    assert contents(parts, step=12) == contents(whole, step=12)
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert all("accuracy" in line for line in lines if "loss" in line)
    assert all("val_accuracy" in line for line in lines if "val_loss" in line)
    samples = (whole / "samples.txt").read_text()
    assert samples.count("damaged:  ") == samples.count("\nrestored: ") == samples.count("\noriginal: ") == 3


def test_eval_and_sample(text_file, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(arguments("bart-tiny", text_file, run, 8)) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values.keys() == {"loss", "perplexity", "tokens", "accuracy", "copy_loss", "copy_accuracy"}
    assert values["perplexity"] == pytest.approx(math.exp(values["loss"]))
    assert main(["eval", str(run), "--data", str(text_file)]) == 0
    assert "(copying: " in capsys.readouterr().out
    assert main(["eval", str(run), "--baseline", "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["baseline_loss"] < math.log(300)
    for beams in ("0", "1", "3"):
        texts = []
        for _ in range(2):
            prompt = ["--prompt", "Line 4 says <mask> nobody minds."]
            assert main(["sample", str(run), *prompt, "--beams", beams, "--tokens", "9", "--json"]) == 0
            texts.append(json.loads(capsys.readouterr().out)["text"])
        assert texts[0] == texts[1] and "<s>" not in texts[0]
    assert main(["sample", str(run)]) == 0
    assert capsys.readouterr().out.startswith("damaged:  ")


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--tokenizer", "char"], "and this one lacks <s>, <pad>, </s>, <mask>; train one with --tokenizer bpe:4096"),
        (["--set", "model.pad=7"], "<pad> has the id 1 in this tokenizer, but model.pad is 7; set model.pad=1"),
        (["--set", "objective.infill=2"], "objective.infill is 2.0; it must be between 0 and 1"),
        (["--set", "objective.length=17"], "rows of 17 tokens cannot be restored"),
        (["--set", "objective.infil=0.1"], "did you mean 'objective.infill'?"),
        (["--set", "sample.penalty=long"], "sample.penalty is 'long'"),
    ],
)
def test_what_does_not_fit_is_refused(more, sentence, text_file, tmp_path, capsys):
    assert main([*arguments("bart-tiny", text_file, tmp_path / "run", 2), *more]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_without_a_mask_is_refused():
    plain = tokenizers.train("bpe", [TEXT], 300)
    with pytest.raises(UserError, match="this one lacks <s>, <pad>, </s>, <mask>"):
        objective(plain)


def test_the_defaults_are_the_final_recipe(tokenizer):
    noise = objective(tokenizer).config.objective
    assert isinstance(noise, Noise) and (noise.permute, noise.infill, noise.span) == (1.0, 0.3, 3.0)
    assert (noise.mask, noise.delete, noise.rotate, noise.random) == (0.0, 0.0, 0.0, 0.0)
