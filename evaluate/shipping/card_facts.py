"""What is known of a trained network: its file, and the run folder in which it lies.

Nothing is guessed: what neither of them says is said to be unknown, or not measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from deploy.card_file import NOT_MEASURED, card_path, escape, read_card, table
from deploy.card_file import described as described_file
from deploy.engine.packed_network import PackedNetwork
from evaluate.class_scores import left_out, notes_of, shown
from evaluate.retrain.config import RepeatedTraining
from evaluate.retrain.spread import spread
from supernet.costs import cost
from supernet.files import or_damaged, read_json
from supernet.files.plain_data import flatten, is_number
from training.data.config import DataConfig
from training.network_file import TrainedNetwork
from training.network_training import WEIGHTS
from training.pretraining.config import PretrainConfig
from training.run_files.folder import RunFolder, run_around
from training.run_files.same_run import CHANGES_NOTHING, CHANGES_ROUNDING, SAME_IMAGES, marked

NO_RUN = "Not known: the network's file does not lie in the run folder that made it."
NO_CARD = "Not known: a packed model does not say it, and its card is not beside it."
SCORES = {"test": "test_score.json", "search": "search_score.json"}
HOW_IT_RAN = {
    name
    for config in (RepeatedTraining, PretrainConfig)
    for name in marked(config, CHANGES_NOTHING, CHANGES_ROUNDING)
}
PLACES = set(marked(DataConfig, CHANGES_NOTHING, SAME_IMAGES))
"""Of a data set: where it lies on one machine, and how it is read there."""


@dataclass(frozen=True)
class Known:
    """What a card of anything that is made of a network begins with."""

    facts: dict[str, Any]
    sections: dict[str, str]


@dataclass(frozen=True)
class Origin:
    """The run that trained a network: its manifest, and the network's row in the summary."""

    folder: RunFolder
    manifest: Mapping[str, Any]
    row: Mapping[str, Any] | None
    name: str
    """Of the network's folder, relative to the run's."""


def known_of_network(source: Path, trained: TrainedNetwork) -> Known:
    """What a network's file and its run folder say."""
    origin = find_origin(source, trained)
    with or_damaged(source.parent if origin is None else origin.folder.manifest_file):
        return _known(source, trained, origin)


def _known(source: Path, trained: TrainedNetwork, origin: Origin | None) -> Known:
    costs = cost(trained.space.decode(trained.architecture)).as_dict()
    score = _score(source)
    facts = {
        "origin": str(trained.inherited) if trained.inherited else _origin_in_words(origin),
        "space": trained.space.describe().get("name"),
        "data": Path(trained.data.name).name,
        "input": {
            "channels": trained.network.spec.in_channels,
            "size": trained.network.spec.image_size,
        },
        "classes": list(trained.class_names),
        "accuracy": score and {name: score[name] for name in score if name != "classes"},
        "costs": costs,
    }
    sections = {
        "Network": _network(trained),
        "Data": _data(trained, origin),
        "Training": _how_trained(trained, origin),
        "Costs": "Of one image; a multiply-add counts once, OPs = FLOPs + BOPs / 64.\n\n"
        + table(costs),
        "Accuracy": _accuracy(score, origin, trained),
    }
    return Known(facts, sections)


def known_of_packed(source: Path, packed: PackedNetwork) -> Known:
    """What a packed model says, and the card beside it if that is of this very file."""
    plan = packed.plan
    facts: dict[str, Any] = {
        "origin": None,
        "input": {"channels": plan.channels, "size": plan.size},
        "classes": list(packed.class_names),
        "accuracy": None,
    }
    network = {"input": f"{plan.channels} x {plan.size} x {plan.size}", "classes": facts["classes"]}
    if packed.view is not None:
        network["image files"] = str(packed.view)
    unknown = dict.fromkeys(("Data", "Training", "Costs", "Accuracy"), NO_CARD)
    sections = {"Network": table(network), **unknown}
    card = read_card(card_path(source))
    if card is not None and card.facts.get("files") == [described_file(source)]:
        told = ("origin", "space", "data", "input", "classes", "accuracy", "costs")
        facts = {name: card.facts[name] for name in told if name in card.facts}
        sections = {name: card.sections.get(name, NO_CARD) for name in sections}
    return Known(facts, sections)


def find_origin(source: Path, trained: TrainedNetwork) -> Origin | None:
    """The run in whose folder `source` lies; None where it is no run that made such a network."""
    run = run_around(source)
    if run is None:
        return None
    manifest = run.manifest
    name = source.resolve().parent.relative_to(run.path).as_posix()
    with or_damaged(run.manifest_file):
        rows = (manifest.get("summary") or {}).get("networks") or []
        row = next((one for one in rows if name in one.get("networks", [])), None)
        data = manifest["config"].get("data", {}).get("name")
        choices = json.loads(json.dumps(dict(trained.architecture.choices)))
        is_other = row is not None and row.get("choices") != choices
        is_other = is_other or data != trained.data.name
    return None if is_other else Origin(run, manifest, row, name)


