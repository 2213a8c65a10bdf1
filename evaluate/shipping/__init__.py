"""From a trained network to a file that leaves: packed, exported, with its card.

`packing`, `exporting`, `c_exporting` and `sign_export` each write one kind of file, and keep it
only if its classes are torch's on `checked_images`: `written` is the result, or the refusal.
`cards` writes what it is beside it, out of `card_facts`.
"""
