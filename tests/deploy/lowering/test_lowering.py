"""The plan of a torch network computes what the network computes."""

import numpy as np
import pytest
import torch

from deploy.checking import check_operations
from deploy.lowering.network import lower, pack
from deploy.plan.module import PlanModule
from deploy.plan.parameters import operation_parameters
from supernet.costs import cost
from supernet.files import UserError
from supernet.layers import BinaryConv2d
from tests.deploy.networks import FORMS, SMALL, random_images, random_network


@pytest.mark.parametrize("form", FORMS)
def test_the_plan_as_a_torch_module_gives_the_networks_logits(form):
    network = random_network(FORMS[form])
    images = random_images(network, 4, torch.Generator().manual_seed(1))
    module = PlanModule(*lower(network)).eval()
    with torch.inference_mode():
        expected, found = network(images), module(images)
    # One flipped sign would show as 1e-2 and more; rounding is 1e-6.
    share = ((expected - found).abs().amax(1) < 1e-4).float().mean()
    assert share >= 0.75


def test_parameters_are_those_that_the_costs_count():
    network = random_network(SMALL)
    plan, parameters = lower(network)
    costs = cost(network.spec)
    assert parameters.bits.size == costs.binary_parameters // 8
    # BatchNorm has as many numbers as scale and bias; the stem's factor of 8 channels is folded.
    assert parameters.reals.size == costs.parameters - costs.binary_parameters - 8
    assert sum(a["bits"].size for a in operation_parameters(plan, parameters) if "bits" in a) == (
        parameters.bits.size
    )


def test_a_parameter_that_is_not_finite_is_refused_by_name():
    network = random_network(SMALL)
    network.get_submodule("block3_spatial").norm.weight.data[1] = np.nan
    with pytest.raises(UserError, match="block3_spatial"):
        lower(network)


def test_a_block_without_an_operation_is_refused_by_name():
    network = random_network(SMALL)
    network.get_submodule("block2_pointwise").activation = torch.nn.GELU()
    with pytest.raises(UserError, match=r"block2_pointwise.activation' \(GELU\)"):
        lower(network)


class CentredConv2d(BinaryConv2d):
    """A new layer: each filter's mean is taken off before its sign."""

    def latent(self) -> torch.Tensor:
        return self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)


def test_what_a_new_convolution_makes_binary_is_packed():
    network = random_network(SMALL)
    images = random_images(network, 4, torch.Generator().manual_seed(1))
    plain = lower(network)[1]
    network.get_submodule("block2_spatial").conv.__class__ = CentredConv2d
    assert (lower(network)[1].bits != plain.bits).any()
    packed = pack(network, (0.5,), (0.25,), tuple(map(str, range(network.spec.num_classes))))
    checks = check_operations(network, packed, images)
    assert [check for check in checks if not check.ok] == []
