"""How well predictions agree with references, how sure that is, and what no skill would score.

The metrics are those of scikit-learn, SciPy, sacrebleu and rouge-score (`pip install ".[tasks]"`). Beside each
value stands the interval that holds 95% of its values on bootstrap samples (as many examples, drawn with replacement:
Efron 1979), and a baseline: what the most frequent answer, or chance, comes to on the same references. All values are
shares from 0 to 1, but for BLEU, which is a percentage, and perplexity.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.settings import require, unknown
from minigpt.tasks.answers import exact_match, token_f1
from minigpt.tasks.examples import Example, LastWord, MultipleChoice, Pronoun, Similarity, Span, Summary, Translation
from minigpt.tasks.registry import Task

RESAMPLES = 1000

# Modules, and the packages that bring them.
_SKLEARN, _SCIPY = ("sklearn.metrics", "scikit-learn"), ("scipy.stats", "scipy")
_BLEU, _ROUGE = ("sacrebleu", "sacrebleu"), ("rouge_score.rouge_scorer", "rouge-score")
_NEEDED = {"f1": _SKLEARN, "matthews": _SKLEARN, "pearson": _SCIPY, "spearman": _SCIPY, "bleu": _BLEU}
_NEEDED |= {name: _ROUGE for name in ("rouge-1", "rouge-2", "rouge-l", "rouge-lsum")}

# The value of a metric on the examples with the given indices, which may repeat.
Statistic = Callable[[np.ndarray], float]


class Score(NamedTuple):
    """A metric's value on some examples.

    Attributes:
        low, high: the bootstrap's 95% interval.
        baseline: what `baseline_name` (the most frequent label, chance, …) scores on the same references.
        count: how many examples.
    """

    metric: str
    value: float
    low: float
    high: float
    baseline: float
    baseline_name: str
    count: int


def evaluate(
    name: str,
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    options: Sequence[int] | None = None,
    seed: int = 0,
) -> Score:
    """Score predictions with a metric.

    Args:
        name: a key of `METRICS`.
        predictions, references: for accuracy any labels or words; for f1 and matthews 0 or 1; for pearson and spearman
            numbers; for exact-match and token-f1 a text, "" for no answer, and a sequence of texts, () for no answer;
            for bleu and the rouges texts; for perplexity log p of the reference in nats, and the word.
        options: of multiple choice, how many options each example has; the baseline of accuracy is chance then.
        seed: of the bootstrap.
    Raises:
        UserError: an unknown metric, no predictions or not as many as references, or a package that is missing.
    """
    if name not in METRICS:
        raise UserError(unknown("metric", name, METRICS))
    if len(predictions) != len(references) or not len(references):
        raise UserError(f"{name} needs a prediction for each reference: {len(predictions)} and {len(references)} given")
    make, baseline_of = METRICS[name]
    statistic, count = make(predictions, references), len(references)
    value = statistic(np.arange(count))
    low, high = _bootstrap(statistic, count, seed)
    if options is not None and name == "accuracy":
        baseline, baseline_name = float(np.mean([1.0 / n for n in options])), "chance"
    else:
        guesses, baseline_name = baseline_of(references)
        baseline = guesses if isinstance(guesses, float) else make(guesses, references)(np.arange(count))
    return Score(name, value, low, high, baseline, baseline_name, count)


def evaluate_task(
    task: Task,
    predictions: Sequence[Any],
    examples: Sequence[Example],
    *,
    log_probabilities: Sequence[float] | None = None,
) -> list[Score]:
    """All of a task's metrics, the headline first, against the answers that the examples hold.

    Args:
        predictions: labels, scores, or texts, by the kind of task.
        log_probabilities: of the right last words, where perplexity is one of the metrics; else it is left out.
    """
    references = [reference(example) for example in examples]
    if any(answer is None for answer in references):
        raise UserError(f"some examples of {task.name} have no label to compare with (a test part without labels?)")
    options = {MultipleChoice: "options", Pronoun: "candidates"}.get(task.kind)
    sizes = [len(getattr(example, options)) for example in examples] if options else None
    scores = []
    for name in task.metrics:
        given = log_probabilities if name == "perplexity" else predictions
        if given is not None:
            scores.append(evaluate(name, given, references, options=sizes))
    return scores


def reference(example: Example) -> Any:
    """What a prediction for this example is compared with; None where the file does not say."""
    match example:
        case Similarity():
            return example.score
        case Span():
            return tuple(text for text, _ in example.answers)
        case LastWord():
            return example.word
        case Summary():
            return example.summary
        case Translation():
            return example.target
    return example.label


def _bootstrap(statistic: Statistic, count: int, seed: int) -> tuple[float, float]:
    draw = np.random.Generator(np.random.PCG64(seed)).integers
    low, high = np.percentile([statistic(draw(count, size=count)) for _ in range(RESAMPLES)], (2.5, 97.5))
    return float(low), float(high)


def _mean_of(values: Sequence[float]) -> Statistic:
    array = np.asarray(values, dtype=np.float64)
    return lambda chosen: float(array[chosen].mean())


def _mean(compare: Callable[[Any, Any], float], predictions: Sequence[Any], references: Sequence[Any]) -> Statistic:
    """The mean of what comparing each prediction with its reference gives."""
    return _mean_of([compare(*pair) for pair in zip(predictions, references, strict=True)])


def _f1(predictions: Sequence[int], references: Sequence[int]) -> Statistic:
    """F1 of the class 1; 0 where there is none of it, neither predicted nor true."""
    score = _package(*_SKLEARN).f1_score
    a, b = np.asarray(predictions), np.asarray(references)
    return lambda chosen: float(score(b[chosen], a[chosen], zero_division=0.0))


def _matthews(predictions: Sequence[int], references: Sequence[int]) -> Statistic:
    """Matthews' correlation; 0 where all predictions, or all references, are the same."""
    score = _package(*_SKLEARN).matthews_corrcoef
    a, b = np.asarray(predictions), np.asarray(references)
    return lambda chosen: float(score(b[chosen], a[chosen])) if _varies(a[chosen]) and _varies(b[chosen]) else 0.0


