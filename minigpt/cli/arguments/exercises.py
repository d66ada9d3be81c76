"""The arguments of `exercises list`, `release` and `grade`."""

from __future__ import annotations

from minigpt.cli.parser import Parser, not_empty


def listed(add: Parser) -> None:
    add.example("minigpt exercises list 05-attention")
    add.value("names", "NOTEBOOK", "such as 05-attention; default: all", nargs="*")


def release(add: Parser) -> None:
    add.example("minigpt exercises release course/week-3 05-attention")
    add.value("folder", "DIR", "where the notebooks go; it is made", type=not_empty)
    add.value("names", "NOTEBOOK", "such as 05-attention; default: all", nargs="*")
    add.value("--notebooks", "DIR", "the notebooks to start from; default: those of the project", type=not_empty)
    add.flag("--force", "replace notebooks that are there")


def grade(add: Parser) -> None:
    add.example("minigpt exercises grade submitted --only 05-attention --out points.csv --feedback feedback")
    each = "a folder or a file (.ipynb, .py) for each student; its name is the student's"
    add.value("folder", "DIR", each, type=not_empty)
    only = "an exercise or a notebook to grade; default: all notebooks that anybody has handed in"
    add.value("--only", "NAME", only, nargs="+", default=[])
    add.value("--out", "FILE.csv", "write the table to this file; default: print it", type=not_empty)
    add.value("--feedback", "DIR", "write a page for each student there", type=not_empty)
    add.several("--points", "NAME=N", "what an exercise, or each one of a notebook, is worth; by default 2 for a "
                "function and 1 for a value; repeatable")  # fmt: skip
    add.several("--late", "STUDENT=PERCENT", "take a share off a student's points; repeatable")
    add.flag("--partial", "share an exercise's points out over the inputs that it is tried with")
    add.count("--seed", "random seed of the inputs, to repeat an earlier grading; default: a secret one", least=0)
    add.flag("--force", "replace the file in --out")
