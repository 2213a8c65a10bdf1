"""The `audit` section of a config: how well a supernet ranks, measured on what and how."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from evaluate.retrain.config import RepeatedTraining, RetrainConfig, filled_from_retrain
from training.bounds import MAX_COUNT, MAX_IMAGES, MAX_REPEATS, MAX_THREADS, Seed
from training.device import DeviceName, PrecisionName
from training.loop.settings import TrainingSettings
from training.path_sampling import PathSamplingConfig
from training.run_files.same_run import CHANGES_NOTHING, NOT_RECORDED
from training.scoring.adapting import AdaptConfig
from training.scoring.scorer import BatchNormMode, ScoringConfig
from training.section import Section
from training.stage import Stage
from training.supernet_stage import SupernetConfig


class ScoringMode(NamedTuple):
    """A way of scoring with a supernet.

    Where BatchNorm statistics are from, the calibration images that they have (None: none), and the
    training of its own that a network gets first (None: none).
    """

    batch_norm: BatchNormMode
    calibration_images: int | None
    adapt: AdaptConfig | None = None


class AuditScoring(Section):
    """The ways of scoring with a supernet that are compared, all on the whole search split.

    `batch_norm`: where the statistics are from; 'recalibrated' is tried with each number of
    `calibration_images`, whole multiples of `calibration_batch`.
    """

    batch_norm: tuple[BatchNormMode, ...] = Field(
        ("recalibrated", "running", "batch"), min_length=1
    )
    calibration_images: tuple[Annotated[int, Field(le=MAX_IMAGES)], ...] = Field(
        (256, 1024, 4096), min_length=1
    )
    calibration_batch: int = Field(256, ge=2, le=MAX_IMAGES)
    batch_size: int = Field(500, ge=2, le=MAX_IMAGES)
    threads: int = Field(1, ge=1, le=MAX_THREADS)
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"

    @model_validator(mode="after")
    def _distinct_and_whole(self) -> AuditScoring:
        for what in ("batch_norm", "calibration_images"):
            values = getattr(self, what)
            if len(set(values)) < len(values):
                raise ValueError(f"{what} names one twice")
        for number in self.calibration_images:
            if number < 1 or number % self.calibration_batch:
                raise ValueError(
                    f"calibration_images {number} is no multiple of calibration_batch "
                    f"{self.calibration_batch}; without recalibration is batch_norm 'running'"
                )
        return self

    @property
    def modes(self) -> tuple[ScoringMode, ...]:
        """Every way of scoring with the weights as they are."""
        found: list[ScoringMode] = []
        for mode in self.batch_norm:
            numbers = self.calibration_images if mode == "recalibrated" else (None,)
            found += [ScoringMode(mode, number) for number in numbers]
        return tuple(found)

    def scorer_config(
        self, num_search_images: int, adapt: AdaptConfig | None = None
    ) -> ScoringConfig:
        """The scorer's settings, for as many calibration images as any mode wants.

        A part as large as the whole search split is the split in random order: batches that give
        statistics themselves must not be of one class each.
        """
        return ScoringConfig(
            calibration_images=max(self.calibration_images),
            calibration_batch=self.calibration_batch,
            batch_size=self.batch_size,
            search_images=num_search_images,
            threads=self.threads,
            device=self.device,
            precision=self.precision,
            adapt=adapt,
        )


class AuditConfig(RepeatedTraining):
    """How the stand-alone networks are drawn and trained, and what is compared with them.

    `networks`: so many distinct architectures drawn uniformly within `limits` (`max_*` and `min_*`
    of analytic costs), with `bands` so many in each; all of a space or band that has no more.
    `bands`: so many ranges of equal OPs, and only networks of one range are ranked against one
    another; 0 draws from the whole space and ranks all against all. `band_width`: by what share
    OPs differ in a band at most.
    `sampling`: rules that train supernets, with the `supernet` section otherwise unchanged; without
    any, that of the section alone. `supernet_seeds`: so many supernets of each rule. `equal_work`:
    the epochs of each rule are scaled so that all train as many paths as the `supernet` section as
    it stands.
    `adapt`: scores after each of these trainings of a network's own from the supernet's weights,
    beside those of the weights as they are.
    `top_k`: numbers of architectures of which the regret is told. `bootstrap`: samples that give
    the intervals. Training settings that are not given are those of the `retrain` section.
    """

    networks: int = Field(20, ge=2, le=MAX_COUNT)
    limits: dict[str, float] = {}
    bands: int = Field(0, ge=0, le=MAX_REPEATS)
    band_width: float = Field(0.04, gt=0, lt=1)
    sampling: tuple[PathSamplingConfig, ...] = ()
    supernet_seeds: int = Field(1, ge=1, le=MAX_REPEATS)
    equal_work: bool = False
    scoring: AuditScoring = AuditScoring()
    adapt: tuple[AdaptConfig, ...] = ()
    top_k: tuple[Annotated[int, Field(le=MAX_COUNT)], ...] = (1, 3)
    bootstrap: int = Field(1000, ge=1, le=MAX_COUNT)

    @model_validator(mode="after")
    def _ranks(self) -> AuditConfig:
        if not self.top_k or min(self.top_k) < 1 or len(set(self.top_k)) < len(self.top_k):
            raise ValueError("top_k: expected distinct numbers above 0")
        if any(rule in self.sampling[:number] for number, rule in enumerate(self.sampling)):
            raise ValueError("sampling holds one rule twice")
        if any(one in self.adapt[:number] for number, one in enumerate(self.adapt)):
            raise ValueError("adapt holds one training twice")
        if not self.bands and self.band_width != type(self).model_fields["band_width"].default:
            raise ValueError("band_width is for bands, of which there are none")
        return self

    @property
    def modes(self) -> tuple[ScoringMode, ...]:
        """Every way of scoring: with the weights as they are, then after each of `adapt`."""
        most = max(self.scoring.calibration_images)
        adapted = (ScoringMode("recalibrated", most, adapt) for adapt in self.adapt)
        return (*self.scoring.modes, *adapted)


class AuditStage(Stage):
    """Everything `audit` needs."""

    supernet: SupernetConfig = SupernetConfig()
    # `audit` has taken its part of it.
    retrain: Annotated[RetrainConfig, CHANGES_NOTHING, NOT_RECORDED] = RetrainConfig()
    audit: AuditConfig = AuditConfig()
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _train_as_retrain(cls, given: Any) -> Any:
        """Give the audited networks the training settings of `retrain` that `audit` leaves out."""
        return filled_from_retrain(given, "audit", TrainingSettings.model_fields)
