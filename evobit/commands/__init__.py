"""The commands, one file a family; each parses its arguments and calls one function.

`strict` is what several of them ask of a data set, `contest` leads from a search to its finals.
"""
