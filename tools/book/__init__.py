"""The website: README, docs/ and notebooks with their outputs, a reference from the docstrings, and the explain pages.

sources      the pages, gathered into one folder; links to code lead to pages of code
reference    a page of docstrings for each folder of the package
code         the project's files as pages with numbered lines
figures      what is said of a notebook's figure to whoever does not see it
explained    the pages that `minigpt explain` writes, of models of four families
looking      the finished site in Chromium: text that is too faint, pictures without words, pages that are too wide
links        every link of the finished site leads somewhere, and none is needed from the network
"""
