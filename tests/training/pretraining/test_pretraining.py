"""Pre-training: losses against arithmetic, queue and target, views, probes, exact resume."""

import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from supernet.architecture_file import save_architecture
from supernet.files import UserError, load_weights
from supernet.network import build
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data.normalisation import Normalisation
from training.network_file import load_network
from training.pretraining.build import build_method, draw_inputs
from training.pretraining.byol import BYOL
from training.pretraining.config import PretrainConfig, PretrainStage
from training.pretraining.contrastive import info_nce, nt_xent, squared_distance
from training.pretraining.encoder import Encoder, num_features
from training.pretraining.moco import MoCo
from training.pretraining.probes import fit_line, linear_top1, neighbour_top1
from training.pretraining.run import pretrain
from training.pretraining.unmix import Mixture, reverse
from training.pretraining.views import ViewConfig, draw_view, jitter
from training.run_files.checkpoint import load_checkpoint
from training.seeds import torch_stream

SMALL = {
    "epochs": 2, "batch_size": 16, "queue": 64, "projection": 8, "learning_rate": 0.01,
    "threads": 1, "tensorboard": False, "checkpoint_seconds": 0, "neighbours": 5,
}  # fmt: skip
METHODS = ["moco", "simclr", "byol", "swav"]


def small(**changes: object) -> dict:
    """Settings for the tiny data, without the queue where there is none."""
    given = {**SMALL, **changes}
    if given.get("method", "moco") != "moco" and "queue" not in changes:
        del given["queue"]
    return given


def stage_of(stages: dict, **changes: object) -> PretrainStage:
    return PretrainStage(
        space=stages["space"], data=stages["data"], pretrain=small(**changes), seed=3
    )


@pytest.fixture
def architecture(tiny_space: MobileNetGroups, tmp_path: Path) -> Path:
    path = tmp_path / "a.json"
    save_architecture(path, tiny_space, tiny_space.first())
    return path


@pytest.fixture
def encoder(tiny_space: MobileNetGroups) -> Encoder:
    torch.manual_seed(0)
    return Encoder(build(tiny_space.decode(tiny_space.first())))


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=1)


@pytest.mark.parametrize(
    ("negatives", "temperature", "expected"),
    [(4096, 0.1, 0.170551), (65536, 0.2, 6.092617)],  # [source]: log(1 + K exp(-1 / T))
)
def test_info_nce_of_equal_rows_and_orthogonal_negatives(
    negatives: int, temperature: float, expected: float
) -> None:
    row = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    queue = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(negatives, 2)
    assert info_nce(row, row, queue, temperature).item() == pytest.approx(expected, abs=1e-6)


def test_gradient_of_info_nce() -> None:
    torch.manual_seed(0)
    query, key, queue = unit(1, 4).requires_grad_(), unit(1, 4), unit(6, 4)
    info_nce(query, key, queue, 0.2).backward()
    with torch.no_grad():
        p = (torch.cat([query @ key.T, query @ queue.T], 1) / 0.2).softmax(1)
        expected = (p[:, 1:] @ queue - (1 - p[:, :1]) * key) / 0.2
    torch.testing.assert_close(query.grad, expected)


def test_nt_xent() -> None:
    """Two images whose views agree and which are orthogonal: e^(1/T) against it and two e^0."""
    rows = torch.eye(2)
    expected = math.log(1 + 2 * math.exp(-1 / 0.5))
    assert nt_xent(rows, rows, 0.5).item() == pytest.approx(expected)
    # Views swapped between the images: e^0 against e^(1/T) and two e^0.
    expected = math.log(2 + math.exp(1 / 0.5))
    assert nt_xent(rows, rows.flip(0), 0.5).item() == pytest.approx(expected)


def test_squared_distance_of_unit_rows() -> None:
    torch.manual_seed(0)
    p, t = unit(5, 3), unit(5, 3)
    expected = (p - t).square().sum(1).mean()
    torch.testing.assert_close(squared_distance(p, t), expected)
    assert squared_distance(p, p).item() == pytest.approx(0, abs=1e-6)


def test_features_are_what_the_head_reads(tiny_space: MobileNetGroups) -> None:
    network = build(tiny_space.decode(tiny_space.first())).eval()
    encoder, x = Encoder(network).eval(), torch.randn(3, 1, 8, 8)
    assert torch.equal(network.head.linear(encoder(x)), network(x))
    assert encoder(x).shape == (3, num_features(network.spec))
    # Names are the network's; nothing of the head learns.
    assert {*encoder.state_dict()} == {n for n in network.state_dict() if "head" not in n}


