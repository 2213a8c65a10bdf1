"""Which choices and costs a supernet was trained on.

`trained_paths` counts what its steps drew, `coverage` sums it up, `report` prints it.
"""
