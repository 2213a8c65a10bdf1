"""Time, memory and disk that a stage would take: what --dry-run tells.

`run` puts a stage's parts together, `planned_training` makes the trainings that it would begin, and
`rehearsal` times their first steps and throws them away.
"""
