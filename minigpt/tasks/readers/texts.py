"""Texts that are to be written: summaries (CNN/DM, XSum) and translations."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from minigpt.core.files import matching
from minigpt.core.settings import require
from minigpt.tasks.examples import Summary, Translation
from minigpt.tasks.files import Row, entry, find, json_rows, lines, own_split, tab_rows

HIGHLIGHT = "@highlight"
ALSO_DEV = ("dev", "valid", "val", "validation")
URL_LISTS = {"train": ("all_train", "wayback_training_urls"), "dev": ("all_val", "wayback_validation_urls")}
URL_LISTS["test"] = ("all_test", "wayback_test_urls")


def read_cnn_dm(folder: Path, split: str) -> list[Summary]:
    """News stories, one in each `.story` file, with highlights at their end that together are the summary.

    The parts are the folders train, dev and test where there are such; else what the lists of addresses say (of See's
    or Hermann's, with the stories in `stories`, `cnn/stories` and `dailymail/stories`); else a tenth of the files,
    drawn by a seed, is `dev` and another tenth `test`.
    """
    if folder.is_file():
        return [_story(folder)]
    require(folder.exists(), f"there is no folder {folder}")
    if (folder / split).is_dir():
        return [_story(path) for path in matching(folder / split, "*.story")]
    places = [folder, *(folder / name for name in ("stories", "cnn/stories", "dailymail/stories"))]
    files = sorted(path for place in places for path in matching(place, "*.story"))
    lists = [place / f"{name}.txt" for place in (folder, folder / "url_lists") for name in URL_LISTS.get(split, ())]
    listed = [path for path in lists if path.is_file()]
    if not listed:
        chosen = own_split(files, split, dev=0.1, test=0.1) if split in URL_LISTS else []
    else:
        # A story's file is called after the SHA-1 of its address.
        names = {hashlib.sha1(line.strip().encode()).hexdigest() for _, line in lines(listed[0])}
        chosen = [path for path in files if path.stem in names]
    return [_story(path) for path in chosen]


def _story(path: Path) -> Summary:
    texts = [(number, line.strip()) for number, line in lines(path) if line.strip()]
    marks = [i for i, (_, text) in enumerate(texts) if text == HIGHLIGHT]
    Row(path, 1, ()).require(bool(marks), f"the story has no {HIGHLIGHT}")
    highlights = []
    for mark, end in zip(marks, [*marks[1:], len(texts)], strict=True):
        Row(path, texts[mark][0], ()).require(end != mark + 1, "there is no text after this highlight's mark")
        highlights.append(" ".join(text for _, text in texts[mark + 1 : end]))
    return Summary("\n".join(text for _, text in texts[: marks[0]]), "\n".join(highlights))


def read_xsum(folder: Path, split: str) -> list[Summary]:
    """News articles with a summary of one sentence: an object `document`, `summary` on every line."""
    stems = ALSO_DEV if split == "dev" else (split,)
    path = find(folder, split, [f"{stem}{suffix}" for stem in stems for suffix in (".jsonl", ".json")], ["xsum"])
    return [
        Summary(entry(value, "document", str, row).strip(), entry(value, "summary", str, row).strip())
        for row, value in json_rows(path)
    ]


def read_translation(folder: Path, split: str) -> list[Translation]:
    """Source and target on every line of a `.tsv` file, or line by line in two.

    Two files are called `train.source` and `train.target`, `train.src` and `train.tgt`, or after their languages
    `train.en-de.en` and `train.en-de.de`, which is from `en` to `de`; the other parts likewise.
    """
    stems = ALSO_DEV if split == "dev" else (split,)
    if not folder.is_file():
        for stem in stems:
            if (files := _parallel(folder, stem)) is not None:
                return _line_by_line(*files)
    rows = tab_rows(find(folder, split, [f"{stem}.tsv" for stem in stems]))
    return [Translation(*(text.strip() for text in row.exactly(2))) for row in rows]


def _parallel(folder: Path, stem: str) -> tuple[Path, Path] | None:
    for source, target in (("source", "target"), ("src", "tgt")):
        files = folder / f"{stem}.{source}", folder / f"{stem}.{target}"
        if all(file.is_file() for file in files):
            return files
    found = []
    for file in matching(folder, f"{stem}.*"):
        match = re.fullmatch(r".*\.([^.-]+)-([^.-]+)\.\1", file.name)
        other = file.with_suffix(f".{match[2]}") if match else None
        if other is not None and other.is_file():
            found.append((file, other))
    require(len(found) <= 1, f"{folder} holds several pairs of languages; keep them in folders of their own")
    return found[0] if found else None


def _line_by_line(source: Path, target: Path) -> list[Translation]:
    first, second = ([line.strip() for _, line in lines(path)] for path in (source, target))
    if len(first) != len(second):
        short, long = sorted((source, target), key=lambda path: len(first if path is source else second))
        raise Row(short, max(min(len(first), len(second)), 1), ()).error(f"the file ends here, and {long.name} goes on")
    return [Translation(*pair) for pair in zip(first, second, strict=True)]
