"""Hostile and damaged files: whatever stands in them, they are read or refused with one sentence, in bounds.

    python -m tests.fuzz                     2,000 inputs of every format, in processes with limits
    python -m tests.fuzz --help              numbers, seeds, formats, coverage

hostile     values that parsers trip over          trees, binary    damage that keeps a file's structure
mutate      one damaged file of a valid one        samples          the valid ones, made by our own code
formats     what is done with each format          workers          processes with limits on memory and time
corpus/     inputs that once failed, by format: tests/fuzz/test_fuzz.py reads them all
"""
