"""Parts of a network run by themselves: packed where they can be, in torch where not.

`part` is a plan for some blocks, `packed_segment` runs some consecutive ones, `mixed` is a chain of
packed and torch parts, `recalibration` recomputes BatchNorm statistics on the packed engine.
"""
