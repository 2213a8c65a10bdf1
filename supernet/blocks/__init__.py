"""The blocks of a network, one file a block."""
