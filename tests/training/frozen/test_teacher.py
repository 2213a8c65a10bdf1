"""Teachers of every kind: what they are fed with, that they stay as they are, what is refused."""

from __future__ import annotations

import urllib.error
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import GoogLeNet_Weights, ResNet18_Weights, googlenet, resnet18

from supernet.files import UserError, sha256_file
from supernet.files.image_view import View
from supernet.network import build
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data import DataConfig
from training.data.normalisation import Normalisation
from training.frozen.config import DistillationConfig
from training.frozen.teacher import Teacher, check_teacher, open_teacher
from training.loop.losses import DistillationLoss
from training.network_file import TrainedNetwork, load_network, save_network

COLOUR = {
    "num_classes": 10,
    "in_channels": 3,
    "mean": (0.1, 0.2, 0.3),
    "std": (0.5, 0.25, 1.0),
    "size": 32,
}
GREY = {"num_classes": 4, "in_channels": 1, "mean": (0.5,), "std": (0.25,), "size": 8}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU = torch.device("cpu")

OWN = """
from torch import nn

def small(num_classes, in_channels):
    return nn.Sequential(
        nn.BatchNorm2d(in_channels), nn.Dropout(), nn.Flatten(),
        nn.Linear(64 * in_channels, num_classes),
    )

def wrong_classes(num_classes, in_channels):
    return small(num_classes + 1, in_channels)

def no_module(num_classes, in_channels):
    return "resnet34"

def failing(num_classes, in_channels):
    raise KeyError("no weights here")

def no_keywords():
    return None

not_callable = 3
"""


def opened(teacher: str | Path, weights: Path | None = None, **student: Any) -> Teacher:
    config = DistillationConfig(teacher=str(teacher), weights=weights)
    asked = {**COLOUR, **student}
    seen = Normalisation(asked["mean"], asked["std"], asked["size"])
    assert seen.channels == asked["in_channels"]
    return open_teacher(config, seen, num_classes=asked["num_classes"], device=CPU)


def pixels(channels: int, size: int) -> Tensor:
    """Two images in [0, 1]."""
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


