"""What a family is and how it is trained: one run folder for each size and seed, all on the same text.

Every size sees the same batches in the same order, none of them twice (in the story world as many documents are drawn
as are needed). The learning rate falls as one over the square root of the steps and not along a cosine, whose losses
mean something at its end only; so each evaluation on the way is one measured (N, D), and one run gives a whole curve.
The models are Llamas: rotary positions need far less text to learn to look back by distance than a learned table, and
what is looked up in the text before is most of what there is to learn here.

A row holds as many documents as fit, and nothing keeps them apart. With lists alone that is in the way: every list of a
row calls its kinds by other labels, so what stood behind a word is mostly what another list said of it, and models this
small never find out what a list is about. In rows of 72 tokens, which hold one list and seldom two, they do.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt import tokenizers
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.files import make_folder, new_folder, read_text, write_atomically
from minigpt.core.limits import CONFIGURATION_BYTES
from minigpt.core.reading import parse_json
from minigpt.data import storyworld
from minigpt.data.corpora import DEFAULT
from minigpt.data.dataset import make_tokenizer, text_files
from minigpt.data.packing import Packed
from minigpt.data.storyworld.documents import share
from minigpt.data.text import resolve_sources
from minigpt.distributed.ranks import ALONE, Ranks
from minigpt.lab.plan import parameter_groups
from minigpt.tokenizers import Tokenizer
from minigpt.train.config import build_config
from minigpt.train.families import FAMILIES
from minigpt.train.log import last_evaluation
from minigpt.train.objectives.causal import CausalObjective
from minigpt.train.objectives.landmarks import floor_of
from minigpt.train.opening import on_all_ranks
from minigpt.train.run_folder import create_run, is_run, load_config, locked
from minigpt.train.settings import RunConfig
from minigpt.train.trainer import Trainer

CONTEXT = 256  # of a row, in tokens, unless said otherwise
BATCH = 4  # rows: small models learn more from many small steps than from few large ones
EVALUATIONS = 8  # evenly spread over a run
WARMUP = 100
RATE, RATE_WIDTH = 0.008, 64  # the learning rate has this peak at this width, and falls as one over the width
INIT = 0.7  # initial weights times √width; at 0.02 narrow models' attention stays flat for long
_TOKENIZER = "bpe:1024"
_CHARACTERS = 4  # of the story world's text to a token, at most
_VALIDATION = 1000  # documents
_SETTINGS = "family.json"


class Size(NamedTuple):
    """A shape, written LxC: layers and width."""

    layers: int
    width: int

    def __str__(self) -> str:
        return f"{self.layers}x{self.width}"

    @property
    def heads(self) -> int:
        """As many as four, of at least 16 numbers each, an even number of them (rotary positions turn pairs)."""
        return max(h for h in (1, 2, 3, 4) if self.width % (2 * h) == 0 and (h == 1 or self.width // h >= 16))

    @property
    def feed_forward(self) -> int:
        """8/3 of the width: with the gate three matrices, as many numbers as two of 4 times the width have."""
        return round(8 * self.width / 3)


# 14 thousand to 890 thousand parameters without embeddings, each about twice as many as the one before.
SIZES = tuple(Size(*shape) for shape in ((2, 24), (2, 32), (2, 48), (3, 56), (3, 80), (4, 96), (4, 136)))


class Family(NamedTuple):
    """What is trained; kept in family.json.

    Attributes:
        sizes: as texts. data: a corpus or file, or "storyworld:KIND".
        tokens: D of every run, about. seeds: how many runs of each size.
        steps: of each run. floor: the entropy of the validation text in nats per token, if it is known.
        step_tokens: tokens that a step learns from, on average. context: of a row, in tokens.
    """

    sizes: tuple[str, ...]
    data: str
    tokens: int
    seeds: int
    steps: int
    floor: float | None
    step_tokens: float
    context: int = CONTEXT


def parse_size(text: str) -> Size:
    """Raises ValueError."""
    layers, _, width = text.partition("x")
    size = Size(int(layers), int(width))
    if not (1 <= size.layers <= 100 and 8 <= size.width <= 4096):
        raise ValueError(text)
    if size.width % 2:
        raise ValueError(text)
    return size


def start_family(
    folder: Path,
    *,
    sizes: tuple[Size, ...] = SIZES,
    data: str = DEFAULT,
    tokens: int,
    seeds: int = 1,
    context: int = CONTEXT,
) -> Family:
    """Make the folder of a family: its text, tokenizer and settings. Nothing is trained yet.

    Raises:
        UserError: something stands there already, or the text is too short.
    """
    if len(set(sizes)) != len(sizes):
        raise UserError("the same size is given twice in --sizes")
    if len({size.layers * size.width**2 for size in sizes}) < 3:
        raise UserError("a law needs at least three --sizes, and four if the largest is to be predicted")
    fraction, kind = 0.1, story_kind(data)
    if kind is None:
        resolve_sources([data])  # fails here, with one sentence, if there is no such text
        data = str(Path(data).resolve()) if Path(data).exists() else data
    with new_folder(folder) as beside:
        if kind is not None:
            length = sum(len(d.text) for d in itertools.islice(storyworld.stream(0, None, kind or None), 200)) / 200
            documents = math.ceil(1.05 * tokens * _CHARACTERS / length)
            fraction = _VALIDATION / (documents + _VALIDATION)
            write_atomically(beside / "text.txt", _documents(documents, kind))
        source = data if kind is None else str(beside / "text.txt")
        config = _config(sizes[0], data, source, fraction, steps=1, seed=0, context=context)
        tokenizer = make_tokenizer(_TOKENIZER, text_files([source]), CausalObjective.special_tokens(config))
        tokenizers.save(tokenizer, beside)
        objective = CausalObjective(_with_vocabulary(config, tokenizer), tokenizer)
        dataset = objective.load()
        floor, step_tokens = None, float(BATCH * context)
        if kind is not None:
            fraction = _fraction(dataset.train[0])
            config = dataclasses.replace(config, data=dataclasses.replace(config.data, validation_fraction=fraction))
            dataset = CausalObjective(_with_vocabulary(config, tokenizer), tokenizer).load()
            floor = _floor(dataset.validation[0], tokenizer, kind)
            step_tokens = BATCH * dataset.train[0].tokens / dataset.train[0].row_count
        steps = EVALUATIONS * max(1, round(tokens / step_tokens / EVALUATIONS))
        family = Family(tuple(map(str, sizes)), data, tokens, seeds, steps, floor, step_tokens, context)
        settings = family._asdict() | {"validation_fraction": fraction}
        write_atomically(beside / _SETTINGS, json.dumps(settings, indent=1) + "\n")
    return family


def open_family(folder: Path) -> Family:
    """The family in a folder.

    Raises:
        UserError: there is none, or its settings are damaged.
    """
    values = _settings(folder)
    known = {field: values[field] for field in Family._fields if field in values}
    return Family(**known)._replace(sizes=tuple(values["sizes"]))


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / _SETTINGS
    if not path.is_file():
        raise UserError(f"{folder} is not a folder that `minigpt scaling` made: it has no {_SETTINGS}")
    try:
        values = parse_json(read_text(path, CONFIGURATION_BYTES))
        needed = set(Family._fields) - set(Family._field_defaults)
        if not needed <= set(values) or not all(parse_size(s) for s in values["sizes"]):
            raise ValueError("settings are missing")
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged; train the family anew in another folder") from None
    return values


def story_kind(data: str) -> str | None:
    """The kind of the story world's documents that `data` names: "storyworld" is all of them, "", and
    "storyworld:list" lists. None for any other text.

    Raises:
        UserError: there is no such kind.
    """
    name, colon, kind = data.partition(":")
    if name != DEFAULT:
        return None
    if colon and kind not in storyworld.KINDS:
        raise UserError(f"the story world has no documents of the kind {kind!r}: {', '.join(storyworld.KINDS)}")
    return kind


def _fraction(packed: Packed) -> float:
    """The part of all pieces that the last documents are, those to validate on; a long document is several pieces."""
    ends = np.flatnonzero(packed.ids == packed.end)
    first = int(np.searchsorted(packed.pieces, ends[-_VALIDATION - 1] + 1))
    return 1.0 - first / (len(packed.pieces) - 1)


def _floor(packed: Packed, tokenizer: Tokenizer, kind: str) -> float | None:
    """−Σ log p(document) over the tokens; of one kind, p(document | kind) = p(document)/p(kind)."""
    floor = floor_of(packed, tokenizer)
    if floor is None or not kind:
        return floor
    return floor + math.log(share(kind)) * len(packed.numbers) / packed.tokens


def _documents(count: int, kind: str) -> str:
    """So many documents of the story world's split "train", then those of "dev" to validate on."""
    texts = [
        document.text
        for split, some in (("train", count), ("dev", _VALIDATION))
        for document in itertools.islice(storyworld.stream(0, split, kind or None), some)
    ]
    return "\n\n".join(texts) + "\n"


