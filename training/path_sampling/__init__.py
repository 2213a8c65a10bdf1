"""Which architectures a supernet training step updates: rules, schedules, and what was drawn.

`config` is what is asked for, `check` refuses what cannot be followed. `drawer` gives the paths of
each step by the `rules`, among the choices that the schedule has opened in its `periods`; `counts`
records what was drawn.
"""

from training.path_sampling.check import check_sampling as check_sampling
from training.path_sampling.config import PathSamplingConfig as PathSamplingConfig
from training.path_sampling.counts import DrawRecord as DrawRecord
from training.path_sampling.counts import UpdateCounts as UpdateCounts
from training.path_sampling.drawer import PathDrawer as PathDrawer
from training.path_sampling.rules import draw_paths as draw_paths
