"""Packing is judged by differences that nothing explains, not by how many images differ."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.checking import ClassCheck, RunsPlan, check_classes
from deploy.engine.packed_network import PackedNetwork
from deploy.kernels import library
from deploy.kernels.shapes import Floats
from deploy.lowering.network import pack
from deploy.plan.parameters import Parameters, operation_parameters
from evaluate.shipping import c_exporting
from evaluate.shipping.checked_images import check_images
from evaluate.shipping.packing import pack_checkpoint
from evaluate.shipping.written import Refused
from supernet.files.image_view import View
from supernet.network import Network
from supernet.spaces import space_from_description
from tests.deploy.networks import SMALL, random_images, random_network
from training.data import DataConfig
from training.data.normalisation import Normalisation
from training.data.test_part import open_test_part
from training.network_file import TrainedNetwork, save_network

OPTIONS = {**SMALL, "rsign": True, "shortcut": "conv", "activation": "rprelu"}
UNIT = "block6_pointwise"
DATA = DataConfig(name="fashion-mnist-mini")
SEEN = Normalisation((0.3,), (0.35,), 32)
IMAGES = 12
needs_native = pytest.mark.skipif(library.load() is None, reason="kernels are not installed")


def packed_of(network: Network) -> PackedNetwork:
    return pack(network, SEEN.mean, SEEN.std, ())


def images_of(count: int = IMAGES) -> torch.Tensor:
    network = random_network(OPTIONS)
    return random_images(network, count, torch.Generator().manual_seed(1))


def input_of(network: Network, images: torch.Tensor) -> torch.Tensor:
    """What `UNIT` reads, (N, C, H, W)."""
    seen = []
    hook = network.get_submodule(UNIT).register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.inference_mode():
        network(images)
    hook.remove()
    return seen[0]


def on_the_edge(
    right: Callable[[torch.Tensor], torch.Tensor],
    logits: Callable[[torch.Tensor], torch.Tensor],
    other: Callable[[], PackedNetwork],
    network: Network,
    images: torch.Tensor,
) -> None:
    """Make one sign of `network` lie at its threshold, and one image's class hang on it.

    `right` is what a side has before `UNIT`, of which rounding makes `other` something less; the
    first such value of image 3 becomes the threshold of its channel. `logits` are the side's.
    """
    packed = other()
    place = [operation.name for operation in packed.plan.operations].index(UNIT)
    source = packed.plan.operations[place].source
    found = torch.from_numpy(packed.values(images.numpy())[source]).permute(0, 3, 1, 2)
    expected = right(images)
    channel, row, column = (expected[3] > found[3]).nonzero()[0].tolist()
    limit = expected[3, channel, row, column]
    assert 0 < limit - found[3, channel, row, column] < 1e-5 * expected.abs().max()
    with torch.no_grad():
        network.get_submodule(UNIT).sign.beta.data[channel] = -limit
        # The two classes that the sign sets furthest apart, the others far below.
        ours, theirs = logits(images)[3], torch.from_numpy(other()(images.numpy()))[3]
        change = ours - theirs
        up, down = int(change.argmax()), int(change.argmin())
        assert change[up] - change[down] > 1e-3
        middle = (ours[up] - ours[down] + theirs[up] - theirs[down]) / 2
        bias = network.head.linear.bias
        others = [i for i in range(len(bias)) if i not in (up, down)]
        bias[others] -= 100
        bias[up] -= middle


@pytest.fixture
def edged() -> tuple[Network, torch.Tensor]:
    network, images = random_network(OPTIONS), images_of()
    on_the_edge(
        lambda x: input_of(network, x), network, lambda: packed_of(network), network, images
    )
    return network, images


def test_a_class_that_hangs_on_a_sign_at_its_threshold(
    edged: tuple[Network, torch.Tensor],
) -> None:
    """1 of 12 was too many for 99.9 %."""
    network, images = edged
    with torch.inference_mode():
        check = check_classes(network, packed_of(network), images.split(5))
    assert check.images == IMAGES and check.same_class == IMAGES - 1
    assert check.differing == 1 and check.untraced == 0 and check.ok
    assert check.where == {UNIT: 1}
    assert check.as_dict()["signs_turned_at"] == f"{UNIT} (1)"


def wrong(network: Network, name: str, kind: str, change: Callable[[Floats], None]) -> RunsPlan:
    """The packed network with other numbers in one operation."""
    packed = packed_of(network)
    parameters = Parameters(packed.parameters.bits.copy(), packed.parameters.reals.copy())
    place = [operation.name for operation in packed.plan.operations].index(name)
    change(operation_parameters(packed.plan, parameters)[place][kind])
    return PackedNetwork(packed.plan, parameters, packed.preprocessing)


def add(amount: float) -> Callable[[Floats], None]:
    def change(array: Floats) -> None:
        array.reshape(-1)[0] += amount

    return change


def flip(array: np.ndarray) -> None:
    array[0] ^= 1


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        (UNIT, "bits", flip),
        (UNIT, "scale", add(0.01)),
        (UNIT, "thresholds", add(0.5)),
        (UNIT, "gamma", add(0.05)),
        ("stem", "weight", add(0.01)),
        ("head.linear", "bias", add(0.01)),
        ("head.linear", "weight", add(0.05)),
    ],
)
@pytest.mark.parametrize("by", ["torch", "packed"])
def test_other_numbers_are_refused(
    edged: tuple[Network, torch.Tensor], name: str, kind: str, change: Callable, by: str
) -> None:
    """Beside the sign that turns, and whether torch or the packed network is right."""
    network, images = edged
    right = network if by == "torch" else packed_of(network)
    with torch.inference_mode():
        check = check_classes(right, wrong(network, name, kind, change), [images])
    assert not check.ok and check.untraced > 0
    assert check.wrong.startswith(name.partition(".")[0])
    assert f"'{check.wrong}'" in check.refusal()


@pytest.mark.parametrize("by", ["torch", "packed"])
def test_one_image_of_many_is_enough_to_refuse(by: str) -> None:
    """A threshold that lies wrong for a single value: all other images have the same logits."""
    network, images = random_network(OPTIONS), images_of(60)
    values = input_of(network, images)[:, 0].flatten(1).amax(1)
    most = values.topk(2)
    middle = float(most.values.mean())
    network.get_submodule(UNIT).sign.beta.data[0] = -middle
    gap = float(most.values[0]) - middle
    right = network if by == "torch" else packed_of(network)
    with torch.inference_mode():
        assert check_classes(right, packed_of(network), [images]).ok
        check = check_classes(right, wrong(network, UNIT, "thresholds", add(2 * gap)), [images])
    assert check.differing == check.untraced == 1 and not check.ok
    assert check.wrong == UNIT and check.same_class_share >= 59 / 60


def test_logits_that_the_operations_do_not_give_are_refused() -> None:
    network, images = random_network(OPTIONS), images_of()

    class Other(PackedNetwork):
        def __call__(self, x: object) -> Floats:
            logits = super().__call__(x)
            logits[0] += 0.01
            return logits

    packed = packed_of(network)
    other = Other(packed.plan, packed.parameters, packed.preprocessing)
    with torch.inference_mode():
        check = check_classes(network, other, [images])
    assert check.untraced == 1 and check.same_class == IMAGES and not check.ok


def test_a_verdict_needs_images() -> None:
    assert not ClassCheck().ok
    assert ClassCheck(images=12, same_class=3, differing=9).ok
    assert not ClassCheck(images=1000, same_class=1000, differing=1, untraced=1).ok


@pytest.fixture
def trained() -> TrainedNetwork:
    space = space_from_description({"name": "mobilenet-groups", **OPTIONS})
    names = open_test_part(DATA).class_names
    parts = (random_network(OPTIONS), space, space.uniform(8), SEEN, names, DATA)
    return TrainedNetwork(*parts, view=View.usual(32, 1))


def test_pack_says_the_sign_and_writes(trained: TrainedNetwork, tmp_path: Path) -> None:
    images, network = check_images(trained, Path("n"), None, IMAGES), trained.network
    on_the_edge(
        lambda x: input_of(network, x), network, lambda: packed_of(network), network, images
    )
    save_network(tmp_path / "n.safetensors", trained)
    written = pack_checkpoint(tmp_path / "n.safetensors", tmp_path / "n.evobit", num_images=IMAGES)
    assert written.figures["same_class"] == IMAGES - 1 and written.figures["untraced"] == 0
    assert written.figures["signs_turned_at"] == f"{UNIT} (1)"
    assert (tmp_path / "n.evobit").exists()


def test_pack_refuses_what_only_the_last_images_show(
    trained: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations are compared on the first eight images; the ninth to twelfth are looked into."""
    images, network = check_images(trained, Path("n"), None, IMAGES), trained.network
    values = input_of(network, images)
    highest = values.flatten(2).amax(2)  # (N, C)
    top = highest.topk(2, dim=0)
    channel = int((top.indices[0] >= 8).nonzero()[0])
    middle, gap = top.values[:, channel].mean(), top.values[0, channel] - top.values[1, channel]
    network.get_submodule(UNIT).sign.beta.data[channel] = -middle
    save_network(tmp_path / "n.safetensors", trained)

    def spoiled(*given: object) -> PackedNetwork:
        packed = pack(*given)  # type: ignore[arg-type]
        place = [operation.name for operation in packed.plan.operations].index(UNIT)
        reals = Parameters(packed.parameters.bits, packed.parameters.reals.copy())
        operation_parameters(packed.plan, reals)[place]["thresholds"][channel] += float(gap)
        return PackedNetwork(packed.plan, reals, packed.preprocessing, packed.class_names)

    monkeypatch.setattr("evaluate.shipping.packing.pack", spoiled)
    with pytest.raises(Refused, match=rf"1 differ without a sign .* first in '{UNIT}'"):
        pack_checkpoint(tmp_path / "n.safetensors", tmp_path / "n.evobit", num_images=IMAGES)
    assert not (tmp_path / "n.evobit").exists()