def _correlation(name: str, predictions: Sequence[float], references: Sequence[float]) -> Statistic:
    """Pearson's or Spearman's correlation (equal numbers share the mean of their ranks); 0 for a constant."""
    function = getattr(_package(*_SCIPY), name)
    a, b = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
    require(np.isfinite(a).all(), "some of the predicted scores are not finite numbers")
    return lambda c: float(function(a[c], b[c])[0]) if _varies(a[c]) and _varies(b[c]) else 0.0


def _varies(values: np.ndarray) -> bool:
    return bool((values != values[0]).any())


def _bleu(predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    """Corpus BLEU-4 in percent, with sacrebleu's tokenisation: n-grams and lengths are added up over the sentences."""
    bleu = _package(*_BLEU).BLEU()
    sentences = _package(*_BLEU).BLEU(effective_order=True)
    scores = [sentences.sentence_score(a, [b]) for a, b in zip(predictions, references, strict=True)]
    counts = np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores])  # (examples, 4 + 4 + 2)

    def corpus(chosen: np.ndarray) -> float:
        sums = counts[chosen].sum(axis=0).tolist()
        return bleu.compute_bleu(sums[:4], sums[4:8], sums[8], sums[9], smooth_method="exp").score

    return corpus


def _rouge(name: str, predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    """Mean F1 of ROUGE with Porter's stemmer, as is usual; "rougeLsum" takes every line as a sentence."""
    scorer = _package(*_ROUGE).RougeScorer([name], use_stemmer=True)
    return _mean_of([scorer.score(b, a)[name].fmeasure for a, b in zip(predictions, references, strict=True)])


def _perplexity(predictions: Sequence[float], references: Sequence[str]) -> Statistic:
    """exp of the mean of −log p."""
    mean = _mean_of(predictions)
    return lambda chosen: math.exp(min(-mean(chosen), 700.0))


def _most_frequent(references: Sequence[Any]) -> tuple[list[Any], str]:
    return [Counter(references).most_common(1)[0][0]] * len(references), "majority"


def _all_positive(references: Sequence[int]) -> tuple[list[int], str]:
    return [1] * len(references), "all positive"


def _constant(references: Sequence[Any]) -> tuple[float, str]:
    return 0.0, "constant"


def _most_frequent_answer(references: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    answers = Counter(answer for several in references for answer in (set(several) or {""}))
    return [answers.most_common(1)[0][0]] * len(references), "most frequent answer"


def _shifted(references: Sequence[str]) -> tuple[list[str], str]:
    return [*references[1:], references[0]], "another example's"


def _frequencies(references: Sequence[str]) -> tuple[list[float], str]:
    counts = Counter(references)
    return [math.log(counts[word] / len(references)) for word in references], "frequencies"


# What makes the statistic, and what gives the baseline: its value, or the predictions that it makes.
METRICS: dict[str, tuple[Callable[..., Statistic], Callable[..., tuple[Any, str]]]] = {
    "accuracy": (partial(_mean, operator.eq), _most_frequent),
    "f1": (_f1, _all_positive),
    "matthews": (_matthews, _constant),
    "pearson": (partial(_correlation, "pearsonr"), _constant),
    "spearman": (partial(_correlation, "spearmanr"), _constant),
    "exact-match": (partial(_mean, exact_match), _most_frequent_answer),
    "token-f1": (partial(_mean, token_f1), _most_frequent_answer),
    "bleu": (_bleu, _shifted),
    "rouge-1": (partial(_rouge, "rouge1"), _shifted),
    "rouge-2": (partial(_rouge, "rouge2"), _shifted),
    "rouge-l": (partial(_rouge, "rougeL"), _shifted),
    "rouge-lsum": (partial(_rouge, "rougeLsum"), _shifted),
    "perplexity": (_perplexity, _frequencies),
}


def check_packages(metrics: Sequence[str]) -> None:
    """Raise UserError if a metric's package is missing: better before a model is trained and asked than after."""
    for name in metrics:
        if name in _NEEDED:
            _package(*_NEEDED[name])


def _package(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise UserError(
            f'this metric needs the package {name}; in the clone, pip install ".[tasks]" brings it'
        ) from None
