"""What the page is about, read out of run folders, before anything is drawn.

`report` gathers them all: `history` (fronts and curves), `search` (limits, front, winner),
`network` (a trained network's layers) and `provenance` (versions, hashes, commands).
"""
