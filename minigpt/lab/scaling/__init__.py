"""A family of models of growing size on the same text, and the laws their losses follow.

`family` says what is trained and trains it, run by run; `results` reads the runs' logs, fits the laws of `laws` and
asks every size few-shot questions; `figure` draws it.
"""

from minigpt.lab.scaling.family import SIZES, Family, Size, open_family, start_family, train_family
from minigpt.lab.scaling.results import measure

__all__ = ["SIZES", "Family", "Size", "measure", "open_family", "start_family", "train_family"]
