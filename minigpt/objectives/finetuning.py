"""Which objective fine-tunes a family for a kind of task."""

from minigpt.objectives.labels import LABELS
from minigpt.objectives.spans import SPANS
from minigpt.objectives.task import TaskObjective
from minigpt.objectives.texts import TEXTS

# By family and kind of example.
TASK_OBJECTIVES: dict[tuple[str, type], type[TaskObjective]] = {**LABELS, **SPANS, **TEXTS}
