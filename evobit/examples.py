"""One use of every command, as it is typed: what `--help` ends with."""

from __future__ import annotations

from typing import Any

EXAMPLES = {
    "demo": "evobit demo --dry-run",
    "train-supernet": "evobit train-supernet photos.yaml --set supernet.epochs=40",
    "search": "evobit search photos.yaml --workers 2 --set search.max_ops=3.2e6",
    "finals": "evobit finals photos.yaml runs/photos-search",
    "export": "evobit export runs/photos-search -o best.json --limit max_ops=3.2e6",
    "pretrain": "evobit pretrain photos.yaml best.json",
    "retrain": "evobit retrain photos.yaml best.json",
    "report": "evobit report runs/photos-retrain --html",
    "pack": "evobit pack runs/photos-retrain -o model.evobit --data photos/test",
    "predict": "evobit predict zoo:fashion-mnist-groups shirt.png shoes/ --top 3",
    "evaluate": "evobit evaluate model.evobit --data photos/test",
    "bench": "evobit bench zoo:fashion-mnist-groups --threads 2",
    "zoo": "evobit zoo --json",
    "watch": "evobit watch runs --once",
    "coverage": "evobit coverage runs/photos-supernet",
    "audit": "evobit audit photos.yaml --dry-run",
    "preview": "evobit preview photos.yaml --count 25 -o sheet.png",
    "cache": "evobit cache photos --size 224 -o photos-cache",
    "cost": "evobit cost --space mobilenet-groups --groups 4 --image-size 32",
    "doctor": "evobit doctor --no-ray",
    "latency-table build": "evobit latency-table build --config photos.yaml -o table.csv",
    "latency-table show": "evobit latency-table show table.csv --plot plots",
    "latency-table export-layers": (
        "evobit latency-table export-layers --config photos.yaml -o layers.csv"
    ),
    "latency-table import": (
        "evobit latency-table import times.csv --config photos.yaml --device phone -o table.csv"
    ),
}


def add_examples(app: Any, prefix: str = "") -> None:
    """Let the help of each of a Typer's commands end with its example."""
    for command in app.registered_commands:
        command.epilog = f"Example: {EXAMPLES[prefix + command.name]}"
    for group in app.registered_groups:
        add_examples(group.typer_instance, f"{group.name} ")
