"""Which architectures a supernet training step updates: rules, schedules, and what was drawn."""

from training.path_sampling.check import check_sampling as check_sampling
from training.path_sampling.config import PathSamplingConfig as PathSamplingConfig
from training.path_sampling.counts import DrawRecord as DrawRecord
from training.path_sampling.counts import UpdateCounts as UpdateCounts
from training.path_sampling.drawer import PathDrawer as PathDrawer
from training.path_sampling.rules import draw_paths as draw_paths
