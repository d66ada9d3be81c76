"""The tasks that a pretrained model is tried on: their examples and how they are scored."""

from minigpt.tasks.examples import (
    Classification,
    Example,
    LastWord,
    MultipleChoice,
    Pronoun,
    Similarity,
    Span,
    Story,
    Summary,
    Translation,
)
from minigpt.tasks.registry import TASKS, Task
