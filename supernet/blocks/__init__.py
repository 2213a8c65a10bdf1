"""The blocks of a network, one file a block; `building` makes the module of a spec."""
