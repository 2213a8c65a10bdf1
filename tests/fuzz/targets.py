"""What is read: a format each, with its damages and the public functions that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import damage, documents, image_files, tables, tensor_files
from tests.fuzz.samples import CUT, IMAGES, RETRAIN, SEARCH, SPACE, SUPERNET

Read = Callable[[Path, Random], Any]


@dataclass(frozen=True)
class Target:
    """A format: `files` are samples of it, `kinds` its damages, `read` what must refuse or read.

    `says`: what a refusal may name in place of the file.
    """

    files: Sequence[str]
    kinds: Mapping[str, damage.Damage]
    read: Read
    cases: int
    says: tuple[str, ...] = ()


_TEXT = {**damage.BYTES, **damage.LINES}


def _often(**kinds: damage.Damage) -> dict[str, damage.Damage]:
    """Damages of a format three times, since they get further than any other."""
    return {f"{name} {n}": kind for name, kind in kinds.items() for n in range(1, 4)}


def _config(path: Path, rng: Random) -> None:
    from evobit.config import load_stage

    load_stage(path, rng.choice(_stages()))


def _override(path: Path, rng: Random) -> None:
    """The file is whole; one to three fields are set on the command line."""
    from evobit.config import load_stage

    overrides = []
    for _ in range(rng.randint(1, 3)):
        field = rng.choice(_FIELDS)
        if field and rng.random() < 0.2:
            field = damage.flipped(rng, field.encode()).decode("utf-8", "replace")
        value = rng.choice(documents.YAML_TEXTS)
        if rng.random() < 0.5:
            value = documents.yaml_text(rng, {"x": rng.choice(documents.VALUES)})
            value = value.partition("x: ")[2] or value
        overrides.append(f"{field}={value}" if rng.random() < 0.95 else field)
    load_stage(path, rng.choice(_stages()), overrides)


_FIELDS = (
    *("seed", "space", "space.width", "space.groups", "space.blocks", "space.name", "data"),
    *("data.name", "data.image_size", "data.search_fraction", "supernet", "supernet.epochs"),
    *("supernet.phases", "supernet.augment.mix", "supernet.optimiser", "supernet.sampling"),
    *("search.population", "search.max_ops", "search.scoring.batch_size", "search.minimised"),
    *("search.latency_table", "search.start_with", "retrain.seeds", "retrain.distillation"),
    *("pretrain.method", "audit.networks", "audit", "x", "supernet.augment", "search", "", "a..b"),
)


def _stages() -> tuple[Any, ...]:
    from evaluate.audit.config import AuditStage
    from evaluate.retrain.config import RetrainStage
    from search.config import SearchStage
    from training.pretraining.config import PretrainStage
    from training.supernet_stage import SupernetStage

    return SupernetStage, SearchStage, RetrainStage, AuditStage, PretrainStage


def _architecture(path: Path, rng: Random) -> None:
    from supernet.architecture_file import load_architecture

    if rng.random() < 0.3:
        load_architecture(path, expected_space=SPACE)
        return
    from supernet.costs import cost

    space, architecture, _ = load_architecture(path)
    cost(space.decode(architecture))


def _table(path: Path, rng: Random) -> None:
    from latency_tables.table import load_table
    from search.limits.latency import LatencyConfig, open_latency

    if rng.random() < 0.5:
        load_table(path)
    else:
        trusting = rng.random() < 0.8
        latency = open_latency(
            LatencyConfig(latency_table=path, trust_latency_table=trusting), SPACE
        )
        assert latency is not None
        latency.predict(SPACE.decode(SPACE.first()))


def _measured(path: Path, rng: Random) -> None:
    from latency_tables.exchange import import_table

    where = {name: path.with_name(f"{name}.csv") for name in ("layers", "networks")}
    import_table(SPACE, where["layers"], Path("new.csv"), device="x", networks=where["networks"])


def _history(path: Path, rng: Random) -> None:
    from supernet.candidate import best
    from supernet.history_file import History, read_history

    before = path.read_bytes()
    candidates = read_history(path, SPACE)
    best(candidates, 3)
    with History(path, SPACE) as history:
        assert history.candidates == candidates
    # A torn last line is what a kill leaves; it alone may be cut off.
    after = path.read_bytes()
    assert before.startswith(after) and b"\n" not in before[len(after) : -1]
    path.write_bytes(before)


def _network(path: Path, rng: Random) -> None:
    import torch

    from training.network_file import load_network

    trained = load_network(path)
    spec = trained.network.spec
    if spec.image_size <= 64 and spec.in_channels <= 16:
        trained.network(torch.zeros(1, spec.in_channels, spec.image_size, spec.image_size))


def _weights(path: Path, rng: Random) -> None:
    from training.supernet_file import load_supernet

    load_supernet(path.parent)


def _others_weights(path: Path, rng: Random) -> None:
    from training.frozen.state_file import read_state

    read_state(path)


def _state(path: Path, rng: Random) -> None:
    from training.run_files.checkpoint import load_checkpoint

    load_checkpoint(path)


def _run_folder(path: Path, rng: Random) -> None:
    from evaluate.audit.report import AuditReport
    from evobit.watch.watching import Watch
    from search.coverage.coverage import supernet_of
    from search.results.export import open_search
    from training.run_files.folder import RunFolder, open_finished, read_config, stage_in

    run = path.parent
    what = rng.randrange(8)
    if what == 0:
        open_finished(run, str(stage_in(run)))
    elif what == 1:
        for one in Watch(run.parent).look():
            one.as_dict()
    elif what == 2:
        read_config(run)
    elif what == 3:
        RunFolder.open(run, rng.choice(("search", "supernet")), {"seed": 3, "space": {}})
    elif what == 4:
        AuditReport.read(run)
    elif what == 5:
        open_search(run)
    elif what == 6:
        supernet_of(run)
    else:
        RunFolder(run, "search").finished  # noqa: B018


def _packed(path: Path, rng: Random) -> None:
    import numpy as np

    from deploy import packed_file

    packed_file.is_packed(path)
    network = packed_file.load(path)
    plan = network.plan
    if plan.channels * plan.size**2 <= 2**22:
        logits = network(np.zeros((1, plan.channels, plan.size, plan.size), np.uint8))
        assert np.isfinite(logits).all()


def _image(path: Path, rng: Random) -> None:
    from supernet.files.image_view import View

    size, channels = rng.choice((8, 28, 96)), rng.choice((1, 3))
    pixels = View.usual(size, channels).read(path)
    assert pixels.shape == (channels, size, size)


_TENSORS = _often(
    header=tensor_files.in_header,
    metadata=tensor_files.in_metadata,
)
_MORE_TENSORS = {"header text": tensor_files.in_header_text, "numbers": tensor_files.in_numbers}
_JSON = _often(json=documents.in_json)
_TORCH = _often(archive=tensor_files.in_archive, state=tensor_files.in_state)

TARGETS: Mapping[str, Target] = {
    "config": Target(
        (*("tiny.yaml",) * 10, "configs/*.yaml"),
        {**_TEXT, **_often(yaml=documents.in_yaml, more_yaml=documents.in_yaml)},
        _config,
        9_000,
    ),
    "override": Target(
        ("tiny.yaml",), {"none": lambda rng, whole: whole}, _override, 6_000, ("--set",)
    ),
    "architecture": Target(("a.json",), {**_TEXT, **_JSON}, _architecture, 8_000),
    "latency-table": Target(
        ("latency.csv",),
        {**_TEXT, **_often(header=tables.in_header, cells=tables.in_cells)},
        _table,
        4_000,
    ),
    "measured-rows": Target(
        ("layers.csv", "networks.csv"), {**_TEXT, **_often(cells=tables.in_cells)}, _measured, 1_500
    ),
    "history": Target(
        (f"{SEARCH}/history.jsonl",),
        {**_TEXT, **_often(lines=documents.in_json_lines)},
        _history,
        6_000,
    ),
    "network": Target(
        ("net.safetensors",), {**damage.BYTES, **_TENSORS, **_MORE_TENSORS}, _network, 3_000
    ),
    "supernet": Target(
        (f"{SUPERNET}/supernet.safetensors",),
        {**damage.BYTES, **_TENSORS, **_MORE_TENSORS},
        _weights,
        1_000,
    ),
    "training-state": Target(("state.pt",), {**damage.BYTES, **_TORCH}, _state, 2_500),
    "others-weights": Target(("state.pt", "net.safetensors"), damage.BYTES, _others_weights, 1_000),
    "run-folder": Target(
        tuple(f"{run}/manifest.json" for run in (SEARCH, SUPERNET, RETRAIN, CUT)),
        {**_TEXT, **_JSON},
        _run_folder,
        6_000,
        (SEARCH, SUPERNET, RETRAIN, CUT),
    ),
    "packed": Target(("m.evobit",), {**damage.BYTES, **_TENSORS, **_MORE_TENSORS}, _packed, 5_000),
    "image": Target(
        tuple(f"images/{'ab'[len(name) % 2]}/{name}" for name in IMAGES),
        {**damage.BYTES, **_often(header=image_files.in_header)},
        _image,
        5_000,
    ),
}
