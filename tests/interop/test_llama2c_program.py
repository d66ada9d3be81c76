"""A model of llama2.c goes on from a text as its program does, which is written here again from its description."""

import itertools
import struct

import pytest

import minigpt
from minigpt.cli import main
from minigpt.interop import llama2c
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import Llama, LlamaConfig

from .test_llama2c import reference_logits

WORDS = [
    "the",
    "cat",
    "sat",
    " the",
    " cat",
    " sat",
    "th",
    " c",
    "ca",
    "at",
    " s",
    "sa",
    " t",
    " a",
    "once",
    "on",
    "ce",
]
PROMPTS = ["the cat", "", "a", "cat sat the", " the", "two  spaces", "once é", "</s>", "<s> the", "The\nend"]


def token_file(path):
    """A tokenizer.bin: three special tokens, 256 bytes, letters and words with scores."""
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % b for b in range(256))]
    pieces += [c.encode() for c in " abcdefghijklmnopqrstuvwxyzTE</>\n"] + [word.encode() for word in WORDS]
    scores = [0.0] * 259 + [-1e6] * (len(pieces) - 259 - len(WORDS)) + [-float(len(word)) for word in WORDS]
    data = struct.pack("<i", max(map(len, pieces)))
    for score, piece in zip(scores, pieces, strict=True):
        data += struct.pack("<fi", score, len(piece)) + piece
    path.write_bytes(data)
    return pieces, scores


def program_encode(text, pieces, scores):
    """BOS, a space, every character (or its bytes, whose ids begin at 3), then the best pair again and again."""
    ids = {piece: i for i, piece in reversed(list(enumerate(pieces)))}
    tokens = [1]
    if text:
        tokens.append(ids[b" "])
    for c in text:
        tokens += [ids[c.encode()]] if c.encode() in ids else [b + 3 for b in c.encode()]
    while True:
        pairs = [(ids.get(pieces[a] + pieces[b], -1), n) for n, (a, b) in enumerate(itertools.pairwise(tokens))]
        found = [(scores[i], -n, i) for i, n in pairs if i >= 0]
        if not found:
            return tokens
        _, n, i = max(found)
        tokens[-n : -n + 2] = [i]


def program(path, prompt, pieces, scores, steps):
    """The ids that it forces and says, with temperature 0: up to BOS, or to so many in all."""
    tokens = program_encode(prompt, pieces, scores)
    while len(tokens) <= steps:
        chosen = int(reference_logits(path, tokens)[-1].argmax())
        if chosen == 1:
            break
        tokens.append(chosen)
    return tokens


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama2c")
    pieces, scores = token_file(folder / "tokenizer.bin")
    shape = {"vocab_size": len(pieces), "context": 24, "layers": 1, "heads": 2, "width": 8, "feed_forward": 12}
    model = Llama(LlamaConfig(**shape, scaled_residual_init=False, tied=False))
    params = random_parameters(model, seed=3).astype("float32")
    params["output"][:, 3:259] = 0  # bytes that are no text, which are printed in another way
    params["output"][:, 1] *= 2.5  # so that some texts end
    llama2c.write_model(folder / "model.bin", model, params)
    return folder / "model.bin", pieces, scores


def test_texts_go_on_as_the_program_goes_on(files):
    path, pieces, scores = files
    loaded = minigpt.load(path)
    lengths = set()
    for prompt in PROMPTS:
        begun = program_encode(prompt, pieces, scores)
        assert minigpt.tokenizers.encode_text(loaded.text, prompt).ids == begun
        said = program(path, prompt, pieces, scores, steps=23)
        text = b"".join(b"" if i == 2 else pieces[i] for i in said[len(begun) :]).decode()
        if not prompt:  # it takes a space off behind BOS
            text = text.removeprefix(" ")
        assert loaded.generate(prompt, temperature=0, max_new_tokens=24 - len(begun)) == text, prompt
        found = loaded.generate_ids([begun], max_new_tokens=24 - len(begun))[0].tolist()
        assert found == said or found == [*said, 1]
        lengths.add(len(said))
    assert len(lengths) > 1


def test_its_ids_are_known_and_kept(files, tmp_path):
    path, pieces, scores = files
    assert minigpt.load(path).ids == minigpt.load(path, tokenizer=False).ids == {"bos_token_id": 1, "eos_token_id": 1}
    assert main(["convert", str(path), str(tmp_path / "run")]) == 0
    run, loaded = minigpt.load(tmp_path / "run"), minigpt.load(path)
    assert run.ids == loaded.ids
    for prompt in PROMPTS:
        given = {"temperature": 0, "max_new_tokens": 8}
        assert run.generate(prompt, **given) == loaded.generate(prompt, **given)
    assert minigpt.tokenizers.encode_text(run.text, "<s> a").ids == program_encode("<s> a", pieces, scores)
