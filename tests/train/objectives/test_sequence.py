"""The first Transformer's objective: pairs from lines, from two files, and from any text."""

import itertools
import json
import math

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.data.pairs import Pairs, encode_pairs, read_pairs
from minigpt.ops import IGNORE
from minigpt.train.config import build_config
from minigpt.train.objectives.sequence import SequenceObjective

from ...conftest import TEXT
from ...tiers import some
from ..runs import contents
from .test_denoising import arguments

SPECIAL = ["<s>", "<pad>", "</s>", "<mask>"]
WORDS = ["one", "two", "three", "four"]
TEXTS = [words for n in (1, 2, 3) for words in itertools.product(WORDS, repeat=n)]
PAIRS = [(" ".join(words), " ".join(reversed(words))) for words in TEXTS]


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train("bpe", [TEXT, "one two three four\n" * 50], 300, special_tokens=SPECIAL)


@pytest.fixture
def tsv(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS), encoding="utf-8")
    return path


def objective(tokenizer, *sources, form="auto", context=16):
    model = {"context": context, "width": 8, "heads": 2, "vocab_size": 300}
    data = {"sources": [str(source) for source in sources]}
    values = {"family": "transformer", "model": model, "objective": {"form": form}, "data": data}
    return SequenceObjective(build_config(values), tokenizer)


def test_lines_with_a_tab(tsv):
    assert list(read_pairs([tsv], "tsv")) == PAIRS


def test_two_files_line_by_line(tmp_path):
    source, target = tmp_path / "a.en", tmp_path / "a.de"
    source.write_text("\ufeffa good day\n\nyes\r\n", encoding="utf-8")
    target.write_text("ein guter Tag\n\nja", encoding="utf-8")
    assert list(read_pairs([source, target], "aligned")) == [("a good day", "ein guter Tag"), ("yes", "ja")]


