"""Does a model know, without labels, what a report says? Who carried which thing where is what mnli, mrpc and race ask.

python -m tools.reports ask data/checkpoints/tiny runs/long    # the world's own questions, of held-out reports
python -m tools.reports write FILE --reports 30000             # text in which each report has several of both
python -m tools.reports pairs FOLDER --examples 10000          # mnli's question at its simplest, in the files of RTE

Of a question's answer the model chooses among all places, people or things of the report, of a claim's among True and
False, by the sum of log p. `minigpt train --resume COPY --data FILE` goes on with the text (COPY: a copy of a run).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

import minigpt
from minigpt.core.files import write_atomically
from minigpt.data.storyworld import lexicon, split_of, stream
from minigpt.data.storyworld.engine import Drawing, draw, mix
from minigpt.data.storyworld.english import at
from minigpt.data.storyworld.facts import Report
from minigpt.data.storyworld.questions import _about_report, report_question
from minigpt.evaluate.scoring import rate_options
from minigpt.tasks.examples import TWO_WAY, Classification
from minigpt.tasks.world import formats
from minigpt.tasks.world.drawing import choices, shuffled
from minigpt.tasks.world.entailment import CARRIED

_HELD_OUT = 777  # the seed of the reports that models are asked about; `write` draws from the train split
_QUESTIONS, _CLAIMS, _TRIES = 4, 2, 12


def asked(count: int) -> Iterator[tuple[str, str, list[str], int]]:
    """So many questions and claims: what kind, the text up to the answer, what may follow, which of them is right."""
    for document in islice(stream(_HELD_OUT, "dev", "question"), count):
        q, r = document.facts, document.facts.source
        options = {
            "where": [f"the {place}" for place in r.places],
            "who": [person.name for person in r.people],
            "what": [f"the {thing}" for thing in r.things],
        }[q.asked]
        if len(options) > 1:
            yield q.asked, document.text.removesuffix(f" {q.answer}"), options, options.index(q.answer)
    claims = (d for d in stream(_HELD_OUT + 1, "dev", "claim") if isinstance(d.facts.source, Report))
    for document in islice(claims, count):
        true = document.facts.true
        yield "claim", document.text.removesuffix(f" {true}"), ["True", "False"], 0 if true else 1


def ask(run: str, count: int) -> str:
    """A line of a Markdown table: how often the model is right, by kind; and how often who guesses is."""
    examples = list(asked(count))
    rated = rate_options(minigpt.load(run), [[(text, f" {o}") for o in some] for _, text, some, _ in examples], "sum")
    right: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for (kind, _, options, answer), values in zip(examples, rated, strict=True):
        right[kind].append((int(values.argmax()) == answer, 1 / len(options)))
    cells = [
        f"{kind} {100 * mean:.0f} ± {200 * np.sqrt(mean * (1 - mean) / len(found)):.0f} (guessing {100 * guessed:.0f})"
        for kind, found in right.items()
        for mean, guessed in [np.mean(found, axis=0)]
    ]
    return f"| {run} | {' | '.join(cells)} |"


def report_texts(count: int, seed: int) -> Iterator[str]:
    """Reports of the train split, each with up to four questions and two claims in any order."""
    for number, document in enumerate(islice(stream(seed, "train", "question"), count)):
        r, lines, first = document.facts.source, {}, seed * 1000003 + number * 16
        for key in range(first, first + _TRIES):
            if len(lines) < _QUESTIONS:
                _, question, answer = draw(lambda c, r=r: report_question(c, r), mix(key)).value
                lines[question] = f"Q: {question}\nA: {answer}"
        for key in range(first + _TRIES, first + _TRIES + _CLAIMS):
            claim = draw(lambda c, r=r: _about_report(c, r), mix(key))
            lines[claim.text] = f"question: {claim.text} True or False?\nanswer: {claim.value}"
        c, left = Drawing(mix(seed * 77 + number)), list(lines.values())
        shuffled = [left.pop(int(c.uniform() * len(left))) for _ in lines]
        yield "\n".join([" ".join(r.sentences), *shuffled])


def pairs(seed: int, split: str) -> Iterator[Classification]:
    """Two things are carried to two places; one of them is at its own place, or it is said to be at the other's."""
    c = choices(seed, split, "pairs")
    while True:
        things, places, people = (shuffled(c, x)[:2] for x in (lexicon.THINGS, tuple(lexicon.PLACES), lexicon.PEOPLE))
        told = [
            f"{person.name} {c.pick(CARRIED)} the {thing} to the {place}."
            for person, thing, place in zip(people, things, places, strict=True)
        ]
        if split_of(" ".join(told)) == split:
            number, follows = c.pick((0, 1)), c.pick((True, False))
            claim = f"The {things[number]} is {at(places[number if follows else 1 - number])}."
            yield Classification(" ".join(told), claim, TWO_WAY.index("entailment" if follows else "not_entailment"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.reports", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ask", help="what models know")
    one.add_argument("runs", nargs="+")
    one.add_argument("--count", type=int, default=300, help="so many questions, and so many claims")
    other = commands.add_parser("write", help="text to pretrain on")
    other.add_argument("file", type=Path)
    other.add_argument("--reports", type=int, default=30000)
    other.add_argument("--seed", type=int, default=5)
    third = commands.add_parser("pairs", help="mnli's question with two sentences and two classes")
    third.add_argument("folder", type=Path)
    third.add_argument("--examples", type=int, default=10000, help="to learn from; dev has 200, test 500")
    args = parser.parse_args(arguments)
    if args.command == "ask":
        for run in args.runs:
            print(ask(run, args.count))
    elif args.command == "pairs":
        args.folder.mkdir(parents=True, exist_ok=True)
        for split, count in (("train", args.examples), ("dev", 200), ("test", 500)):
            formats.rte(args.folder, split, list(islice(pairs(0, split), count)))
    else:
        write_atomically(args.file, "\n\n".join(report_texts(args.reports, args.seed)) + "\n")


if __name__ == "__main__":
    main()
