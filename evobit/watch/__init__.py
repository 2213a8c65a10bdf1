"""Follow runs: how far they are, and mirrors of them in experiment trackers.

`watching` reads run folders, `mirror` sends what is new to a tracker, `mapping` says under which
names; `trackers` lists the trackers: `tensorboard_run`, `mlflow_run` and `wandb_run`.
"""
