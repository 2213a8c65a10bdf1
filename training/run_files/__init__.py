"""What a run leaves on disk.

`folder` is the run folder: manifest, lock, resume; `same_run` says whether a config is the recorded
one's; `log` its lines, `checkpoint` a training's state, `progress` how far it is.
"""
