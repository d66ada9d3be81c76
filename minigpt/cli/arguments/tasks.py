"""The arguments of the commands that teach a model tasks or try it on them, and of those that write tasks and texts."""

from __future__ import annotations

from minigpt.cli.parser import Parser, at_least
from minigpt.data import storyworld
from minigpt.evaluate.rules import RULES
from minigpt.tasks import TASKS
from minigpt.tasks.prompts import ASKED, SHOWN
from minigpt.tasks.world import MADE, Sizes


def finetune(add: Parser) -> None:
    add.example("minigpt finetune runs/tiny-1 --task rte --data glue_data/RTE --seeds 3")
    add.run_folder()
    add.value("--task", "NAME", f"one of {', '.join(TASKS)}")
    add.value("--data", "DIR", "the folder with the task's files; by default the story world's own")
    add.count("--seed", "of new weights, batches and dropout", least=0, default=0)
    add.count("--seeds", "train N times, with seeds from --seed on", default=1)
    add.count("--epochs", "by default what the model's recipe says")
    add.count("--examples", "learn from N training examples only", default=0)
    add.flag("--from-scratch", "the same model without the pretrained weights")
    add.value("--out", "DIR", "the run's folder (with --seeds, of the runs); by default runs/RUN-TASK-N")
    add.flag("--force", "replace the run in --out if there is one")
    add.value("--resume", "RUN", "go on with a fine-tuning that was stopped")
    add.several("--fresh", "NAME", "weights that may start anew, by beginnings of names")
    add.several("--skip", "NAME", "pretrained weights that may be left out")
    add.settings(", such as objective.auxiliary=0 or schedule.peak=3e-4")


def zeroshot(add: Parser) -> None:
    add.example("minigpt zeroshot runs/tiny-1 --task all --limit 200")
    add.run_folder()
    what = f"one of {', '.join(ASKED)}; repeatable. all: those of the story world, or whose files are in --data"
    add.several("--task", "NAME|all", what, required=True)
    _add_examples(add)
    rules = (
        "how the options are compared: by log p, per token, per character, or less that of the option anywhere; "
        "by default as the task's authors did"
    )
    add.choice("--rule", RULES, rules)
    add.flag(
        "--checkpoints",
        "measure all checkpoints of the run, and draw skill against steps; to have enough of them, train with "
        "--set train.checkpoint_powers=true",
    )
    add.value("--out", "FILE.png", "of --checkpoints; by default zeroshot.png in the run's folder")
    add.flag("--force", "replace the picture in --out if there is one")
    add.backend()


def fewshot(add: Parser) -> None:
    add.example("minigpt fewshot runs/tiny-1 --task labels --shots 0 1 2 4 8 --limit 200 --out shots.png")
    add.run_folder()
    add.value("--task", "NAME", f"one of {', '.join(SHOWN)}", required=True)
    shots = "how many examples stand before a question; by default 0, 1, 2, 4, … as long as they fit the context"
    add.count("--shots", shots, least=0, metavar="K", nargs="+")
    _add_examples(add)
    add.choice("--rule", RULES, "how options are compared (see zeroshot)")
    add.flag("--gpt3", "GPT-3's layout of RACE, LAMBADA and translations")
    add.several("--beside", "RUN", "the same for another run; repeatable")
    add.value("--out", "FILE.png", "draw the scores against K")
    add.flag("--force", "replace the picture in --out if there is one")
    add.backend()


def _add_examples(add: Parser) -> None:
    """Which examples of a task are measured on."""
    files = "the folder with the task's files; by default the task made from the story world"
    add.value("--data", "DIR", files)
    add.value("--split", "PART", "what is measured on; by default test, or dev where test has no answers")
    add.count("--limit", "measure on N examples, drawn by the seed")
    add.count("--seed", "of all that is drawn", least=0, default=0)


def tasks(add: Parser) -> None:
    add.example("minigpt data tasks --task story-cloze rte --out tasks --train 5000")
    add.value("--task", "NAME", f"which; by default all: {', '.join(MADE)}", nargs="+")
    add.value("--out", "DIR", "a folder for each task is made there; tasks", default="tasks")
    add.count("--seed", "other examples for another seed", least=0, default=0)
    for part, size in Sizes()._asdict().items():
        add.count(f"--{part}", f"how many examples for {part}; {size} by default", default=size)
    add.flag("--baselines", "also measure chance, counted words, simplest answers")


def documents(add: Parser) -> None:
    add.example(
        "minigpt data storyworld --kind story --documents 3", "minigpt data storyworld --bytes 3000000 --out s.txt"
    )
    size = add.add_mutually_exclusive_group()
    for name, text in (("documents", "how many; 5 by default"), ("bytes", "documents until they have so many bytes")):
        size.add_argument(f"--{name}", type=at_least(1), metavar="N", help=text)
    size.add_argument("--entropy", action="store_true", help="instead: how hard each kind is to predict")
    add.choice("--split", storyworld.SPLITS, "only documents of this split")
    add.choice("--kind", storyworld.KINDS, "only documents of this kind")
    add.count("--seed", "other documents for another seed", least=0, default=0)
    add.count("--samples", "for --entropy, of each kind", least=2, default=1000)
    add.value("--out", "FILE", "write them to this file, which must not exist")