def settled_resnet(num_classes: int) -> nn.Module:
    """A resnet18 with random weights whose BatchNorm statistics are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet18(num_classes=num_classes).train()
        with torch.no_grad():
            network(torch.randn(4, 3, 32, 32))
    return network.eval()


def own_logits(path: Path, x: Tensor) -> Tensor:
    """What the network of a file gives, in the memory format in which it is trained."""
    network = load_network(path).network.to(memory_format=torch.channels_last)
    with torch.no_grad():
        return network(x.contiguous(memory_format=torch.channels_last))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return settled_resnet(10)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


@pytest.fixture
def network_file(tmp_path: Path, tiny_space: MobileNetGroups) -> Callable[..., Path]:
    """Writes a network file of the tiny space, as training does, with random weights."""

    def write(mean: float = 0.5, std: float = 0.25) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build(tiny_space.decode(tiny_space.uniform(2)))
        trained = TrainedNetwork(
            network.eval(),
            tiny_space,
            tiny_space.uniform(2),
            Normalisation((mean,), (std,), 8),
            ("a", "b", "c", "d"),
            DataConfig(name="own.py:read", image_size=8),
            view=View.usual(network.spec.image_size, network.spec.in_channels),
        )
        save_network(tmp_path / "network.safetensors", trained)
        return tmp_path / "network.safetensors"

    return write


def as_torch(path: Path, state: dict[str, Tensor]) -> None:
    torch.save(OrderedDict(state), path)


def with_prefix(path: Path, state: dict[str, Tensor]) -> None:
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)


def as_checkpoint(path: Path, state: dict[str, Tensor]) -> None:
    torch.save({"epoch": 3, "state_dict": {f"module.{n}": t for n, t in state.items()}}, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("w.pth", as_torch),
        ("w.pth", with_prefix),
        ("w.pth", as_checkpoint),
        ("w.safetensors", lambda path, state: save_file(state, path)),
    ],
)
def test_torchvision_model_with_weights_of_a_file(
    tmp_path: Path, resnet: nn.Module, name: str, write: Callable[[Path, dict], None]
) -> None:
    write(tmp_path / name, resnet.state_dict())
    x = normalised(pixels(3, 32), COLOUR["mean"], COLOUR["std"])
    with torch.no_grad():
        expected = resnet(x)
    logits = opened("resnet18", tmp_path / name)(x)
    # Not bit for bit: the teacher's memory format is another, and with it the order of sums.
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_teacher_stays_as_it_is_and_opening_it_draws_nothing(
    tmp_path: Path, resnet: nn.Module
) -> None:
    as_torch(tmp_path / "w.pth", resnet.state_dict())
    random_state = torch.get_rng_state()
    teacher = opened("resnet18", tmp_path / "w.pth")
    assert torch.equal(torch.get_rng_state(), random_state)
    logits = teacher(torch.randn(4, 3, 32, 32).requires_grad_())
    assert not logits.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.module.parameters())
    assert not any(module.training for module in teacher.module.modules())
    state = teacher.module.state_dict()
    assert all(torch.equal(state[name], t) for name, t in resnet.state_dict().items())


def test_student_learns_from_a_teacher(tmp_path: Path, own: Path) -> None:
    teacher = opened(f"{own}:small", **GREY)
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    loss = DistillationLoss(teacher)
    x = torch.randn(8, 1, 8, 8)
    loss(student(x), loss.targets(x, torch.zeros(8, dtype=torch.int64))).backward()
    assert student[1].weight.grad.abs().sum() > 0
    assert teacher.module[3].weight.grad is None


@pytest.mark.parametrize("kind", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, resnet: nn.Module, kind: str
) -> None:
    state = dict(resnet.state_dict())
    if kind == "missing":
        del state["layer4.1.bn2.running_mean"]
        expected = r"w\.pth do not fit.* missing layer4\.1\.bn2\.running_mean$"
    elif kind == "extra":
        state["projector.weight"] = torch.zeros(1)
        expected = r"w\.pth do not fit.* unexpected projector\.weight$"
    else:
        state["fc.bias"] = torch.zeros(12)
        expected = r"fc\.bias is \(12,\), expected \(10,\)"
    as_torch(tmp_path / "w.pth", state)
    with pytest.raises(UserError, match=expected):
        opened("resnet18", tmp_path / "w.pth")


class Unsafe:
    """What a checkpoint may hold besides tensors, and what reading must not run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"state_dict": {}}, "holds no state_dict, expected tensors by name"),
        ({"fc.bias": torch.zeros(10), "epoch": 3}, "holds no state_dict"),
        ([torch.zeros(10)], "holds no state_dict"),
        ({"fc.bias": Unsafe()}, r"cannot be read \(damaged, or not of tensors alone\)"),
        (b"PK\x03\x04 cut off", "cannot be read"),
        (b"no pickle", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_files_that_hold_no_weights_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, content: object, expected: str
) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=expected) as refusal:
        opened("resnet18", path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""


def test_network_trained_here_teaches(network_file: Callable[..., Path]) -> None:
    path = network_file()
    x = normalised(pixels(1, 8), (0.5,), (0.25,))
    assert torch.equal(opened(path, **GREY)(x), own_logits(path, x))


def test_images_are_normalised_as_the_teacher_learned_them(
    network_file: Callable[..., Path],
) -> None:
    path = network_file(mean=0.2, std=0.4)
    images = pixels(1, 8)
    # Pixel 0.7 is (0.7 - 0.5) / 0.25 = 0.8 to the student and (0.7 - 0.2) / 0.4 = 1.25 to the
    # teacher: 0.8 * (0.25 / 0.4) + (0.5 - 0.2) / 0.4 = 0.5 + 0.75 = 1.25.
    seen: list[Tensor] = []
    teacher = opened(path, **GREY)
    teacher.module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    teacher(torch.full((1, 1, 8, 8), 0.8))
    assert torch.allclose(seen[0], torch.tensor(1.25))
    logits = teacher(normalised(images, (0.5,), (0.25,)))
    assert torch.allclose(seen[1], normalised(images, (0.2,), (0.4,)), atol=1e-6)
    assert torch.equal(logits, own_logits(path, seen[1]))
    assert not torch.allclose(logits, own_logits(path, normalised(images, (0.5,), (0.25,))))


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ({"num_classes": 10}, "has 4 classes, the student 10"),
        (
            {"in_channels": 3, "mean": (0.5,) * 3, "std": (1.0,) * 3},
            "has 1 channels, the student 3",
        ),
        ({"size": 32}, "has 8 pixels a side, the student 32"),
    ],
)
def test_network_of_another_shape_is_refused(
    network_file: Callable[..., Path], student: dict, expected: str
) -> None:
    with pytest.raises(UserError, match=f"teacher .*network.safetensors {expected}"):
        opened(network_file(), **{**GREY, **student})


