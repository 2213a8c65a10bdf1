"""The commands, one file a family; each parses its arguments and calls one function."""
