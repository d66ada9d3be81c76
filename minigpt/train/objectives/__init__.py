"""What a family of models learns from: how text becomes training rows, and what is said about how well it goes.

A model knows its loss; where the batches come from, which numbers are worth logging and what a sample of a run looks
like is its family's objective (see `minigpt.train.families`). The trainer, `minigpt eval` and `minigpt
sample` know nothing else. A new family provides three things.

1.  **A batch**: a NamedTuple of arrays (or None), like `minigpt.data.batch.Batch`, with

        counts()       {term: number of items} for every term of the loss; one of them is "tokens", those predicted
        rows(a, b)     the rows a … b−1, as a batch of the same kind
        split(n)       [(first row, part), …]; `rows, split = take_rows, split_rows` of `data.batch` are both
        row_count      how many rows it has; rows are what shards divide, and what dropout is keyed by
        token_count    how many tokens go through the model (for tokens per second); `row_count, token_count =
                       counted_rows, counted_tokens` of `data.batch` count `inputs`

2.  **A model** (see `minigpt.models`) whose loss is a sum of terms, each divided by `run.denominators[term]`, the count
    over the whole step (by its own where the term is not named there); so that losses and gradients of shards and
    accumulated batches add up. And `model.measures(cache)`: what else of a forward pass is worth knowing, as
    {name: (sum, count)}. Sums and counts are added over shards and batches and divided at the end; they are logged for
    training as `name` and for validation as `val_name`, shown with the loss, and part of `minigpt eval --json`.

3.  **An objective**: a class, built on `minigpt.train.objectives.base.Objective` and entered below, with

        Config                           frozen dataclass: the section [objective] of the configuration. Every field has
                                         a default; `__post_init__` raises UserError for values that cannot be
        __init__(config, tokenizer)      the whole RunConfig. Raises UserError if the two do not fit (a special token
                                         that is missing, a prompt that is too long)
        special_tokens(config)           static: names of the special tokens that a tokenizer trained for the run must
                                         have; () by default: its kind brings them, or none are needed
        load()                           read `config.data.sources` and split off the validation part: an object with
                                         `train`, `validation` (of any kind) and `fingerprint` (of all that batches are
                                         made from; a run that resumes insists on the same)
        read(sources)                    read another text, all of it, for evaluation: what `validation` is of `load()`
        batch(data, rows, *, seed, step, part, first_row)
                                         a training batch of so many rows from `load().train`: a pure function of its
                                         arguments, so that resuming gives the same bits. `part` numbers the batches of
                                         one step (gradient accumulation); `first_row` is the batch's first row, counted
                                         through the whole run (for sampling without replacement)
        evaluation_batches(data, rows, limit)
                                         a list of functions without arguments, each of which makes one batch, always
                                         the same, of up to `rows` rows. `limit`: about how many tokens; None for all
        about(dataset)                   a few words for the line that training begins with: how much there is, how long
                                         a row is
        report(score, data)              what `minigpt eval` says: the values for --json, and a sentence
        baseline(train, score, batches, data)
                                         where `has_baseline` is true, the same for the simplest model that has seen
                                         the training text, on the same batches (`minigpt eval --baseline`)
        landmarks(dataset, limit)
                                         what the validation loss lies between, on the batches that evaluation makes
                                         with this limit (see `minigpt.train.objectives.landmarks`); None, as by
                                         default, where it is not known
        sample(model, params, settings, seed)
                                         yield, in pieces, text that shows what the model has learned (a continuation of
                                         settings.prompt, masks filled in, a text repaired); a function of its arguments
        evaluate(model, params, batches, *, final, threads, passes, on_batch, should_stop)
                                         by default `minigpt.train.loss.mean_loss`; another one for scores that are no
                                         sums over batches. What it returns has `loss`, `measures` and `counted`.
                                         `final`: whether training is over, and there is time to look closer

Fine-tuning has objectives of its own (task.py and what builds on it), by family and kind of task.

The preset of a family says `family = "name"`; `--set objective.key=value` changes what `Config` holds.
"""

from minigpt.train.objectives.bert import BertObjective
from minigpt.train.objectives.causal import CausalConfig, CausalObjective
from minigpt.train.objectives.denoising import DenoisingObjective
from minigpt.train.objectives.sequence import SequenceObjective

__all__ = [
    "BertObjective",
    "CausalConfig",
    "CausalObjective",
    "DenoisingObjective",
    "SequenceObjective",
]