@needs_native
def test_a_c_program_is_held_against_the_portable_kernels(trained: TrainedNetwork) -> None:
    """A sign that turns between it and the vector kernels is right, a logit of its own is not."""
    pixels = (check_images(trained, Path("n"), None, IMAGES) * 0.35 + 0.3).mul(255).round().byte()
    packed = packed_of(trained.network)
    portable = c_exporting._by_portable_kernels(packed, pixels.numpy())
    isa = library.backend_info()["isa"]
    assert c_exporting._compared(packed, pixels, portable)["same_class"] == IMAGES
    shifted = portable.copy()
    shifted[5, 0] += 0.01
    with pytest.raises(Refused, match="and 1 other logits than the portable kernels"):
        c_exporting._compared(packed, pixels, shifted)
    assert library.backend_info()["isa"] == isa
    # Vector kernels that classify otherwise: 1 of 12 is counted, and no fault of the program.
    turned = replace_logits(packed, portable)
    assert c_exporting._compared(turned, pixels, portable)["same_class"] == IMAGES - 1


def replace_logits(packed: PackedNetwork, logits: Floats) -> PackedNetwork:
    """A network that gives image 2 another class, as if a sign had turned; its plan is the same."""

    class Turned(PackedNetwork):
        def __call__(self, x: object) -> Floats:
            found = logits.copy()
            found[2] = np.roll(found[2], 1)
            return found

    return Turned(packed.plan, packed.parameters, packed.preprocessing)
