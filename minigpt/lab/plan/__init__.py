"""What training a model takes, on paper: parameters, arithmetic, memory, a layout over GPUs, days and cost.

Nothing is trained and no weight is made; a plan is a function of the configuration alone. Each module works out one
thing, with the formula and its source in the docstring: `workload` (what one row of text passes through), `flops`,
`memory`, `layout` (which splits over GPUs fit), `hardware` (what makers state), `schedule` (how many tokens), and
`estimate`, which puts them together.
"""

from minigpt.lab.plan.estimate import Plan, make_plan
from minigpt.lab.plan.hardware import GPUS, Gpu, find_gpu
from minigpt.lab.plan.workload import Workload, parameter_groups

__all__ = ["GPUS", "Gpu", "Plan", "Workload", "find_gpu", "make_plan", "parameter_groups"]
