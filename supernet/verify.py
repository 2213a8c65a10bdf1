"""Check an analytic cost against the built module: fvcore's counter and hooks."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from supernet.costs.count import REAL_BITS, Costs, cost
from supernet.layers.binary_conv import LatentConv2d
from supernet.network import Network, build
from supernet.spec import NetworkSpec


class CostMismatch(Exception):
    """The analytic cost and the measured one differ: a defect of the program."""


def measure(network: Network) -> Costs:
    """Costs read off a module by one forward pass, by the convention of `supernet.costs`.

    fvcore counts the real convolutions and linear layers; hooks on those with latent weights count
    these from their actual weights and outputs, as real ones where what they read is no sign.
    """
    with warnings.catch_warnings():
        # fvcore still decorates with torch.jit.script, which warns of its own deprecation.
        warnings.simplefilter("ignore", FutureWarning)
        from fvcore.nn import FlopCountAnalysis

    spec = network.spec
    image = torch.zeros(1, spec.in_channels, spec.image_size, spec.image_size)
    bops = flops = bitops = 0

    def count(conv: LatentConv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal bops, flops, bitops
        # Cin/g * k * k multiply-adds for each of the output's elements.
        macs = conv.weight[0].numel() * output[0].numel()
        # Both operands must be 1-bit: a first layer reads the image, here of zeros.
        signs = bool((inputs[0].abs() == 1).all())
        if signs and conv.bits == 1:
            bops += macs
        else:
            flops += macs
        bitops += macs * conv.bits * (1 if signs else conv.input_bits)

    latent = [module for module in network.modules() if isinstance(module, LatentConv2d)]
    hooks = [module.register_forward_hook(count) for module in latent]
    network.eval()
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    analysis = FlopCountAnalysis(network, image)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_module = analysis.by_module_and_operator()
    by_fvcore = sum(
        operators.get("conv", 0) + operators.get("linear", 0) + operators.get("addmm", 0)
        for name, operators in by_module.items()
        if isinstance(network.get_submodule(name), (nn.Conv2d, nn.Linear))
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    saved_bits = sum(conv.weight.numel() * (REAL_BITS - conv.bits) for conv in latent)
    return Costs(
        flops=flops + int(by_fvcore),
        bops=bops,
        bitops=bitops + int(by_fvcore) * REAL_BITS**2,
        parameters=parameters,
        binary_parameters=sum(conv.weight.numel() for conv in latent if conv.bits == 1),
        bits=parameters * REAL_BITS - saved_bits,
    )


def verify(spec: NetworkSpec) -> dict[str, int | float]:
    """The analytic costs of `spec`, after comparing them with those of the built module.

    Raises:
        CostMismatch: any of them differs.
    """
    analytic, measured = cost(spec), measure(build(spec))
    if analytic != measured:
        raise CostMismatch(f"analytic costs {analytic} differ from the module's {measured}")
    return analytic.as_dict()
