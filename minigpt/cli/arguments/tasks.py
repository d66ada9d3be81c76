"""The arguments of the commands that teach a model tasks or try it on them, and of those that write tasks and texts."""

from __future__ import annotations

from minigpt.cli.parser import Parser, at_least, not_empty
from minigpt.data import storyworld
from minigpt.evaluate.rules import RULES
from minigpt.tasks import TASKS
from minigpt.tasks.prompts import ASKED, SHOWN
from minigpt.tasks.world import MADE, Sizes


def finetune(add: Parser) -> None:
    add.example("minigpt finetune runs/sprint-1 --task rte --data glue_data/RTE --seeds 3")
    add.run_folder()
    add.value("--task", "NAME", f"one of {', '.join(TASKS)}")
    files = "the folder with the task's files; default: the task as made from the story world"
    add.value("--data", "DIR", files, type=not_empty)
    add.count("--seed", "random seed of the new weights, the batches and dropout", least=0, default=0)
    add.count("--seeds", "train N times, with the seeds from --seed on", default=1)
    add.count("--epochs", "how often to go through the examples; default: as the recipe of the model says")
    add.count("--examples", "learn from only N training examples", default=0)
    add.flag("--from-scratch", "start from random weights instead of the pretrained ones")
    add.value("--out", "DIR", "the folder of the run or, with --seeds, of the runs; default: runs/RUN-TASK-N")
    add.flag("--force", "replace the run in --out if there is one")
    add.value("--resume", "RUN", "continue a fine-tuning that was stopped")
    add.several("--fresh", "NAME", "draw new weights for tensors with these first letters, if the model lacks them")
    add.several("--skip", "NAME", "ignore pretrained tensors whose names begin with this")
    add.settings(", such as objective.auxiliary=0 or schedule.peak=3e-4")


def zeroshot(add: Parser) -> None:
    add.example("minigpt zeroshot runs/sprint-1 --task all --limit 200")
    add.run_folder()
    what = f"one of {', '.join(ASKED)}; may be repeated. all: all of the story world, or all whose files are in --data"
    add.several("--task", "NAME|all", what, required=True)
    _add_examples(add)
    rules = (
        "how answers are ranked: by log p, per token, per character, or minus the log p without the question; "
        "default: as the authors of the task did"
    )
    add.choice("--rule", RULES, rules)
    add.flag(
        "--checkpoints",
        "measure all checkpoints of the run, and draw skill against steps; to have enough of them, train with "
        "--set train.checkpoint_powers=true",
    )
    add.value("--out", "FILE.png", "the picture of --checkpoints; default: zeroshot.png in the run's folder")
    add.flag("--force", "replace the picture in --out if there is one")
    add.backend()


def fewshot(add: Parser) -> None:
    add.example("minigpt fewshot runs/sprint-1 --task labels --shots 0 1 2 4 8 --limit 200 --out shots.png")
    add.run_folder()
    add.value("--task", "NAME", f"one of {', '.join(SHOWN)}", required=True)
    shots = "how many examples come before a question; default: 0, 1, 2, 4, … as far as they fit the context"
    add.count("--shots", shots, least=0, metavar="K", nargs="+")
    _add_examples(add)
    add.choice("--rule", RULES, "how options are compared (see zeroshot)")
    add.flag("--gpt3", "GPT-3's layout of RACE, LAMBADA and translations")
    add.several("--beside", "RUN", "also measure this run; may be repeated", type=not_empty)
    add.value("--out", "FILE.png", "draw the scores against K")
    add.flag("--force", "replace the picture in --out if there is one")
    add.backend()


def _add_examples(add: Parser) -> None:
    """Which examples of a task are measured on."""
    files = "the folder with the task's files; default: the task as made from the story world"
    add.value("--data", "DIR", files, type=not_empty)
    add.value("--split", "PART", "the part to measure; default: test, or dev where test has no answers", type=not_empty)
    add.count("--limit", "measure on N examples, drawn at random")
    add.count("--seed", "random seed", least=0, default=0)


def tasks(add: Parser) -> None:
    add.example("minigpt data tasks --task story-cloze rte --out tasks --train 5000")
    add.value("--task", "NAME", f"the tasks; default: all of {', '.join(MADE)}", nargs="+")
    add.value("--out", "DIR", "where the folders of the tasks are made; default: tasks", default="tasks")
    add.count("--seed", "random seed: another seed gives other examples", least=0, default=0)
    for part, size in Sizes()._asdict().items():
        add.count(f"--{part}", f"number of {part} examples; default: {size}", default=size)
    add.flag("--baselines", "also measure chance, counted words and the simplest answers")


def documents(add: Parser) -> None:
    add.example(
        "minigpt data storyworld --kind story --documents 3", "minigpt data storyworld --bytes 3000000 --out s.txt"
    )
    size = add.add_mutually_exclusive_group()
    for name, text in (("documents", "how many documents; default: 5"), ("bytes", "as many documents as fill N bytes")):
        size.add_argument(f"--{name}", type=at_least(1), metavar="N", help=text)
    size.add_argument("--entropy", action="store_true", help="print the entropy of each kind of document instead")
    add.choice("--split", storyworld.SPLITS, "only documents of this split")
    add.choice("--kind", storyworld.KINDS, "only documents of this kind")
    add.count("--seed", "random seed: another seed gives other documents", least=0, default=0)
    add.count("--samples", "for --entropy: how many documents of each kind to draw", least=2, default=1000)
    add.value("--out", "FILE", "write them to this file, which must not exist")
