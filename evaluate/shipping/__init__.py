"""From a trained network to a file that leaves: packed, exported, with its card.

`packing`, `exporting`, `c_exporting` and `signs` each write one kind of file, and keep it only if
its classes are torch's on `checked_images`; `cards` writes what it is beside it, out of
`card_facts`.
"""
