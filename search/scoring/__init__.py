"""What a worker does with the candidates it is given.

`tasks` are plain data that travel, `scorer` the scorer that a `config` asks for, `packed_scorer`
one on the 1-bit kernels, `racing` stops those that cannot win; a `known_table` holds the scores of
all networks of a space, trained before.
"""
