"""The test split of a trained network: opened once its images are known to be what they were."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from supernet.files import UserError, or_damaged
from supernet.files.telling import tell_once
from training.data import DataConfig, TrainingData, open_training_data
from training.data.config import OF_FILES
from training.data.image_set import ImageSet
from training.data.test_part import open_test_part
from training.data.training_data import files_of
from training.network_file import TrainedNetwork, load_network
from training.run_files.folder import run_around
from training.run_files.same_run import SAME_IMAGES, marked
from training.same_pictures import MOST_FILES, SamePictures, merged, same_pictures
from training.split_facts import SplitFacts, check_same, data_of, facts_of_run

OTHER_IMAGES = ", or score images of your choice: --data DIR"
TEST, TRAINING = "the test split", "the training images"


@dataclass(frozen=True)
class TestImages:
    """`same`: which of them are among the training images too; None where that is not known."""

    __test__ = False  # to pytest: no test

    images: ImageSet
    same: SamePictures | None

    @property
    def notes(self) -> list[str]:
        """What must be known of them to read a score, in words."""
        if self.same is None or not self.same.pairs:
            return []
        return [f"{self.same}: scores are too good by them"]


def open_network(file: Path) -> TrainedNetwork:
    """A network file; its images lie where the run around it says that they lie now.

    Raises:
        UserError: a damaged file, or a damaged run.
    """
    trained = load_network(file)
    if (run := run_around(file)) is None:
        return trained
    with or_damaged(run.manifest_file):
        said = run.config.get("data") or {}
        if said.get("name") != trained.data.name:
            return trained
        places = {name: said[name] for name in marked(DataConfig, SAME_IMAGES) if name in said}
        return replace(trained, data=DataConfig.of_file({**trained.data.model_dump(), **places}))


def open_test_split(
    trained: TrainedNetwork,
    file: Path,
    *,
    strict: bool = False,
    advice: str = "",
    compare: bool = True,
) -> TestImages:
    """The test split of the network in `file`, compared with what the network was trained on.

    `advice`: what to do where it has changed. `strict`: no picture may be in both; without
    `compare` the pictures are not looked at.

    Raises:
        UserError: the data set is missing or damaged, or has changed since; of `strict`, the same
            picture in both, or training images that cannot be opened.
    """
    images = open_test_part(trained.data)
    where = _where(trained, file)
    try:
        data = open_training_data(trained.data)
    except Exception as error:  # a user's own reader raises what it likes
        if strict or trained.data.name in OF_FILES:
            raise
        tell_once(f"{where}: whether it has changed cannot be checked ({error})")
        return TestImages(images, None)
    check_unchanged(trained, file, data, advice)
    if not compare:
        return TestImages(images, None)
    same = same_pictures(images, data.everything, (TEST, TRAINING), all_of_them=strict)
    if strict:
        refuse_same(same)
    if same is None:
        tell_once(
            f"{where}: too many images to look for the same picture in test and training; "
            f"--strict does"
        )
    return TestImages(images, same)


def beside_training(
    trained: TrainedNetwork, file: Path, images: ImageSet, folder: Path, *, strict: bool = False
) -> TestImages:
    """Images of a folder, compared with the training images where those can be opened here.

    Raises:
        UserError: of `strict`, the same picture in both, or training images that are not there.
    """
    recorded = trained.splits
    if not strict and recorded is not None and recorded.num_images > MOST_FILES:
        return TestImages(images, None)
    try:
        known = _trained_on(trained, file)
        names = (str(folder), TRAINING)
        found = [same_pictures(images, one, names, all_of_them=strict) for one in known]
    except Exception as error:  # a user's own reader raises what it likes
        if strict:
            raise UserError(
                f"--strict: cannot compare with the training images: {error}"
            ) from error
        return TestImages(images, None)
    same = merged(found)
    if strict:
        if same is None:
            raise UserError("--strict: cannot compare: the training images are of another size")
        refuse_same(same)
    return TestImages(images, same)


def _trained_on(trained: TrainedNetwork, file: Path) -> list[ImageSet]:
    """The images that a network was trained on, as far as they are still in its data set.

    Raises:
        UserError: the data set is missing, or has changed and nobody knows which they were.
    """
    data = open_training_data(trained.data)
    recorded = _recorded(trained, file)
    if recorded is None or not recorded.changed(data.facts):
        return [data.everything]
    if not recorded.is_listed:
        raise UserError(f"{file}: its data set has changed since, in what is not known")
    sets = (data.everything, open_test_part(trained.data))
    found = [(images, files) for images in sets if (files := files_of(images)) is not None]
    return [images.subset(recorded.trained_on(files.entries())) for images, files in found]


def check_unchanged(
    trained: TrainedNetwork, file: Path, data: TrainingData, advice: str = ""
) -> None:
    """Demand that the data of the network in `file` is what it was trained on, where that is known.

    Raises:
        UserError: it has changed, with what changed.
    """
    where = _where(trained, file)
    recorded = _recorded(trained, file)
    if recorded is None:
        tell_once(
            f"{where}: the network's file is older and does not say which images it was trained "
            f"on; whether they have changed since cannot be checked"
        )
        return
    since = "the network was trained"
    check_same(recorded, data.facts, where, since, f"restore it{advice}")


def _recorded(trained: TrainedNetwork, file: Path) -> SplitFacts | None:
    """What is known of the splits: by the file, and by the run in whose folder it lies."""
    own = trained.splits
    run = None if own is not None and own.is_listed else run_around(file)
    if run is None or data_of(run).get("name") != trained.data.name:
        return own
    return facts_of_run(run) if own is None else own.with_files_of(facts_of_run(run))


def _where(trained: TrainedNetwork, file: Path) -> str:
    place = trained.data.labels or trained.data.root
    return f"{file}: the data set '{trained.data.name}'" + ("" if place is None else f" in {place}")


def refuse_same(found: SamePictures | None) -> None:
    """Refuse pictures that are in two splits.

    Raises:
        UserError: there are, with the first pairs.
    """
    if found is not None and found.pairs:
        raise UserError(f"--strict: {found}; take them out of one of the two")


def demand_distinct(config: DataConfig) -> None:
    """Demand that no picture is in two of the three splits; all images are read for it.

    Raises:
        UserError: one is, with the first pairs; or an image cannot be read.
    """
    data = open_training_data(config)
    test = open_test_part(config)
    search, train = "the search split", "the train split"
    refuse_same(same_pictures(data.search, data.train, (search, train), all_of_them=True))
    refuse_same(same_pictures(test, data.everything, (TEST, TRAINING), all_of_them=True))
