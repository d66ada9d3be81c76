"""The curves of a run: what is told apart, and what must not flatten the picture."""

import ast
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import is_color_like, to_rgba
from matplotlib.lines import Line2D
from matplotlib.text import Text

from minigpt.lab.plot import COLORS, comparison_figure, training_figure

LAB = Path(__file__).resolve().parents[2] / "minigpt" / "lab"
NOTEBOOKS = sorted((LAB.parents[1] / "notebooks").glob("*.ipynb"))


def logged(folder, losses, validation, grad_norm=1.0):
    folder.mkdir()
    lines = [{"step": s, "loss": x, "lr": 1e-3, "grad_norm": grad_norm} for s, x in enumerate(losses, 1)]
    lines += [{"step": s, "val_loss": x} for s, x in validation.items()]
    (folder / "log.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda x: x["step"]))
    )
    return folder


def test_the_untrained_model_does_not_flatten_the_curves(tmp_path):
    losses = 1.0 + 6.0 * np.exp(-np.arange(400) / 5)
    run = logged(tmp_path / "run", losses.tolist(), {0: 7.2, 200: 1.1, 400: 1.05})
    for figure in (training_figure(run), comparison_figure([run, run])):
        low, high = figure.axes[0].get_ylim()
        assert 0.8 < low < 1.0 and 1.1 < high < 1.5
    low, high = training_figure(run, baseline=2.0).axes[0].get_ylim()
    assert high > 2.0  # what is compared with is seen


def test_a_run_that_goes_wrong_later_is_seen_whole(tmp_path):
    run = logged(tmp_path / "run", [3.0] * 50 + [9.0] * 50, {0: 3.0, 100: 9.0})
    low, high = training_figure(run).axes[0].get_ylim()
    assert low < 3.0 and high > 9.0


def test_a_text_of_one_letter_draws_without_a_warning(tmp_path):
    run = logged(tmp_path / "run", [0.0] * 20, {0: 0.0, 20: 0.0}, grad_norm=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = training_figure(run)
        figure.canvas.draw()
    assert figure.axes[2].get_yscale() == "linear"


def contrast(color, alpha=1.0):
    """WCAG 2.2's, of a colour with white paper: 1.05/(L + 0.05), L the relative luminance."""
    red, green, blue, opacity = to_rgba(color)
    mixed = np.array([red, green, blue]) * opacity * alpha + 1 - opacity * alpha
    linear = np.where(mixed <= 0.04045, mixed / 12.92, ((mixed + 0.055) / 1.055) ** 2.4)
    return 1.05 / (0.05 + float(linear @ [0.2126, 0.7152, 0.0722]))


def test_contrast_is_that_of_the_guideline():
    """#767676 is known as the lightest grey that passes on white, at 4.54; 21 is black."""
    assert contrast("#767676") == pytest.approx(4.54, abs=0.005) and contrast("black") == pytest.approx(21)
    assert contrast("white") == pytest.approx(1) and contrast("black", alpha=0.5) == pytest.approx(
        contrast("#808080"), 0.01
    )


def test_the_figures_of_a_run_can_be_read(tmp_path):
    """Letters of 8 points are 9 on a page, which shows 110 dots an inch. A pale line has a strong one of its colour."""
    run = logged(tmp_path / "run", np.linspace(5, 2, 100).tolist(), {0: 5.0, 50: 3.4, 100: 2.1})
    for figure in (training_figure(run, baseline=2.0), comparison_figure([run] * 6, baseline=2.0)):
        for text in figure.findobj(Text):
            if text.get_text():
                assert text.get_fontsize() >= 8 and contrast(text.get_color()) >= 4.5, text.get_text()
        for axes in figure.axes:
            strong = {
                to_rgba(line.get_color())
                for line in axes.lines
                if contrast(line.get_color(), line.get_alpha() or 1) >= 3
            }
            assert {to_rgba(line.get_color()) for line in axes.findobj(Line2D) if line in axes.lines} == strong


def figures_code():
    """Each file that draws, and each notebook's code, parsed."""
    for path in sorted(LAB.rglob("*.py")):
        if "matplotlib" in (text := path.read_text(encoding="utf-8")) or "axes." in text:
            yield path.name, ast.parse(text)
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path.name, ast.parse("\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code"))


@pytest.mark.slow("test_the_figures_of_a_run_can_be_read: the same of two figures, by looking at them")
def test_no_figure_has_small_letters_or_faint_marks():
    """Sizes and colours where they stand in the code. Text on images is black or white; white edges part bars."""
    assert min(map(contrast, COLORS)) >= 3
    sizes, colors, faults = 0, 0, []
    for name, tree in figures_code():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            for key, value in ((k.arg, k.value.value) for k in call.keywords if isinstance(k.value, ast.Constant)):
                if key in ("fontsize", "labelsize") and isinstance(value, int | float):
                    sizes += 1
                    faults += [f"{name}: {key}={value}"] if value < 8 else []
                if key in ("color", "colors", "c") and is_color_like(value) and value != "white":
                    colors += 1
                    value = COLORS[int(value[1]) % len(COLORS)] if re.fullmatch(r"C\d", value) else value
                    least = 4.5 if function in ("text", "annotate", "set_ylabel") else 3
                    faults += [f"{name}: {function} in {value}"] if contrast(value) < least else []
    assert faults == []
    assert sizes > 50 and colors > 20
