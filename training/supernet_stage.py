"""What training a supernet is asked for, and all that can be known to be wrong with it before."""

from __future__ import annotations

import torch

from supernet.files import UserError
from supernet.sharing import FROM_LARGEST, Sharing
from supernet.space import SearchSpace
from supernet.supernet import Supernet, check_shareable
from training.bounds import Seed
from training.data.training_data import TrainingData, check_fit
from training.loop.batches import steps_per_epoch
from training.loop.phases import check_phases
from training.loop.settings import TrainingSettings
from training.path_sampling import PathSamplingConfig, check_sampling
from training.seeds import stream
from training.stage import Stage


class SupernetConfig(TrainingSettings):
    """Training settings, how weights are shared among choices, and which paths are drawn."""

    sharing: Sharing = "independent"
    sampling: PathSamplingConfig = PathSamplingConfig()


class SupernetStage(Stage):
    """Everything `train_supernet` needs."""

    supernet: SupernetConfig = SupernetConfig()
    seed: Seed = 0


def check_stage(space: SearchSpace, stage: SupernetStage, data: TrainingData) -> None:
    """Refuse all that can be known to be wrong before any work starts.

    Raises:
        UserError: space and data that do not fit, a sampling that finds no architecture, too few
            images, a damaged image, phases that cannot be trained.
    """
    settings, spec = stage.supernet, space.decode(space.first())
    check_shareable(space, settings.sharing)
    if settings.sharing in FROM_LARGEST and settings.compile == "on":
        raise UserError(
            f"supernet.compile 'on': in sharing '{settings.sharing}' every path has shapes of "
            "its own and is not compiled; use 'auto' or 'off'"
        )
    if settings.sampling.teacher_is_real:
        _check_real_teacher(space, settings)
    check_fit(spec, data)
    rng = stream(stage.seed, "check sampling")
    check_sampling(space, settings.sampling, rng, settings.total_epochs)
    steps_per_epoch(data.train, settings)
    # Mean and deviation read a sample of the images, which finds a damaged one.
    normalisation = data.seen_by(spec)

    def modules() -> list[torch.nn.Module]:
        with torch.device("meta"):
            return [Supernet(space, settings.sharing)]

    check_phases(settings, normalisation, spec, modules, data.train, space)


def _check_real_teacher(space: SearchSpace, settings: SupernetConfig) -> None:
    """Demand that one path can be real beside binary ones, and that it is no linear function.

    Raises:
        UserError: it cannot, or it is.
    """
    what = "supernet.sampling.teacher_is_real"
    if settings.sharing not in FROM_LARGEST:
        raise UserError(
            f"{what}: sharing '{settings.sharing}' makes all paths alike; expected "
            f"{' or '.join(FROM_LARGEST)}"
        )
    if any(phase.optimiser.bop for phase in settings.in_phases()):
        raise UserError(f"{what}: Bop has no real weights; expected another optimiser")
    blocks = space.decode(space.largest()).blocks
    linear = [block for block in blocks if getattr(block, "activation", None) == "none"]
    if linear:
        raise UserError(
            f"{what}: with real weights and activations units without activation are linear; "
            f"expected a space whose units have one"
        )
