"""What training reads stays what it was, to the last token: texts of the story world, and the batches of every family.

A run that resumes draws its batches again, and every number that was measured belongs to one state of the texts. So
`golden.json` keeps their hashes, which say nothing about right or wrong: that the other tests do. After a change that
is meant, `python -m tests.data.test_golden` writes them anew.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.data import storyworld
from minigpt.train.config import apply_settings, build_config, read_preset
from minigpt.train.families import make_objective

GOLDEN = Path(__file__).with_name("golden.json")
NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil", "Fred")
TEXT = "\n\n".join(
    f"{a} has a {thing}. {a} likes the {thing} of {b}.\nEvery day {a} looks at the {thing}. It is {i} o'clock."
    for i, a in enumerate(NAMES)
    for b in NAMES[:3]
    for thing in ("cat", "dog", "hat", "box")
)
NO_ENDS = ["objective.end_of_text=false", 'objective.separator=""']
BATCHES = {  # name -> (preset, tokenizer, settings)
    "windows anywhere": ("tiny", "bpe:300", ["objective.sampling=random", *NO_ENDS]),
    "windows in epochs": ("gpt2-tiny", "bpe:300", ["objective.sampling=epochs", "objective.end_of_text=true"]),
    "documents": ("tiny", "bpe:300", ["objective.end_of_text=true", 'objective.separator="***"']),
    "bert": ("bert-tiny", "wordpiece:90", ["objective.dupe_factor=3", "objective.max_predictions=6"]),
    "bert, whole words": ("bert-tiny", "wordpiece:90", ["objective.whole_words=true"]),
    "bert, no pairs": ("bert-tiny", "wordpiece:90", ["model.pairs=false"]),
    "infilling": ("bart-tiny", "bpe:300", []),
    "all other noise": ("bart-tiny", "bpe:300", [f"objective.{n}=0.3" for n in ("mask", "delete", "rotate", "random")]),
    "text into its continuation": ("transformer-tiny", "bpe:300", []),
}


def digest(*arrays) -> str:
    """A hash of arrays' shapes and values, whatever their integer type; None has one too."""
    found = hashlib.sha256()
    for x in arrays:
        if x is None:
            found.update(b"none")
        else:
            x = np.asarray(x)
            kept = x.astype("<f8") if x.dtype.kind == "f" else x.astype("<i8")
            found.update(str(x.shape).encode())
            found.update(kept.tobytes())
    return found.hexdigest()[:16]


def batches(folder: Path, name: str) -> list[str]:
    """The hashes of a family's first batches, of one far on, and of what it is evaluated on."""
    preset, spec, settings = BATCHES[name]
    text = folder / "text.txt"
    text.write_text(TEXT.replace("\n\n", "\n***\n") if name == "documents" else TEXT, encoding="utf-8", newline="\n")
    size = ["model.context=24", f'data.sources=["{text}"]', "data.validation_fraction=0.1"]
    values = apply_settings(read_preset(preset), [*size, *settings])
    config = build_config(values)
    kind, _, vocabulary = spec.partition(":")
    special = ["<s>", "<pad>", "</s>", "<mask>", "<|endoftext|>"] if kind == "bpe" else None
    options = {"special_tokens": special} if special else {}
    tokenizer = tokenizers.train(kind, [TEXT], int(vocabulary), **options)
    values["model"]["vocab_size"] = tokenizer.vocab_size
    objective = make_objective(build_config(values), tokenizer)
    data = objective.load()
    found, first_row = [], 0
    for step, part in ((0, 0), (0, 1), (1, 0), (50, 0)):
        first_row = 400 if step == 50 else first_row
        batch = objective.batch(data.train, 5, seed=config.train.seed, step=step, part=part, first_row=first_row)
        found.append(digest(*batch))
        first_row += 5
    for make in objective.evaluation_batches(data.validation, 4, 200):
        found.append(digest(*make()))
    return found


def texts(kind: str) -> str:
    """A hash of sixty texts of one kind, with their probabilities to nine digits, for seeds and numbers far apart."""
    found = hashlib.sha256()
    for seed, first in ((0, 0), (3, 10**6)):
        for index in range(first, first + 30):
            drawn = storyworld.document(seed, index, kind)
            found.update(f"{drawn.text}\0{drawn.log_p:.9f}\0".encode())
    return found.hexdigest()[:16]


def golden() -> dict:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", BATCHES)
def test_batches(name, tmp_path):
    assert batches(tmp_path, name) == golden()["batches"][name]


@pytest.mark.parametrize("kind", storyworld.KINDS)
def test_texts_of_the_story_world(kind):
    assert texts(kind) == golden()["texts"][kind]


def store() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        found = {"batches": {name: batches(Path(scratch), name) for name in BATCHES}}
    found["texts"] = {kind: texts(kind) for kind in storyworld.KINDS}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(store())
