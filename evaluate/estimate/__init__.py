"""Time, memory and disk that a stage would take: what --dry-run tells.

`run` puts a stage's parts together, `planned_training` makes the very trainings that it would
run, and `rehearsal` times their first steps in a folder that is thrown away.
"""
