"""Is a hand-written backward pass right, and if not, what is the mistake? `minigpt check FILE.py` for anybody's code.

`report.py` has what other modules call: `check_file` and `check_source`. What happens: `finding.py` reads which pairs a
file holds, `binding.py` what their names mean, `sandbox.py` runs the file in a process of its own, `judging.py`
compares, `where.py` says at which places, `naming.py` with which mistake. docs/check.md explains how to use it.
"""
