"""The training loop: a pure function of seed and step, so that a resumed run is bit-identical.

`loop` takes the steps, `phases` runs one after another where a training has several, `settings` is
what a config asks for, `batches` reads and varies images, `losses` and `drop_block` are what a step
minimises, `interrupt` ends it where Ctrl-C asks.
"""
