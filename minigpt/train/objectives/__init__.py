"""What a family of models learns from: how text becomes training rows, and what is said about how well it goes.

A model knows its loss; where the batches come from, which numbers are worth logging and what a sample of a run looks
like is its family's objective (see `minigpt.train.families`). The trainer, `minigpt eval` and `minigpt
sample` know nothing else. A new family provides three things:

1.  a **batch**: a NamedTuple of arrays and an `minigpt.data.batch.AnyBatch`, which has most of what is asked of it;
2.  a **model** that is a `minigpt.models.model.Model`;
3.  an **objective**: a subclass of `minigpt.train.objectives.base.Objective`, in the family's record.

Fine-tuning has objectives of its own (task.py and what builds on it), by family and kind of task.

The preset of a family says `family = "name"`; `--set objective.key=value` changes what `Config` holds.
"""