def test_own_function_makes_a_teacher(tmp_path: Path, own: Path) -> None:
    torch.manual_seed(1)
    state = opened(f"{own}:small", **GREY).module.state_dict()
    save_file({name: tensor + 1 for name, tensor in state.items()}, tmp_path / "w.safetensors")
    teacher = opened(f"{own}:small", tmp_path / "w.safetensors", **GREY)
    loaded = teacher.module.state_dict()
    assert all(torch.equal(loaded[name], tensor + 1) for name, tensor in state.items())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(teacher(x), teacher(x)), "Dropout is off"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("wrong_classes", r"gives \(2, 5\) for 2 images, expected logits .*\(2, 4\)"),
        ("no_module", "returned a str, expected a torch.nn.Module"),
        ("failing", r"failed \(KeyError: 'no weights here'\)"),
        ("no_keywords", r"failed \(TypeError: .*called with num_classes and in_channels"),
        ("absent", "there is no function absent in .*own.py"),
        ("not_callable", "there is no function not_callable"),
    ],
)
def test_own_function_that_does_not_fit_is_refused(own: Path, function: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        opened(f"{own}:{function}", **GREY)
    with pytest.raises(UserError, match=r"cannot be fed with 1 channels of 16 x 16 pixels"):
        opened(f"{own}:small", **{**GREY, "size": 16})


@pytest.mark.parametrize(
    ("config", "student", "expected"),
    [
        ({"teacher": "resnet43"}, {}, "no classification model 'resnet43' .*did you mean 'resnet"),
        ({"teacher": "retinanet_resnet50_fpn"}, {}, "no classification model"),
        ({"teacher": "resnet34"}, {}, "pretrained weights have 1000 classes, the student 10"),
        ({"teacher": "resnet34"}, {"in_channels": 1}, "has 3 channels, the student 1"),
        ({"teacher": "resnet34", "weights": "no.pth"}, {}, "weights no.pth: there is no such file"),
        ({"teacher": "no.safetensors"}, {}, "teacher no.safetensors: there is no such file"),
        ({"teacher": "no_such_module:make"}, {}, "there is no module 'no_such_module'"),
    ],
)
def test_checked_before_work_starts(config: dict, student: dict, expected: str) -> None:
    shape = {"num_classes": 10, "in_channels": 3, **student}
    with pytest.raises(UserError, match=expected):
        check_teacher(DistillationConfig(**config), **shape)
    check_teacher(DistillationConfig(teacher="resnet34"), num_classes=1000, in_channels=3)


@pytest.mark.parametrize(
    "fields",
    [
        {"teacher": ""},
        {"teacher": "own.py:"},
        {"teacher": ":make"},
        {"teacher": "n.safetensors", "weights": "w.pth"},
        {"teacher": "resnet34", "temperature": 0},
        {"teacher": "resnet34", "label_weight": 1.5},
        {"teacher": "resnet34", "weight": 1},
    ],
)
def test_config_refuses(fields: dict) -> None:
    with pytest.raises(ValidationError):
        DistillationConfig(**fields)


def test_pretrained_weights_expect_their_own_normalisation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    published = settled_resnet(1000)
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda url, **options: published.state_dict(),
    )
    student = {"num_classes": 1000}
    images = pixels(3, 32)
    x = normalised(images, COLOUR["mean"], COLOUR["std"])
    with torch.no_grad():
        expected = published(normalised(images, IMAGENET_MEAN, IMAGENET_STD))
        as_student = published(x)
    assert not torch.allclose(expected, as_student, atol=0.01)
    assert torch.allclose(opened("resnet18", **student)(x), expected, rtol=1e-4, atol=1e-4)

    # The file of another is taken to be trained on the student's images; torchvision's own file,
    # known by the digits of its hash in its address, is what was downloaded above.
    path = tmp_path / "w.pth"
    as_torch(path, published.state_dict())
    own_weights = opened("resnet18", path, **student)
    assert torch.allclose(own_weights(x), as_student, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(
        ResNet18_Weights.DEFAULT.value, "url", f"https://x/resnet18-{sha256_file(path)[:8]}.pth"
    )
    offline = opened("resnet18", path, **student)
    assert torch.allclose(offline(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_published_weights_of_googlenet_transform_their_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, student = tmp_path / "w.pth", {"num_classes": 1000}
    as_torch(path, googlenet(num_classes=1000).state_dict())
    assert not opened("googlenet", path, **student).module.transform_input
    monkeypatch.setattr(
        GoogLeNet_Weights.DEFAULT.value, "url", f"https://x/googlenet-{sha256_file(path)[:8]}.pth"
    )
    assert opened("googlenet", path, **student).module.transform_input


def test_failed_download_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, **options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(UserError, match=r"downloading https.*resnet18.*distillation\.weights"):
        opened("resnet18", num_classes=1000)
