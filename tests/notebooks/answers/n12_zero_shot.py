import numpy as np

from . import Answer


def choose(log_probabilities, characters, anywhere, rule):
    sums = np.array([x.sum() for x in log_probabilities])
    if rule == "token":
        sums = sums / [len(x) for x in log_probabilities]
    if rule == "character":
        sums = sums / np.array(characters)
    if rule == "unconditional":
        sums = sums - anywhere
    return int(sums.argmax())


def two_ways(joint):
    u, c = joint.sum(axis=1, keepdims=True), joint.sum(axis=0)
    return np.log(joint / u) - np.log(c), np.log(joint / c)


ANSWERS = (
    Answer(
        choose,
        (
            lambda log_p, characters, anywhere, rule: choose(log_p, characters, anywhere, "sum"),
            lambda log_p, characters, anywhere, rule: choose(log_p, characters, anywhere, "token"),
            lambda log_p, characters, anywhere, rule: choose(log_p, characters, [-x for x in anywhere], rule),
            lambda log_p, characters, anywhere, rule: choose([-x for x in log_p], characters, anywhere, rule),
        ),
    ),
    Answer((0, 1), ((0, 0), (1, 1), (1, 0), 1)),
    Answer(
        two_ways,
        (
            lambda joint: two_ways(joint)[::-1],
            lambda joint: tuple(x.T for x in two_ways(joint.T)),
            lambda joint: (np.log(joint), two_ways(joint)[1]),
        ),
    ),
    Answer(0.5416667, (0.6764706, 0.4333333, 0.2142857, 54.2)),
)
