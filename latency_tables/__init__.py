"""What a layer costs on a device: measured tables and how they are measured.

`layer_keys` lists the distinct layers of a space, and `build` measures them: `timing` takes the
times, `machine` says on what, `records` let an interrupted build resume. `table` is the file that
results, `plot` draws it. `fit` corrects a table's sums on whole networks, `predictor` gives the
latency of a network, and `exchange` takes in what another device has measured.
"""
