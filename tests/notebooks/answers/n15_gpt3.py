import numpy as np

from . import Answer


def allowed_pairs(tokens, window):
    return sum(min(i, window) for i in range(1, tokens + 1))


def reach(windows, position):
    seen = 1
    for window in windows:
        seen = seen + window - 1 if window else position + 1
    return min(seen, position + 1)


def fit(x, losses, floor):
    slope, intercept = np.polyfit(np.log(x), np.log(losses - floor), 1)
    return float(np.exp(-intercept / slope)), -float(slope)


def prompt(shots, premise, hypothesis, between="\n\n", end=""):
    texts = [f"{text}\nquestion: {pair} True or False?\nanswer: {follows}" for text, pair, follows in shots]
    return between.join([*texts, f"{premise}\nquestion: {hypothesis} True or False?\nanswer:"]) + end


ANSWERS = (
    Answer(
        allowed_pairs,
        (
            lambda tokens, window: tokens * window,
            lambda tokens, window: tokens * (tokens + 1) // 2,
            lambda tokens, window: sum(min(i, window) for i in range(tokens)),
        ),
    ),
    Answer(
        reach,
        (
            lambda windows, position: min(position + 1, sum(windows)),
            lambda windows, position: 1 + sum(window - 1 for window in windows),
            lambda windows, position: min(position + 1, max(windows, default=1)),
        ),
    ),
    Answer(100 * 8.64e19 / (6 * 13e9), (100 * 8.64e19 / 13e9, 100 * 8.64e19 / (2 * 13e9), 100 * 3.6e18 / (6 * 13e9))),
    Answer(
        fit,
        (
            lambda x, losses, floor: fit(x, losses, 0.0),
            lambda x, losses, floor: (fit(x, losses, floor)[0], -fit(x, losses, floor)[1]),
            lambda x, losses, floor: tuple(np.polyfit(np.log(x), np.log(losses - floor), 1)),
        ),
    ),
    Answer(
        prompt,
        (
            lambda *a: prompt(*a, end=" "),
            lambda *a: prompt(*a, between="\n"),
            lambda shots, *a: prompt([], *a),
            lambda *a: prompt(*a) + " True",
        ),
    ),
)
