"""What a run leaves on disk.

`folder` is the run folder: manifest, lock, resume; `same_run` says whether a config is the recorded
one's, by the marks of its settings; `log` its lines, `checkpoint` a training's state, `progress`
how far it is.
"""
