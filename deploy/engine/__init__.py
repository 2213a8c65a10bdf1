"""A plan made ready, and run.

`schedule` places values in memory, `program` is what the compiled kernels run, `packed_network`
runs images through it, `prediction` reads classes off; `reference` computes a plan in numpy, slowly
and plainly, for comparison.
"""