def _config(size: Size, data: str, source: str, fraction: float, *, steps: int, seed: int, context: int) -> RunConfig:
    story = story_kind(data) is not None
    peak = RATE * RATE_WIDTH / size.width
    return build_config(
        {
            "family": "llama",
            "model": {
                "context": context,
                "layers": size.layers,
                "heads": size.heads,
                "width": size.width,
                "feed_forward": size.feed_forward,
                "tied": True,
                "init_std": INIT / math.sqrt(size.width),
            },
            "objective": {"sampling": "documents", "end_of_text": True, "separator": "\n"}
            if story
            else {"sampling": "epochs"},
            "data": {"sources": [source], "tokenizer": _TOKENIZER, "validation_fraction": fraction},
            "train": {
                "steps": steps,
                "batch": BATCH,
                "seed": seed,
                "workers": min(2, available_cores()),
                "eval_every": max(1, steps // EVALUATIONS),
                "eval_tokens": 10**9,
                "sample_every": 0,
                "checkpoint_every": max(1, steps // EVALUATIONS),
                "keep_checkpoints": 1,
            },
            "schedule": {"kind": "inverse_sqrt", "peak": peak, "warmup": min(WARMUP, max(1, steps // 10))},
            "optimizer": {"beta2": 0.98, "weight_decay": 0.1, "clip": 1.0},
            "sample": {"tokens": 40},
        }
    )


def _with_vocabulary(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size))


class Member(NamedTuple):
    """One run of a family."""

    size: Size
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name


def members(folder: Path, family: Family) -> list[Member]:
    """All runs, the smallest first."""
    return [
        Member(size, seed, folder / "runs" / f"{size}-seed-{seed}")
        for size in sorted(map(parse_size, family.sizes), key=lambda s: s.layers * s.width**2)
        for seed in range(family.seeds)
    ]


def train_family(
    folder: Path,
    family: Family,
    *,
    on_run: Callable[[Member], object] = lambda member: None,
    should_stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> bool:
    """Train every run that is not finished, each from its newest checkpoint; False if that was interrupted."""
    settings = _settings(folder)
    for member in members(folder, family):
        if should_stop():
            return False
        if not is_finished(member.folder, family):
            on_run(member)
            if not _train(folder, family, member, settings["validation_fraction"], should_stop, ranks):
                return False
    return True


def is_finished(run: Path, family: Family) -> bool:
    return is_run(run) and last_evaluation(run, family.steps) is not None


class _Unmarked(CausalObjective):
    """Without the n-gram counts that a single run is compared with; the floor is the family's."""

    def landmarks(self, dataset: Any, limit: int | None = None) -> None:
        return None


def _train(
    folder: Path, family: Family, member: Member, fraction: float, should_stop: Callable[[], bool], ranks: Ranks
) -> bool:
    make_folder(folder / "runs")
    source = family.data if story_kind(family.data) is None else str((folder / "text.txt").resolve())
    tokenizer = tokenizers.load(folder)
    if is_run(member.folder):
        config = load_config(member.folder)
    else:
        how = {"steps": family.steps, "seed": member.seed, "context": family.context}
        config = _config(member.size, family.data, source, fraction, **how)
        config = _with_vocabulary(config, tokenizer)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, sources=(source,)))
    model, objective = FAMILIES[config.family].model(config.model), _Unmarked(config, tokenizer)
    trainer = Trainer(member.folder, config, model, objective, objective.load(), get_backend("numpy"), ranks)
    if not is_run(member.folder):
        trainer.start()
        create_run(member.folder, member.name, config, tokenizer, trainer.save_in, force=False)
    on_all_ranks(trainer, ranks)
    with locked(member.folder):
        trainer.resume()
        return trainer.train(should_stop=should_stop).sample is not None


def non_embedding(config: RunConfig) -> int:
    """N of Kaplan et al. (2020): the parameters of the blocks and the final norm."""
    groups = parameter_groups(FAMILIES[config.family].model(config.model).specs)
    return groups["attention"] + groups["feed-forward"] + groups["norms"]
