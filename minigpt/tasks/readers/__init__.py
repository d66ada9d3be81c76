"""Readers of the files that data sets are downloaded as, one module for each family of formats.

A reader takes a folder (the data set's own, the one above it, or a single file) and the name of a split, and gives a
list of examples. White space around a sentence, which GLUE's files have here and there, belongs to the file.
"""