def test_a_network_without_a_linear_end_is_refused() -> None:
    space = space_from_description(
        {"name": "network", "network": "binarynet", "image_size": 32, "classes": 10}
    )
    with pytest.raises(UserError, match="ends with a block of LogitsSpec"):
        num_features(space.decode(space.first()))


def moco_of(encoder: Encoder, **changes: object) -> MoCo:
    method = build_method(encoder, PretrainConfig(**small(method="moco", **changes)))
    assert isinstance(method, MoCo)
    return method


def test_a_linear_head(encoder: Encoder) -> None:
    """`hidden: 0`: the projection is one linear layer, as a network's own last one."""
    method = moco_of(encoder, hidden=0)
    (layer,) = method.online.layers[0]
    assert isinstance(layer, nn.Linear) and layer.weight.shape == (8, encoder.num_features)
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(method.online(x), F.normalize(layer(encoder(x)), dim=1))
    assert len(moco_of(encoder).online.layers[0]) == 3  # as features, a ReLU, the rows


def test_moco_puts_keys_over_the_oldest(encoder: Encoder) -> None:
    method = moco_of(encoder, queue=48)
    assert torch.allclose(method.queue.norm(dim=1), torch.ones(48))
    before = method.queue.clone()
    batches = [(torch.randn(16, 1, 8, 8), torch.randn(16, 1, 8, 8)) for _ in range(4)]
    for first, second in batches:
        method.loss(first, second, None)
        method.after_step(0.5)
    assert method.position.item() == 4 * 16 % 48
    with torch.no_grad():
        keys = [method.target(second) for _, second in batches]
    # Nothing moved the encoder, so its keys are the same again: the fourth lies over the first.
    torch.testing.assert_close(method.queue, torch.cat([keys[3], keys[1], keys[2]]))
    assert not torch.allclose(method.queue[:16], before[:16])


@pytest.mark.parametrize("symmetric", [False, True])
def test_moco_loss_with_un_mix(encoder: Encoder, symmetric: bool) -> None:
    """L12 (+ L21) + s (m1 + m2) + (1 - s) (both reversed), from queries of the parts."""
    method = moco_of(encoder, symmetric=symmetric)
    first, second, mixed = (torch.randn(16, 1, 8, 8) for _ in range(3))
    q1, q2, qm = (method.online(x) for x in (first, second, mixed))
    k1, k2 = method.target(first), method.target(second)

    def nce(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return info_nce(queries, keys, method.queue, 0.1)

    plain = nce(q1, k2) + (nce(q2, k1) if symmetric else 0)
    parts = [k2, k1] if symmetric else [k2]
    of_mixture = sum(0.3 * nce(qm, k) + 0.7 * nce(reverse(qm), k) for k in parts)
    torch.testing.assert_close(method.loss(first, second, None), plain)
    torch.testing.assert_close(method.loss(first, second, Mixture(mixed, 0.3)), plain + of_mixture)
    method.after_step(0.5)
    # Keys of the unmixed views alone are queued.
    queued = torch.cat([k2, k1]) if symmetric else k2
    torch.testing.assert_close(method.queue[: len(queued)], queued)


@pytest.mark.parametrize("kind", ["simclr", "byol"])
def test_un_mix_of_the_other_methods(encoder: Encoder, kind: str) -> None:
    method = build_method(encoder, PretrainConfig(**small(method=kind)))
    first, second, mixed = (torch.randn(16, 1, 8, 8) for _ in range(3))
    z1, z2, zm = (method.online(x) for x in (first, second, mixed))
    if isinstance(method, BYOL):
        t1, t2 = method.target(first), method.target(second)
        plain = squared_distance(z1, t2) + squared_distance(z2, t1)

        def of(rows: torch.Tensor) -> torch.Tensor:
            return squared_distance(rows, t1) + squared_distance(rows, t2)
    else:
        plain = nt_xent(z1, z2, 0.1)

        def of(rows: torch.Tensor) -> torch.Tensor:
            return nt_xent(rows, z2, 0.1)

    expected = plain + 0.3 * of(zm) + 0.7 * of(zm.flip(0))
    torch.testing.assert_close(method.loss(first, second, Mixture(mixed, 0.3)), expected)


@pytest.mark.parametrize("kind", ["moco", "byol"])
def test_the_target_follows_without_gradients(encoder: Encoder, kind: str) -> None:
    method = build_method(encoder, PretrainConfig(**small(method=kind, momentum=0.75)))
    target = dict(method.target.named_parameters())
    before = {name: parameter.clone() for name, parameter in target.items()}
    with torch.no_grad():
        for parameter in method.online.parameters():
            parameter.add_(1)
    method.loss(torch.randn(16, 1, 8, 8), torch.randn(16, 1, 8, 8), None).backward()
    method.after_step(0.5)
    # 1 - m: a quarter; BYOL's at half of its steps half of that.
    moved = 0.25 if kind == "moco" else 0.125
    for name, parameter in target.items():
        assert parameter.grad is None
        torch.testing.assert_close(parameter, before[name] + moved)


def test_views_are_drawn_from_the_generator_alone() -> None:
    images = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8)
    seen = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 12)

    def view(step: int) -> torch.Tensor:
        return draw_view(images, ViewConfig(), seen, torch_stream(0, "view", step))

    assert view(1).shape == (12, 3, 12, 12)
    assert torch.equal(view(1), view(1)) and not torch.equal(view(1), view(2))
    assert view(1).abs().max() <= 2 + 1e-5  # pixels in [0, 1], less 0.5, over 0.25


