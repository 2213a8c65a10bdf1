"""What is made of a history: the best, a front, and their architecture files.

`outcome` ends a run and writes its summary, `export` and `export_front` write architecture files,
`export_weights` networks with the supernet's weights; `hopeful` ranks hand-made designs by it,
`worth` says what a surrogate learned.
"""
