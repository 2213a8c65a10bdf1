"""What the page is about, read out of run folders, before anything is drawn.

`report` gathers them all: `history` (fronts and curves), `search` (limits, front, winner),
`network` (a trained network's layers), `lineage` (the runs that a run was built on) and
`provenance` (versions, hashes, commands).
"""
