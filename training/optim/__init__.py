"""Optimisers: how weights move, binary ones included, and the schedules of their rates.

`config` is what is asked for, and `build` makes it for a module's parameters: torch's optimisers or
`bop`, `combined` as one. `rates` are the learning rate, gamma and tau of each step; `partial` moves
only those parts of parameters that the paths of a supernet's step used.
"""

from training.optim.bop import Bop as Bop
from training.optim.build import build_optimiser as build_optimiser
from training.optim.combined import Combined as Combined
from training.optim.combined import Optimiser as Optimiser
from training.optim.combined import figures as figures
from training.optim.config import BopConfig as BopConfig
from training.optim.config import OptimiserConfig as OptimiserConfig
from training.optim.partial import step_within as step_within
from training.optim.rates import set_rates as set_rates
