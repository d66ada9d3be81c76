"""Which objective fine-tunes a family for a kind of task."""

from minigpt.objectives.labels import LABELS
from minigpt.objectives.task import TaskObjective

TASK_OBJECTIVES: dict[tuple[str, type], type[TaskObjective]] = {**LABELS}  # by family and kind of example
