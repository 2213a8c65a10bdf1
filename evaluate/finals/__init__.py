"""The finals between search and retraining: who is the best, judged by longer trainings.

`config` says who enters and how long a rung is, `entrants` are the best of the search, hand-made
designs and networks that the user names; `judging` compares them on images that the search has not
looked at, `halving` says who goes on, `run` is the stage, `report` its table.
"""
