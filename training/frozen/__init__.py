"""Networks that are not trained: teachers, and extractors whose attention places patches.

`config` is how a config names them, `sources` finds and loads them, `state_file` reads weights of
other programs. `frozen_network` feeds one with the images of a training; `teacher` and `extractor`
are two readings of it.
"""
