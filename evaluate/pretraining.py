"""Pre-trained features on the test split, scored once a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.data import DataConfig, open_training_data
from training.data.test_part import open_test_part
from training.device import choose_device, set_threads
from training.network_file import load_network
from training.pretraining.config import PretrainConfig
from training.pretraining.encoder import Encoder
from training.pretraining.probes import features_of, fit_line
from training.pretraining.run import STAGE, WEIGHTS, scores_of
from training.run_folder import open_finished


def score_on_test_split(run: Path) -> dict[str, Any]:
    """kNN and a linear probe on the features of all training images, scored on the test split.

    The manifest keeps the scores as `test_split`; they are not made a second time.

    Raises:
        UserError: no finished pre-training there, or images that cannot be read.
    """
    folder = open_finished(run, STAGE)
    if (recorded := folder.manifest.get("test_split")) is not None:
        return recorded
    config = PretrainConfig(**folder.config[STAGE])
    trained = load_network(folder.path / WEIGHTS)
    data = open_training_data(DataConfig(**folder.config["data"]))
    device = choose_device(config.device)
    set_threads(folder.manifest.get("threads"))
    encoder = Encoder(trained.network).to(device)
    known = features_of(encoder, data.everything, trained.normalisation, device)
    asked = features_of(encoder, open_test_part(trained.data), trained.normalisation, device)
    scores = scores_of(config, known, asked, fit_line(known, num_classes=data.num_classes))
    folder.record("test_split", scores)
    return scores
