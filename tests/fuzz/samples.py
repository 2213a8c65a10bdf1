"""Valid files of every format, made by the program itself: what is then damaged."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import yaml
from PIL import Image

from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.conftest import READER
from tests.latency_tables.group_table import save_group_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SUPERNET, SEARCH, RETRAIN, AUDIT, CUT = (
    "runs/tiny-supernet",
    "runs/tiny-search",
    "runs/tiny-retrain",
    "runs/tiny-audit",
    "cut",
)

SPACE = MobileNetGroups(
    image_size=8,
    classes=4,
    in_channels=1,
    width=0.25,
    stem_stride=1,
    groups=(1, 2, 4),
    blocks=((64, 1), (64, 2), (128, 1)),
)
TRAINING = {"epochs": 1, "batch_size": 64, "tensorboard": False, "threads": 1}
STAGES = {
    "space": SPACE.describe(),
    "data": {"name": "bars.py:read", "image_size": 8, "search_fraction": 0.2},
    "supernet": {**TRAINING, "compile": "off"},
    "search": {
        **{"population": 4, "parents": 2, "mutations": 2, "crossovers": 1, "generations": 2},
        "feasibility_samples": 50,
        "scoring": {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16},
    },
    "audit": {
        **{"networks": 3, "top_k": [1], "bootstrap": 20},
        "scoring": {"calibration_images": [64], "calibration_batch": 32, "batch_size": 16},
    },
    "retrain": {**TRAINING, "compile": "off", "seeds": 2, "uniform": 1, "random": 1},
    "pretrain": {"batch_size": 32, "threads": 1},
    "seed": 3,
}
IMAGES = {
    **{"grey.png": {}, "colour.png": {}, "palette.png": {}, "deep.png": {}, "a.jpg": {}},
    **{"a.gif": {}, "a.bmp": {}, "a.webp": {}, "a.ppm": {}},
    **{"a.tif": {"compression": "tiff_lzw"}, "raw.tif": {}},
}


def make(folder: Path) -> None:
    """Fill `folder`: a config, trained networks, a search, runs, tables, images.

    A few seconds. What is printed on the way is dropped.
    """
    here = Path.cwd()
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            _make()
    finally:
        os.chdir(here)


def _make() -> None:
    Path("bars.py").write_text(READER)
    Path("tiny.yaml").write_text(yaml.safe_dump(STAGES, sort_keys=False))
    shutil.copytree(CONFIGS, "configs")
    save_architecture("a.json", SPACE, SPACE.first(), provenance={"run": "x", "limits": {}})
    save_group_table(Path("latency.csv"), SPACE, points=[[1.0, 1.1], [2.0, 2.2]])
    _write_measured()
    _write_images()
    _run("train-supernet", "tiny.yaml", "--run", SUPERNET, "--set", "supernet.checkpoint_seconds=0")
    _interrupted(
        "train-supernet", "tiny.yaml", "--run", CUT, "--set", "supernet.checkpoint_seconds=0"
    )
    shutil.copy(f"{CUT}/checkpoint.pt", "state.pt")
    _run("search", "tiny.yaml")
    measured = [
        {"index": index, "architecture": "0-0-0", "top1": 25.0 + index, "predicted_ms": 1.0,
         "measured_ms": 1.25, "kept": index == 1}
        for index in (0, 1)
    ]  # fmt: skip
    Path(SEARCH, "measured.json").write_text(json.dumps(measured))
    _write_progress()
    _run("retrain", "tiny.yaml", "a.json")
    _run("audit", "tiny.yaml", "--run", AUDIT)
    trained = min(Path(RETRAIN).rglob("*.safetensors"))
    shutil.copy(trained, "net.safetensors")
    _run("pack", "net.safetensors", "-o", "m.evobit")


def _run(*words: str) -> None:
    assert run(words) == 0, words


def _interrupted(*words: str) -> None:
    """A run that lacks its end."""
    from training.run_files.folder import RunFolder

    with mock.patch.object(RunFolder, "finish", side_effect=KeyboardInterrupt):
        assert run(words) == 1, words


def _write_measured() -> None:
    """What another device measured: layers and whole networks."""
    _run("latency-table", "export-layers", "--config", "tiny.yaml", "-o", "layers.csv",
         "--networks", "networks.csv")  # fmt: skip
    for name, at in (("layers.csv", 1), ("networks.csv", -1)):
        head, *rows = Path(name).read_text().splitlines()
        filled = []
        for number, row in enumerate(rows, start=1):
            if at == 1:
                layer, _, rest = row.split(",", 2)
                filled.append(f"{layer},{0.5 * number},{rest}")
            else:
                filled.append(f"{row}{0.5 * number}")
        Path(name).write_text("\n".join([head, *filled]) + "\n")


def _write_progress() -> None:
    progress = {
        **{"label": "supernet", "done": 3, "total": 8, "per_second": 1.5, "seconds_left": 3.3},
        **{"numbers": {"loss": 1.25}, "updated": 1e9, "pid": 1},
    }
    Path(CUT, ".progress.json").write_text(json.dumps(progress))


def _write_images() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
    for kind in ("a", "b"):
        Path("images", kind).mkdir(parents=True)
    for name, options in IMAGES.items():
        image = Image.fromarray(pixels)
        if name == "grey.png":
            image = image.convert("L")
        elif name in ("palette.png", "a.gif"):
            image = image.quantize(8)
        elif name == "deep.png":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        image.save(Path("images", "ab"[len(name) % 2], name), **options)
