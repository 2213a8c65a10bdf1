"""What mixing costs of a training step: mixup, CutMix, Attentive CutMix, Un-Mix."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import in_turns, write_result
from supernet.blocks.building import set_precision
from supernet.network import build, compile_units
from supernet.networks import network_spec
from training.augment.attention import Attention
from training.augment.batch import Batch
from training.augment.config import AttentionConfig, AugmentConfig, MixConfig
from training.augment.crops import draw_crops
from training.augment.mix import mix
from training.data.normalisation import Normalisation
from training.frozen.extractor import open_extractor
from training.pretraining.build import build_method
from training.pretraining.config import PretrainConfig
from training.pretraining.encoder import Encoder
from training.pretraining.unmix import draw_mixture

CLASSES, GRID = 1000, 7
SETTINGS = {
    # as in the tables of benchmarks/mixing.py, and as the papers train ImageNet
    "small": {"size": 32, "channels": 1, "width": 0.125, "batch": 64, "compiled": False},
    "large": {"size": 224, "channels": 3, "width": 1.0, "batch": 32, "compiled": True},
}


def sides_of(setting: dict, device: torch.device, folder: Path) -> dict[str, Callable[[], object]]:
    """A training step, a step of MoCo, and each way of mixing a batch, alone."""
    torch.manual_seed(0)
    size, channels, batch = setting["size"], setting["channels"], setting["batch"]
    spec = network_spec(
        "reactnet-a",
        image_size=size,
        classes=CLASSES,
        in_channels=channels,
        width=setting["width"],
    )
    network = build(spec).to(device=device, memory_format=torch.channels_last).train()
    if setting["compiled"]:
        set_precision(network, "bf16")
        compile_units(network)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    # Images are cropped one after the other in memory; a training lays channels last after mixing.
    images = torch.randn(batch, channels, size, size, device=device)
    labels = torch.randint(CLASSES, (batch,), device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        x = images.contiguous(memory_format=torch.channels_last)
        F.cross_entropy(network(x), labels).backward()
        optimiser.step()

    encoder = build(spec).to(device=device, memory_format=torch.channels_last)
    config = PretrainConfig(unmix="v5", batch_size=batch)
    method = build_method(Encoder(encoder), config).to(device).train()
    pretrained = torch.optim.Adam(method.online.parameters(), fused=True)
    rng = Random(0)

    def pretraining_step() -> None:
        pretrained.zero_grad(set_to_none=True)
        x = images.contiguous(memory_format=torch.channels_last)
        mixture = draw_mixture(images, config.whole_share, config.beta, rng)
        method.loss(x, x, mixture).backward()
        pretrained.step()
        method.after_step(0.5)

    # ResNet-50 as torchvision has it; what its weights are does not change its time.
    from torchvision.models import resnet50

    torch.save(resnet50().state_dict(), folder / "resnet50.pth")
    attention = AttentionConfig(extractor="resnet50", weights=folder / "resnet50.pth", grid=GRID)
    seen = Normalisation((0.5,) * channels, (0.25,) * channels, size)
    extractor = open_extractor(
        attention.network, None, GRID, seen, num_classes=CLASSES, device=device
    )
    known = torch.rand(10_000, GRID, GRID, device=device).half()
    numbers = torch.randint(len(known), (batch,))
    crops = draw_crops(batch, size, AugmentConfig(), size, torch.Generator().manual_seed(0))
    configs = {
        "mixup": MixConfig(name="mixup", probability=1),
        "CutMix": MixConfig(name="cutmix", probability=1),
        "Attentive CutMix": MixConfig(name="attentive-cutmix", probability=1, attention=attention),
    }

    def mixing(name: str, look: Attention) -> Callable[[], object]:
        def attend(grid: int) -> torch.Tensor:
            return look(images, numbers, crops, grid)

        given = Batch(images, labels)
        return lambda: mix(given, [configs[name]], CLASSES, rng, attend=attend)

    kept, live = Attention(extractor, known, device), Attention(extractor, None, device)
    return {
        "training step": step,
        "mixup": mixing("mixup", kept),
        "CutMix": mixing("CutMix", kept),
        "Attentive CutMix, kept": mixing("Attentive CutMix", kept),
        "Attentive CutMix, ResNet-50 at every step": mixing("Attentive CutMix", live),
        "MoCo step with Un-Mix": pretraining_step,
        "Un-Mix": lambda: draw_mixture(images, config.whole_share, config.beta, rng),
    }


def measure(setting: dict, device: torch.device, rounds: int) -> dict[str, object]:
    """Median milliseconds of each side, and the share of its step that each mixing takes."""

    def finished(side: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            side()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    with tempfile.TemporaryDirectory() as folder:
        sides = sides_of(setting, device, Path(folder))
        sides = {name: finished(side) for name, side in sides.items()}
        for side in sides.values():
            for _ in range(3):  # compiles, and fills caches
                side()
        seconds = in_turns(sides, rounds)
    steps = {"Un-Mix": "MoCo step with Un-Mix"}
    rows: dict[str, object] = {}
    for name, values in seconds.items():
        row = {"ms": round(1e3 * statistics.median(values), 3), "n": len(values)}
        if "step" not in name.split(",")[0]:
            whole = seconds[steps.get(name, "training step")]
            low, middle, high = statistics.quantiles(
                [100 * one / step for one, step in zip(values, whole, strict=True)], n=4
            )
            row |= {
                "percent_of_step": round(middle, 2),
                "quartiles": [round(low, 2), round(high, 2)],
            }
        rows[name] = row
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    rows = {
        name: {**SETTINGS[name], **measure(SETTINGS[name], device, arguments.rounds)}
        for name in arguments.settings
    }
    write_result("mixing_cost", {"device": arguments.device, "threads": 1, **rows})


if __name__ == "__main__":
    main()