@pytest.mark.parametrize(
    "form, texts, sentence",
    [
        ("tsv", ["a\tb\nc d\n"], "line 2 of 0.txt is no source, tab and target"),
        ("tsv", ["a\tb\tc\n"], "line 1 of 0.txt is no source"),
        ("tsv", ["a\t\n"], "line 1 of 0.txt is no source"),
        ("aligned", ["a\nb\n", "c\n"], "0.txt and 1.txt do not have equally many lines: one ends before line 2"),
        ("aligned", ["a\n\n", "c\nd\n"], "line 2 of 1.txt is empty in one of the two files"),
        ("aligned", ["a\n"], "aligned pairs are two files, sources and targets; --data names 1"),
    ],
)
def test_lines_that_are_no_pairs_are_refused(form, texts, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = []
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
        files.append((tmp_path / f"{i}.txt").relative_to(tmp_path))
    with pytest.raises(UserError) as error:
        list(read_pairs(files, form))
    assert sentence in str(error.value)


def test_pairs_are_kept_and_split_at_the_end(tsv, tokenizer):
    pairs = encode_pairs([tsv], "tsv", tokenizer, 100)
    assert pairs.count == len(PAIRS) and pairs.left_out == 0
    train, validation = pairs.split(0.25)
    assert (train.count, validation.count) == (63, 21)
    decoded = [tuple(tokenizer.decode(ids) for ids in p.pair(i)) for p in (train, validation) for i in range(p.count)]
    assert decoded == PAIRS
    assert validation.lengths().tolist() == [[len(ids) for ids in validation.pair(i)] for i in range(21)]
    short = encode_pairs([tsv], "tsv", tokenizer, 4)
    assert short.count + short.left_out == len(PAIRS) and short.left_out > 0 and short.lengths().max() <= 4
    with pytest.raises(UserError, match="there are 0 pairs that fit"):
        encode_pairs([tsv], "tsv", tokenizer, 0).split(0.1)


def test_batches_of_pairs(tsv, tokenizer):
    o = objective(tokenizer, tsv)
    train = o.load().train
    assert isinstance(train, Pairs)
    batch = o.batch(train, 6, seed=1, step=2, part=0)
    known = {tuple(s): t.tolist() for s, t in (train.pair(i) for i in range(train.count))}
    for i in range(6):
        real = slice(None) if batch.source_padding is None else batch.source_padding[i]
        source, target = batch.source[i][real], batch.targets[i][batch.targets[i] != IGNORE]
        assert source[-1] == target[-1] == 2 and known[tuple(source[:-1])] == target[:-1].tolist()
        assert batch.inputs[i, : len(target)].tolist() == [2, *target[:-1]]
    again = o.batch(train, 6, seed=1, step=2, part=0)
    assert all((a == b).all() for a, b in zip(batch[:3], again[:3], strict=True))
    spread = [np.ptp((o.batch(train, 6, seed=0, step=s, part=0).source != 1).sum(axis=1)) for s in range(50)]
    alone = np.ptp(train.lengths()[:, 0])
    assert np.mean(spread) < alone / 2  # rows of similar length


def test_every_pair_is_evaluated_once(tsv, tokenizer):
    o = objective(tokenizer, tsv)
    data = o.load().validation
    batches = [make() for make in o.evaluation_batches(data, 4)]
    found = sorted(tuple(row[row != IGNORE]) for batch in batches for row in batch.targets)
    assert found == sorted((*data.pair(i)[1], 2) for i in range(data.count))
    assert len(o.evaluation_batches(data, 1, limit=10)) == 3


def test_continuations_of_a_text(text_file, tokenizer):
    o = objective(tokenizer, text_file)
    train = o.load().train
    batch = o.batch(train, 9, seed=1, step=0, part=0)
    text = train.ids.astype(np.int64).tolist()
    lengths = set()
    for i in range(9):
        source = batch.source[i][batch.source_padding[i]]
        window = [*source[:-1].tolist(), *batch.targets[i].tolist()]
        assert source[-1] == 2 and len(batch.targets[i]) == 16
        assert any(text[k : k + len(window)] == window for k in range(len(text)))
        lengths.add(len(source))
    assert len(lengths) > 3 and max(lengths) <= 16


def test_every_token_but_the_first_is_continued_once(text_file, tokenizer):
    o = objective(tokenizer, text_file)
    data = o.load().validation
    batches = [make() for make in o.evaluation_batches(data, 4)]
    targets = np.concatenate([row[row != IGNORE] for batch in batches for row in batch.targets])
    np.testing.assert_array_equal(targets, data[1:])
    sources = [batch.source[i] for batch in batches for i in range(len(batch.source))]
    assert sources[0].tolist()[:2] == [data[0], 2] and sources[2].tolist() == [*data[18:33], 2]


@pytest.mark.parametrize("form", some(["tsv", "text"], ["tsv"], "the same with a table"))
def test_a_run_repeats_evaluates_and_writes(form, tsv, text_file, tmp_path, capsys):
    text = {"tsv": tsv, "text": text_file}[form]
    for name in ("a", "b"):
        assert main(arguments("transformer-tiny", text, tmp_path / name, 8)) == 0
    assert contents(tmp_path / "a", step=8) == contents(tmp_path / "b", step=8)
    samples = (tmp_path / "a" / "samples.txt").read_text()
    assert samples.count("source:  ") == samples.count("\nwritten: ") == samples.count("\ntarget:  ") == 3
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "a"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    bits = {"bits_per_byte", "bytes"} if form == "text" else set()
    assert values.keys() == {"loss", "perplexity", "tokens", "accuracy"} | bits
    assert values["perplexity"] == pytest.approx(math.exp(values["loss"]))
    assert main(["eval", str(tmp_path / "a"), "--data", str(text)]) == 0
    assert main(["eval", str(tmp_path / "a"), "--baseline"]) == (0 if form == "text" else 2)
    shown = capsys.readouterr()
    assert "a 5-gram model" in shown.out if form == "text" else "there is none for pairs" in shown.err
    assert main(["sample", str(tmp_path / "a"), "--prompt", "one two", "--beams", "2", "--tokens", "5"]) == 0
    assert "</s>" not in capsys.readouterr().out


@pytest.mark.slow("test_a_run_repeats_evaluates_and_writes")
def test_reversing_words_is_learned(tsv, tmp_path, capsys):
    """A task that only cross-attention can solve: after little training most target tokens are right."""
    settings = {
        "model__dropout": 0.0,
        "model__width": 32,
        "schedule__peak": 0.01,
        "schedule__warmup": 20,
        "train__batch": 32,
        "train__accumulation": 1,
        "train__eval_every": 0,
        "train__sample_every": 0,
    }
    assert main(arguments("transformer-tiny", tsv, tmp_path / "run", 150, **settings)) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["accuracy"] < 0.3 and [line for line in lines if "accuracy" in line][-1]["accuracy"] > 0.85


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--set", "objective.form=csv"], "objective.form is 'csv'; choose one of auto, tsv, aligned, text"),
        (["--set", "objective.form=aligned"], "aligned pairs are two files"),
        (["--tokenizer", "byte"], "and this one lacks <pad>, </s>; train one with"),
    ],
)
def test_what_does_not_fit_is_refused(more, sentence, tsv, tmp_path, capsys):
    assert main([*arguments("transformer-tiny", tsv, tmp_path / "run", 2), *more]) == 2
    assert sentence in capsys.readouterr().err


def test_one_pair_at_least_is_for_validation():
    pairs = Pairs(np.arange(7), np.arange(7))  # three pairs of a token each
    train, validation = pairs.split(0.01)
    assert (train.count, validation.count) == (2, 1) and pairs.split(0.99)[0].count == 1