def _how_trained(trained: TrainedNetwork, origin: Origin | None) -> str:
    if trained.inherited is not None:
        return f"Its weights are {escape(str(trained.inherited))}."
    return NO_RUN if origin is None else _training(origin)


def _origin_in_words(origin: Origin | None) -> str | None:
    if origin is None:
        return None
    role = origin.row["name"] if origin.row and "name" in origin.row else "network"
    _, is_of_seed, seed = origin.name.rpartition("-seed")
    number = f", seed {seed}" if is_of_seed else ""
    return f"{role}{number} of a run of stage {origin.manifest['stage']}"


def _network(trained: TrainedNetwork) -> str:
    spec = trained.network.spec
    rows: dict[str, Any] = {
        "input": f"{spec.in_channels} x {spec.image_size} x {spec.image_size}",
        "classes": trained.class_names,
        "choices": [f"{name} {choice}" for name, choice in trained.architecture.choices],
        **{f"space: {name}": value for name, value in _flat(trained.space.describe()).items()},
        **{f"binarization: {k}": v for k, v in trained.binarization.describe().items()},
        "mean of pixels in [0, 1]": trained.normalisation.mean,
        "standard deviation": trained.normalisation.std,
        "image files": str(trained.view),
    }
    return table(rows)


def _data(trained: TrainedNetwork, origin: Origin | None) -> str:
    settings = trained.data.model_dump(mode="json", exclude_none=True, exclude=PLACES)
    rows: dict[str, Any] = _flat(settings)
    splits = (origin.manifest.get("data") or {}).get("splits") or {} if origin else {}
    for name, split in splits.items():
        # A folder's test images are described by their names and sizes: none is opened before
        # the end.
        hashes = [f"{key.replace('_', ' ')} {split[key]}" for key in split if "sha256" in key]
        rows[f"{name} split"] = ", ".join([f"{split['num_images']:,} images", *hashes])
    if not splits:
        rows["hashes of the splits"] = "not known"
    return table(rows)


def _training(origin: Origin) -> str:
    manifest, config = origin.manifest, origin.manifest["config"]
    stage = manifest["stage"]
    settings = _flat(config.get(stage) or {})
    rows = {
        "stage": stage,
        "network": origin.name,
        **{name: settings[name] for name in settings if name not in HOW_IT_RAN},
        **_begun(origin.row),
        "seed of the run": config.get("seed"),
        "began": manifest.get("created"),
        "commit": manifest.get("git_commit") or "not known",
        "python": manifest.get("python"),
        **{f"version of {name}": value for name, value in manifest.get("versions", {}).items()},
    }
    for name, source in manifest.get("inputs", {}).items():
        rows[f"made of: {name}"] = f"{Path(source['path']).name}, sha256 {source['sha256']}"
    return table(rows)


def _begun(row: Mapping[str, Any] | None) -> dict[str, Any]:
    """How a network of the run began and how long it was trained, where not all did alike."""
    return {name: row[name] for name in ("start", "epochs") if name in row} if row else {}


def _score(source: Path) -> dict[str, Any] | None:
    """What the run measured of this file, with the split; percent."""
    for split, name in SCORES.items():
        file = source.with_name(name)
        if source.name == WEIGHTS and file.is_file():
            document = read_json(file, what="score")
            rounded = {k: round(v, 4) if is_number(v) else v for k, v in document.items()}
            rounded.pop("right", None)  # bits of each image, of use to compare networks
            return {"split": split, **rounded}
    return None


def _accuracy(score: Mapping[str, Any] | None, origin: Origin | None, of: TrainedNetwork) -> str:
    if score is None:
        return f"Top-1, top-5 and the calibration error: {NOT_MEASURED}."
    rows = {
        "split": f"{score['split']} split of {Path(of.data.name).name}",
        "top-1, %": score["top1"],
        "top-5, %": score.get("top5", NOT_MEASURED),
        "balanced top-1, %": score.get("balanced_top1", NOT_MEASURED),
        "calibration error, %": score.get("calibration_error", NOT_MEASURED),
    }
    scores = (origin.row or {}).get(f"{score['split']}_top1", []) if origin else []
    if len(scores) > 1:
        rows[f"all {len(scores)} seeds of this architecture, top-1, %"] = (
            f"{fmean(scores):.2f} ± {spread(scores):.2f} (standard deviation)"
        )
    once = "Of the trained network in torch, once, by the run that trained it.\n\n"
    return once + table(rows) + _by_class(score.get("classes"))


def _by_class(classes: Mapping[str, Any] | None) -> str:
    """A table of the classes, and what must be known to read it."""
    if not classes:
        return ""
    rows = {
        name: f"{top1}{' %' * ('of' not in top1)}, of {images:,} images"
        for name, images, top1 in shown(classes)
    }
    notes = [*notes_of(classes), *filter(None, [left_out(classes)])]
    said = "".join(f"\n\n{escape(note)}." for note in notes)
    return f"\n\nTop-1 of each class:\n\n{table(rows)}{said}"


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted name, what is none or empty left out; of files their names."""
    flat = flatten(settings, numbered_from=1)
    return {n: _told(value) for n, value in flat.items() if value not in (None, [], ())}


def _told(value: Any) -> Any:
    is_file = isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if is_file else value
