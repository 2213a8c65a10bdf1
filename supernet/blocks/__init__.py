"""The blocks of a network, one file a block; `building` makes the module of a spec.

`block` is what can be asked of any of them: its settings, what of it is compiled, its tensors.
"""
