"""What commands are run on damaged files: words each, and which of their files are damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.fuzz.damage import BYTES, LINES, Damage
from tests.fuzz.samples import AUDIT, CUT, IMAGES, RETRAIN, SEARCH, SUPERNET
from tests.fuzz.targets import TARGETS

_RUN_FILES = {
    SUPERNET: ("manifest.json", "config.yaml", "log.jsonl", "supernet.safetensors"),
    SEARCH: ("manifest.json", "config.yaml", "history.jsonl", "feasibility.json", "measured.json"),
    RETRAIN: ("manifest.json", "config.yaml", "log.jsonl"),
    AUDIT: ("manifest.json", "config.yaml", "log.jsonl", "audit.json"),
    CUT: ("manifest.json", "config.yaml", "log.jsonl", "checkpoint.pt", ".progress.json"),
}
_ALL_IMAGES = tuple(f"images/{'ab'[len(name) % 2]}/{name}" for name in IMAGES)


@dataclass(frozen=True)
class Command:
    """Its words, the files to damage one of, and the file or folder that it may change."""

    words: str
    files: Sequence[str]
    writes: str = "nothing"
    needs_torch: bool = False
    """Takes seconds to start: fewer of these are run as programs."""


def _of(*runs: str) -> tuple[str, ...]:
    return tuple(f"{run}/{name}" for run in runs for name in _RUN_FILES[run])


_LATENCY = "search.latency_table=latency.csv"

COMMANDS: Sequence[Command] = (
    Command("cost a.json", ("a.json",)),
    Command("cost a.json --json", ("a.json",)),
    Command("cost a.json --verify", ("a.json",), needs_torch=True),
    Command("watch runs --once", _of(SUPERNET, SEARCH, RETRAIN)),
    Command("watch runs --once --json", _of(SUPERNET, SEARCH, RETRAIN)),
    Command(f"watch {CUT} --once", _of(CUT)),
    Command("predict m.evobit images/b/a.jpg --json", ("m.evobit", *_ALL_IMAGES)),
    Command("predict m.evobit images", ("m.evobit", *_ALL_IMAGES)),
    Command("bench m.evobit --rounds 3 --no-torch", ("m.evobit",)),
    Command("latency-table show latency.csv", ("latency.csv",)),
    Command("latency-table show latency.csv --plot plots --json", ("latency.csv",)),
    Command(
        "latency-table import layers.csv --config tiny.yaml -o new.csv --device x "
        "--networks networks.csv",
        ("layers.csv", "networks.csv"),
        needs_torch=True,
    ),
    Command(f"export {SEARCH} -o new.json", _of(SEARCH), needs_torch=True),
    Command(f"export {SEARCH} --pareto -o front", _of(SEARCH), needs_torch=True),
    Command(f"export {SEARCH} --limit max_ops=1e12 -o new.json", _of(SEARCH), needs_torch=True),
    Command(f"report {RETRAIN}", _of(RETRAIN), RETRAIN, needs_torch=True),
    Command(f"report {AUDIT}", _of(AUDIT), needs_torch=True),
    Command(f"report {SEARCH} --html -o new.html", _of(SEARCH, SUPERNET), needs_torch=True),
    Command(
        f"report {RETRAIN} --html -o new.html --svg plots",
        _of(RETRAIN, SEARCH, SUPERNET),
        RETRAIN,
        needs_torch=True,
    ),
    Command(f"coverage {SUPERNET}", _of(SUPERNET), needs_torch=True),
    Command(f"coverage {SEARCH} --json", _of(SEARCH), needs_torch=True),
    Command("search tiny.yaml --dry-run", ("tiny.yaml",), needs_torch=True),
    Command(f"search tiny.yaml --dry-run --set {_LATENCY}", ("latency.csv",), needs_torch=True),
    Command(
        "search tiny.yaml --dry-run --set search.start_with=[a.json]",
        ("a.json",),
        needs_torch=True,
    ),
    Command("train-supernet tiny.yaml --dry-run", ("tiny.yaml",), needs_torch=True),
    Command("retrain tiny.yaml a.json --dry-run", ("tiny.yaml", "a.json"), needs_torch=True),
    Command("audit tiny.yaml --dry-run", ("tiny.yaml",), needs_torch=True),
    Command("pretrain tiny.yaml a.json --dry-run", ("tiny.yaml", "a.json"), needs_torch=True),
    Command(
        f"search tiny.yaml --run {SEARCH} --supernet {SUPERNET}",
        (*_of(SEARCH), f"{SUPERNET}/supernet.safetensors", f"{SUPERNET}/manifest.json"),
        SEARCH,
        needs_torch=True,
    ),
    Command(
        f"search tiny.yaml --run {SEARCH} --supernet {SUPERNET} --set search.generations=3",
        _of(SEARCH),
        SEARCH,
        needs_torch=True,
    ),
    Command(
        f"train-supernet tiny.yaml --run {CUT} --set supernet.checkpoint_seconds=0",
        _of(CUT),
        CUT,
        needs_torch=True,
    ),
    Command("evaluate net.safetensors", ("net.safetensors",), needs_torch=True),
    Command("evaluate m.evobit --against net.safetensors", ("m.evobit",), needs_torch=True),
    Command("pack net.safetensors -o new.evobit", ("net.safetensors",), needs_torch=True),
    Command("export net.safetensors -o new.safetensors", ("net.safetensors",), needs_torch=True),
    Command(
        "export m.evobit --format c -o new --data images",
        ("m.evobit", "m.evobit.md"),
        needs_torch=True,
    ),
    *(
        Command(
            f"export net.safetensors --format {name} -o new.{suffix}",
            ("net.safetensors",),
            needs_torch=True,
        )
        for name, suffix in (("onnx", "onnx"), ("torch", "pt2"), ("openvino", "xml"))
    ),
    Command(
        "bench m.evobit --rounds 3 --no-torch --card", ("m.evobit", "m.evobit.md"), "m.evobit.md"
    ),
    Command("cache images -o cached --size 16", _ALL_IMAGES, needs_torch=True),
)


def kinds_of(file: str) -> Mapping[str, Damage]:
    """The damages of a file's format."""
    name = file.rpartition("/")[2]
    suffix = name.rpartition(".")[2]
    by_suffix = {
        **{"yaml": "config", "json": "architecture", "jsonl": "history", "pt": "training-state"},
        **{"safetensors": "network", "evobit": "packed"},
    }
    if suffix == "md":
        return {**BYTES, **LINES}
    if suffix == "csv":
        return TARGETS["latency-table" if name == "latency.csv" else "measured-rows"].kinds
    return TARGETS[by_suffix.get(suffix, "image")].kinds
