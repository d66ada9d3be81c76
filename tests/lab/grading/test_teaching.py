"""The teacher's page: every notebook has its row, every question its answer, commands parse, and formulas hold."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from minigpt import ops
from minigpt.cli import parse
from minigpt.lab.exercises.texts import TEXTS
from minigpt.lab.testing import numeric_gradient

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "teaching.md").read_text(encoding="utf-8")
ANSWERS = (DOCS / "teaching-answers.md").read_text(encoding="utf-8")
QUESTIONS = PAGE[PAGE.index("## To derive by hand") : PAGE.index("## Giving out")]


def numbers(text):
    return [int(number) for number in re.findall(r"^(\d+)\. ", text, re.M)]


def test_every_notebook_has_a_row_and_a_week():
    rows = re.findall(r"^\| (\d\d-[\w-]+) \|.*\| (\d+) \| (\d+) \|$", PAGE, re.M)
    notebooks = list(dict.fromkeys(name.partition("/")[0] for name in TEXTS))
    assert [row[0] for row in rows] == notebooks
    for name, read, exercises in rows:
        functions = [text.function is not None for key, text in TEXTS.items() if key.startswith(f"{name}/")]
        assert int(exercises) == sum(15 if function else 5 for function in functions) and int(read) > 10
    weeks = PAGE[PAGE.index("## Fourteen weeks") : PAGE.index("For projects")]
    assert {name[:2] for name in notebooks} <= set(re.findall(r"\b\d\d\b", weeks))


def test_questions_have_answers_and_weeks():
    assert numbers(QUESTIONS) == numbers(ANSWERS) == list(range(1, 23))
    for title, end in (("## Six weeks", "## Fourteen"), ("## Fourteen weeks", "For projects")):
        table = PAGE[PAGE.index(title) : PAGE.index(end)]
        asked = re.findall(r"\| ([\d, ]+)(?:, and those of the notebook)? \|$", table, re.M)
        named = [int(n) for cell in asked for n in cell.split(", ")]
        assert sorted(named) == list(range(1, max(named) + 1))


@pytest.mark.parametrize("line", re.findall(r"^minigpt ([^#\n]*)", PAGE, re.M))
def test_commands_parse(line):
    assert parse(line.split()).run


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / target).exists()


def test_the_jacobian_of_layer_norm():
    x, eps = np.array([0.3, -1.2, 2.0, 0.7]), 0.1
    y = ops.layernorm_forward(x[None], np.ones(4), eps=eps)[0]
    sigma, hat = math.sqrt(x.var() + eps), y[0]
    wanted = (np.eye(4) - 0.25 - np.outer(hat, hat) / 4) / sigma
    for j in range(4):
        numeric = numeric_gradient(lambda j=j: float(ops.layernorm_forward(x[None], np.ones(4), eps=eps)[0][0, j]), x)
        np.testing.assert_allclose(numeric, wanted[:, j], atol=1e-9)


def test_the_slope_of_gelu_is_largest_at_the_root_of_two():
    def slope(x):
        return 0.5 * (1 + math.erf(x / math.sqrt(2))) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    root = math.sqrt(2)
    assert round(slope(root), 3) == 1.129 and round(slope(-root), 3) == -0.129
    assert slope(root) > max(slope(root + 1e-3), slope(root - 1e-3))


def test_entropy_and_temperature():
    z, tau, h = np.array([1.0, -0.5, 2.0, 0.3]), 0.8, 1e-5

    def distribution(t):
        e = np.exp(z / t - (z / t).max())
        return e / e.sum()

    def entropy(t):
        return -float((distribution(t) * np.log(distribution(t))).sum())

    p = distribution(tau)
    variance = float((p * z * z).sum() - (p * z).sum() ** 2)
    assert math.isclose((entropy(tau + h) - entropy(tau - h)) / (2 * h), variance / tau**3, rel_tol=1e-7)


def test_counts():
    assert 12 * 768**2 + 13 * 768 == 7_087_872
    assert 12 * 7_087_872 + 50257 * 768 + 1024 * 768 + 2 * 768 == 124_439_808
    prompt, n = 24, 1000
    assert n * prompt + n * (n - 1) // 2 == sum(range(prompt, prompt + n)) == 523_500
