"""Which objective fine-tunes a family for a kind of task."""

from minigpt.train.objectives.labels import LABELS
from minigpt.train.objectives.spans import SPANS
from minigpt.train.objectives.task import TaskObjective
from minigpt.train.objectives.texts import TEXTS

# By family and kind of example.
TASK_OBJECTIVES: dict[tuple[str, type], type[TaskObjective]] = {**LABELS, **SPANS, **TEXTS}
