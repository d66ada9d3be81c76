"""Text in, text out, for models of other implementations: special tokens, settings of the file, ends."""

import dataclasses
import json

import pytest

import minigpt
from minigpt.core.errors import UserError
from minigpt.interop.hf.writing import write_model
from minigpt.models import BART, GPT, BARTConfig, GPTConfig
from minigpt.tokenizers import encode_text
from minigpt.tokenizers.template import begin_end_template

from ..cli.conftest import json_of
from ..tokenizers.test_template import letters
from .files import gpt2_folder

MODEL = GPT(GPTConfig(vocab_size=259, context=24, layers=1, heads=2, width=8))
IDS = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}


@pytest.fixture
def folder(tmp_path):
    """A GPT-2 whose tokenizer puts <s> before a text."""
    tokenizer = letters()
    tokenizer.template = begin_end_template(256, None)
    path = gpt2_folder(tmp_path / "hf", MODEL, tokenizer)
    settings(path)
    return path


def settings(path, **values):
    (path / "generation_config.json").write_text(json.dumps(IDS | values))


def text_of(loaded, ids):
    return loaded.text.decode([i for i in ids if i < 256])


def test_a_text_begins_and_ends_as_the_files_say(folder):
    loaded = minigpt.load(folder)
    row = loaded.generate_ids([[256, *b"ab"]], max_new_tokens=8)[0].tolist()
    assert loaded.generate("ab", max_new_tokens=8, temperature=0) == text_of(loaded, row[3:])
    empty = loaded.generate_ids([[256]], max_new_tokens=8)[0].tolist()
    assert loaded.generate("", max_new_tokens=8, temperature=0) == text_of(loaded, empty[1:])
    settings(folder, eos_token_id=row[5])
    stopped = minigpt.load(folder).generate("ab", max_new_tokens=8, temperature=0)
    assert stopped == text_of(loaded, row[3 : row.index(row[5], 3) + 1])
    assert len(loaded.generate("ab", max_new_tokens=40, temperature=0).encode()) > 24  # longer than the context


def test_what_the_file_says_counts(folder):
    drawn = minigpt.load(folder).generate("ab", max_new_tokens=8)
    settings(folder, do_sample=False, max_new_tokens=8)
    greedy = minigpt.load(folder)
    assert greedy.generate("ab") == greedy.generate("ab", temperature=0, max_new_tokens=8) != drawn
    assert greedy.generate("ab", temperature=1.0, max_new_tokens=8) == drawn
    settings(folder, do_sample=True, temperature=0.5, top_p=0.5, max_length=7)
    cold = minigpt.load(folder)
    expected = greedy.generate("ab", temperature=0.5, top_p=0.5, max_new_tokens=4)
    assert cold.generate("ab") == expected and cold.generate("ab", seed=1) != expected
    settings(folder, num_beams=3, no_repeat_ngram_size=2)
    searched = minigpt.load(folder)
    row = searched.generate_ids([[256, *b"ab"]], max_new_tokens=6)[0]
    assert searched.generate("ab", max_new_tokens=6) == text_of(searched, row[3:])
    assert searched.generate("ab", max_new_tokens=6, temperature=0.5) != searched.generate("ab", max_new_tokens=6)
    with pytest.raises(UserError, match="there is no setting penalty for generating"):
        searched.generate("ab", penalty="gnmt")
    settings(folder, guidance_scale=3.0)
    with pytest.raises(UserError, match=r"guidance_scale is 3\.0"):
        minigpt.load(folder).generate("ab")


def test_the_command_uses_and_shows_them(folder, capsys):
    settings(folder, repetition_penalty=1.5, max_new_tokens=6)
    found = json_of(capsys, "sample", folder, "--prompt", "ab", "--temperature", "0", "--json")
    loaded = minigpt.load(folder)
    assert found["text"] == loaded.generate("ab", temperature=0) and found["tokens"] == 6
    assert found["settings"] == {"repetition_penalty": 1.5, "max_new_tokens": 6}
    more = ["--repetition-penalty", "1", "--no-repeat-ngram", "1", "--min-p", "0.9", "--tokens", "9"]
    found = json_of(capsys, "sample", folder, "--prompt", "ab", *more, "--json")
    given = {"repetition_penalty": 1, "no_repeat_ngram_size": 1, "min_p": 0.9, "max_new_tokens": 9, "temperature": 0.8}
    assert found["text"] == loaded.generate("ab", **given)
    assert minigpt.cli.main(["sample", str(folder), "--prompt", "ab"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("ab") and "repetition_penalty 1.5, max_new_tokens 6" in shown.err


def test_an_encoder_decoder_reads_the_text_between_its_tokens(tmp_path):
    c = BARTConfig(vocab_size=259, context=20, encoder_layers=1, decoder_layers=1, heads=2, width=8, feed_forward=8)
    c = dataclasses.replace(c, bos=256, eos=257, pad=258, start=257)
    model = BART(c)
    tokenizer = letters()
    tokenizer.template = begin_end_template(256, 257)
    write_model(tmp_path / "hf", model, model.init(seed=2), tokenizer, IDS)
    loaded = minigpt.load(tmp_path / "hf")
    assert encode_text(loaded.text, "ab").ids == [256, *b"ab", 257]
    row = loaded.generate_ids([[256, *b"ab", 257]], max_new_tokens=7)[0]
    assert row[0] == 257 and loaded.generate("ab", temperature=0, max_new_tokens=7) == text_of(loaded, row[1:])
    assert loaded.generate("ab", temperature=0) == loaded.generate("ab", temperature=0, max_new_tokens=19)
    with pytest.raises(UserError, match="the source has 23 tokens"):
        loaded.generate("a" * 21)
