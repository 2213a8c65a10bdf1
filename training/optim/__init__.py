"""Optimisers: how weights move, binary ones included, and the schedules of their rates."""

from training.optim.bop import Bop as Bop
from training.optim.build import build_optimiser as build_optimiser
from training.optim.combined import Combined as Combined
from training.optim.combined import Optimiser as Optimiser
from training.optim.combined import figures as figures
from training.optim.config import BopConfig as BopConfig
from training.optim.config import OptimiserConfig as OptimiserConfig
from training.optim.partial import step_within as step_within
from training.optim.rates import set_rates as set_rates
