"""One training step on many ranks, before anybody has paid for them: a simulation by discrete events.

`events` moves one clock over tasks that wait for each other and for their streams; `collectives` has the messages of
an all-reduce and, as formulas, how long they take; `pipeline` orders a stage's work; `step` writes a training step as
tasks; `goodput` adds failures and checkpoints; `study` makes all that of a plan, `report` tells it and `figure`
draws it. tests/lab/simulate holds it to published runs.
"""