def test_jitter() -> None:
    """Pixels 0.2 and 0.4 by 1.5: 0.3 and 0.6; twice as far from their mean 0.45: 0.15 and 0.75."""
    x = torch.tensor([0.2, 0.4]).view(1, 1, 1, 2)
    factors = torch.tensor([1.5, 2.0]).view(2, 1, 1, 1, 1)
    assert jitter(x, factors[0], factors[1]).flatten().tolist() == pytest.approx([0.15, 0.75])
    assert jitter(x, factors[0] * 10, factors[1]).flatten().tolist() == [1, 1]  # 3 and 6, clamped


@pytest.mark.parametrize("unmix", ["none", "v5", "v1"])
def test_inputs_are_a_function_of_seed_and_step(unmix: str) -> None:
    images = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8)
    seen = Normalisation((0.5,), (0.25,), 8)
    config = PretrainConfig(**small(unmix=unmix))
    drawn = [draw_inputs(images, config, seen, 0, step) for step in (4, 4, 5)]
    assert torch.equal(drawn[0][0], drawn[1][0]) and not torch.equal(drawn[0][0], drawn[2][0])
    assert not torch.equal(drawn[0][0], drawn[0][1])
    mixtures = [mixture for _, _, mixture in drawn]
    if unmix != "v5":
        assert mixtures == [None, None, None]
        return
    assert mixtures[0].share == mixtures[1].share != mixtures[2].share
    assert torch.equal(mixtures[0].images, mixtures[1].images)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"method": "byol", "temperature": 0.2},
            "temperature is for method moco or simclr or swav",
        ),
        ({"method": "simclr", "queue": 64}, "queue is for method moco or swav"),
        ({"prototypes": 30}, "prototypes is for method swav, not for moco"),
        ({"method": "swav", "momentum": 0.9}, "momentum is for method moco or byol, not for swav"),
        ({"queue": 0}, "queue 0 must be a multiple of the 512 keys"),
        ({"beta": 0.5}, "beta is for unmix v5, not for none"),
        ({"unmix": "v5", "image_mixture": {"whole_rounds": 1}}, "image_mixture is for unmix v1"),
        ({"queue": 40, "batch_size": 16}, "queue 40 must be a multiple of the 16 keys"),
        ({"queue": 48, "batch_size": 16, "symmetric": True}, "a multiple of the 32 keys"),
        ({"calibration_images": 8, "batch_size": 16, "queue": 64}, "less than one batch of 16"),
        ({"optimiser": {"bop": {}}, "binarization": {"weights": "real"}}, "flips binary weights"),
    ],
)
def test_settings_that_do_not_fit(changes: dict, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PretrainConfig(**changes)


def test_weighted_neighbours() -> None:
    """One neighbour at cosine 1 outvotes two of another class at cosine 0.8 when T is small."""
    known = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]]), torch.tensor([0, 1, 1])
    asked = torch.tensor([[5.0, 0.0]]), torch.tensor([0])

    def top1(neighbours: int, temperature: float) -> float:
        return neighbour_top1(
            known, asked, num_classes=2, neighbours=neighbours, temperature=temperature
        )

    assert top1(3, 0.1) == 100  # 1 against 2 exp(-0.2 / 0.1) = 0.27
    assert top1(3, 1.0) == 0  # 1 against 2 exp(-0.2) = 1.64
    assert top1(1, 1.0) == 100
    assert top1(200, 0.01) == 100  # all three vote; 1 / T overflows no exponential


def test_a_line_between_two_clouds() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    rows = torch.randn(200, 5, generator=generator)
    known = rows, labels
    assert linear_top1(fit_line(known, num_classes=2), known) < 80
    rows[:, 3] += 100 + 8.0 * labels
    known, asked = (rows[:100], labels[:100]), (rows[100:], labels[100:])
    assert linear_top1(fit_line(known, num_classes=2), asked) == 100


