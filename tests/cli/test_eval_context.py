"""`minigpt eval --context N`: windows of N tokens, and the loss of each token given those before it in its window."""

import numpy as np
import pytest

import minigpt
from minigpt import tokenizers
from minigpt.models import GPT, GPTConfig

from ..interop.files import gpt2_folder
from .conftest import json_of


def test_windows_of_the_length_that_was_asked_for(tmp_path, capsys, error):
    model = GPT(GPTConfig(vocab_size=256, context=16, layers=1, heads=2, width=8))
    folder = gpt2_folder(tmp_path / "hf", model, tokenizers.ByteTokenizer())
    text = b"What follows a letter depends on those before."
    (tmp_path / "text.txt").write_bytes(text)
    m = minigpt.load(folder)
    for window in (5, 16):
        losses = []
        for start in range(0, len(text) - 1, window):
            piece = list(text[start : start + window + 1])
            for t in range(1, len(piece)):
                scores = m.logits([piece[:t]])[0, -1].astype(np.float64)
                losses.append(np.log(np.exp(scores).sum()) - scores[piece[t]])
        found = json_of(capsys, "eval", folder, "--data", tmp_path / "text.txt", "--context", window, "--json")
        assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5) and found["tokens"] == len(losses) == 45
    assert "--context is 17, but the model's context is 16" in error("eval", folder, "--data", "x", "--context", "17")
