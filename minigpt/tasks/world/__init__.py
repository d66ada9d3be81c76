"""Tasks made from the story world, written as files in the formats of the originals.

They are there to be tried at once, by anybody and offline, with a model that was pretrained on the story world; and
they are made so that counting words does not solve them (`minigpt.lab.baselines` measures that). Whatever a task asks
follows from the facts behind a document, and dev and test are made of documents that the world's hash of their text
keeps out of every training corpus.

write(folder, name, seed, sizes)    write a task
task_folder(name, data)             where a task's files are: those given, or the story world's, made on first use
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder, new_folder
from minigpt.core.progress import progress_bar
from minigpt.data.storyworld import document
from minigpt.tasks.examples import Classification, Example, Pronoun, Similarity, Summary, Translation
from minigpt.tasks.world import cloze, entailment, formats, grammar, paraphrase, pronouns, questions, writing

FORMAT = 1  # changes whenever other files are made from the same documents


class Sizes(NamedTuple):
    """How many examples each part has."""

    train: int = 2000
    dev: int = 500
    test: int = 1000


class _Made(NamedTuple):
    """How a task is made: examples of a split without end; how a part is written; which parts there are."""

    examples: Callable[[int, str], Iterator[Any]]
    write: formats.Write
    parts: tuple[str, ...] = ("train", "dev", "test")


def _mnli(seed: int, part: str) -> Iterator[Example]:
    split, _, mismatched = part.partition("-")
    return entailment.mnli(seed, split, "moved" if mismatched else "carried")


MADE = {
    "story-cloze": _Made(cloze.story_cloze, formats.story_cloze),
    "sst2": _Made(writing.sst2, formats.sst2),
    "cola": _Made(grammar.cola, formats.cola),
    "mnli": _Made(_mnli, formats.mnli, ("train", "dev", "dev-mismatched", "test", "test-mismatched")),
    "rte": _Made(entailment.rte, formats.rte),
    "qnli": _Made(entailment.qnli, formats.qnli),
    "mrpc": _Made(paraphrase.mrpc, formats.mrpc),
    "qqp": _Made(paraphrase.qqp, formats.qqp),
    "stsb": _Made(paraphrase.stsb, formats.stsb),
    "race": _Made(questions.race, formats.race),
    "squad": _Made(questions.squad, formats.squad),
    "lambada": _Made(questions.lambada, formats.lambada),
    "dprd": _Made(pronouns.dprd, formats.dprd),
    "winograd": _Made(pronouns.winograd, formats.winograd, ("test",)),
    "cnn-dm": _Made(writing.cnn_dm, formats.cnn_dm),
    "translation": _Made(writing.translation, formats.translation),
}


def write(folder: str | Path, name: str, seed: int = 0, sizes: Sizes = Sizes()) -> Path:  # noqa: B008
    """Write a task into a folder that is not there yet, in the files of the original. A function of its arguments.

    Raises:
        UserError: the story world has no such task, or something stands at `folder`.
    """
    made = _made(name)
    with new_folder(Path(folder)) as beside:
        seen: set[str] = set()
        for part in made.parts:
            examples = _part(name, seed, part, getattr(sizes, part.partition("-")[0]), seen)
            made.write(beside, part, examples)
            seen.update(map(source_text, examples))
    return Path(folder)


def _part(name: str, seed: int, part: str, size: int, seen: set[str]) -> list[Example]:
    """So many different examples, whose texts no other part has."""
    examples: dict[Example, None] = {}  # in the order in which they came
    with progress_bar(total=size, desc=f"{name}, {part}", unit="example") as bar:
        for example in MADE[name].examples(seed, part):
            if len(examples) == size:
                break
            if source_text(example) not in seen and example not in examples:
                examples[example] = None
                bar.update(1)
    return list(examples)


def source_text(example: Any) -> str:
    """The text that no two parts share: the context or article, the sentence with a pronoun, one sentence or both."""
    match example:
        case Classification() | Similarity():
            return f"{example.text}\n{example.pair}"
        case Pronoun():
            return example.before + example.pronoun + example.after
        case Summary():
            return example.article
        case Translation():
            return example.source
    return example.context


def task_folder(name: str, data: str | Path | None = None) -> Path:
    """Where a task's files are: `data` if it is given, else the story world's, made in the cache on first use.

    `data` may be what `minigpt data tasks` wrote, with a folder for each task by its name.

    Raises:
        UserError: the story world has no such task.
    """
    if data is not None:
        return Path(data) / name if (Path(data) / name).is_dir() else Path(data)
    _made(name)
    # Other documents of the world, or other ways to make tasks of them, are other files.
    texts = "".join(document(0, index).text for index in range(64))
    made_of = hashlib.blake2b(f"{FORMAT} {texts}".encode(), digest_size=6).hexdigest()
    folder = cache_folder() / "tasks" / f"storyworld-{made_of}" / name
    if not folder.is_dir():
        try:
            write(folder, name)
        except UserError:
            if not folder.is_dir():  # unless another process was faster
                raise
    return folder


def _made(name: str) -> _Made:
    if name not in MADE:
        raise UserError(f"the story world has no task {name!r}; it has {', '.join(MADE)}. Name real files with --data")
    return MADE[name]