def test_the_line_is_on_features_as_they_are() -> None:
    """Scaled and moved features, one of them always the same, give the very same logits."""
    torch.manual_seed(0)
    labels = torch.arange(90) % 3
    rows = torch.randn(90, 4) + F.one_hot(labels, 4)
    rows[:, 3] = 7.0
    line = fit_line((rows, labels), num_classes=3)
    assert line.weight[:, 3].abs().max() < 1e-3
    moved = fit_line((50 + 1e-2 * rows, labels), num_classes=3)
    logits, expected = F.linear(50 + 1e-2 * rows, *moved), F.linear(rows, *line)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_to_its_end(
    stages: dict, tmp_path: Path, architecture: Path, kind: str
) -> None:
    unmix = {"moco": "none", "simclr": "v1", "byol": "v5", "swav": "v5"}[kind]
    weights = {"binarization": {"weights": "real", "activations": "relu"}} if kind == "byol" else {}
    stage = stage_of(
        stages, method=kind, unmix=unmix, epochs=4, optimiser={"name": "adam"}, **weights
    )
    summary = pretrain(stage, architecture, tmp_path / "run")
    assert summary["steps"] == 4 * (128 // 16)
    assert set(summary["search_split"]) == {"neighbour_top1", "linear_top1", "images"}
    assert summary["search_split"]["images"] == 32
    trained = load_network(tmp_path / "run" / "encoder.safetensors")
    assert trained.binarization == stage.pretrain.binarization
    assert pretrain(stage, architecture, tmp_path / "run") == summary  # finished: nothing to do
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "train"] == [32]
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize("kind", METHODS)
def test_images_are_told_apart(encoder: Encoder, kind: str) -> None:
    """Views are an image and the image with noise; every step has images of its own."""
    method = build_method(encoder, PretrainConfig(**small(method=kind)))
    for _ in range(4):  # a queue of real keys: random ones are too easy
        method.loss(torch.randn(16, 1, 8, 8), torch.randn(16, 1, 8, 8), None)
        method.after_step(0)
    optimiser = torch.optim.Adam(method.online.parameters(), 0.01)
    losses = []
    for step in range(60):
        first = torch.randn(16, 1, 8, 8)
        optimiser.zero_grad()
        loss = method.loss(first, first + 0.1 * torch.randn(16, 1, 8, 8), None)
        loss.backward()
        optimiser.step()
        method.after_step(step / 60)
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("kind", METHODS)
def test_resumed_equals_uninterrupted(
    stages: dict, tmp_path: Path, architecture: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Cut after step 5 of 16: queue, target and optimiser go through the checkpoint."""
    stage = stage_of(stages, method=kind, unmix="v5")
    whole = pretrain(stage, architecture, tmp_path / "whole")
    method = type(build_method(_encoder_of(stages), stage.pretrain))
    real, calls = method.loss, []

    def cut(self: nn.Module, *inputs: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(self, *inputs)

    with monkeypatch.context() as patched:
        patched.setattr(method, "loss", cut)
        with pytest.raises(KeyboardInterrupt):
            pretrain(stage, architecture, tmp_path / "cut")
    state = load_checkpoint(tmp_path / "cut" / "checkpoint.pt")
    assert state["step"] == 5
    if kind == "moco":
        assert state["method"]["position"] == 5 * 16 % 64
    assert pretrain(stage, architecture, tmp_path / "cut") == whole
    found, expected = (
        load_weights(tmp_path / name / "encoder.safetensors")[0] for name in ("cut", "whole")
    )
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def _encoder_of(stages: dict) -> Encoder:
    space = space_from_description(stages["space"])
    return Encoder(build(space.decode(space.first())))


def test_bop_flips_binary_weights(stages: dict, tmp_path: Path, architecture: Path) -> None:
    bop = {"name": "adam", "bop": {"gamma": 0.01}}
    stage = stage_of(stages, optimiser=bop, calibration_images=64)
    pretrain(stage, architecture, tmp_path / "run")
    tensors, _ = load_weights(tmp_path / "run" / "encoder.safetensors")
    binary = [t for name, t in tensors.items() if name.endswith("spatial.conv.weight")]
    assert binary and all(torch.equal(t.abs(), torch.ones_like(t)) for t in binary)


def test_refused_before_a_folder_is_made(stages: dict, tmp_path: Path, architecture: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match="expected the architecture file"):
        pretrain(stage_of(stages), None, run)
    with pytest.raises(UserError, match="batch_size 256 is larger than the 128"):
        pretrain(stage_of(stages, batch_size=256, queue=256), architecture, run)
    with pytest.raises(UserError, match="are more than the 128 training images"):
        pretrain(stage_of(stages, calibration_images=200), architecture, run)
    assert not run.exists()
