"""The training loop: a pure function of seed and step, so that a resumed run is bit-identical.

A `training` is one object, which a stage makes; `supervised` is one that learns labels or from a
teacher. `loop` takes the steps of a phase, `phases` runs one phase after another. `settings` are
what a config asks for, `batches` read and vary images, `losses` and `drop_block` are what a step
minimises, `starting_weights` what it begins with, `interrupt` ends it where Ctrl-C asks.
"""
