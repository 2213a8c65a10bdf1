"""How a network's binary convolutions are made while it is trained, as plain data.

Published recipes train in phases: real weights under binary activations first (ReActNet, arXiv
2003.03488), or a real network with ReLU, then with leaky clip, then with clip (Bi-Real Net, arXiv
1808.00278). Names and shapes of weights are the same in every phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from supernet.files import UserError
from supernet.files.expected import first_mistake

Weights = Literal["binary", "real"]
"""real: y = conv(f(x), W) with W as it is, no scale and the plain gradient."""

Activations = Literal["binary", "relu", "leaky-clip", "clip", "identity"]
"""What a binary convolution reads of its input x, or of x + beta where there is an RSign."""

Surrogate = Literal["approx", "ste", "swish"]
"""The gradient of a sign: `approx_sign`, `ste_sign` or `swish_sign` of `supernet.layers.sign`."""

WeightGradient = Literal["clip", "magnitude", "straight"]
"""dL/dW from G, the gradient with respect to the weight that is convolved:
clip: G * 1{|W| <= 1}; the PyTorch repositories of Bi-Real Net and ReActNet.
magnitude: G * scale * 1{|W| <= 1}; Bi-Real Net's paper and larq's MagnitudeAwareSign.
straight: G; Bi-Real Net's Caffe code, and Bop."""

SignOfZero = Literal[-1, 0, 1]
"""What sign(0) is, of weights and activations alike. +1: here and in larq, the value that packs to
a bit. 0: torch.sign in the repositories of Bi-Real Net and ReActNet. -1: their papers. Bi-Real
Net's Caffe code has -1 for activations and +1 for weights: no setting here is both."""


class Binarization(BaseModel):
    """The setting of all binary convolutions of a network; None leaves a layer its own value.

    `sign` is the surrogate gradient of the activations' sign, `weight_gradient` that of the
    weights'; `scaled` whether weights have XNOR-Net's scale; `pad_value` what the border holds;
    `sign_of_zero` is that of weights and activations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weights: Weights = "binary"
    activations: Activations = "binary"
    sign: Surrogate | None = None
    weight_gradient: WeightGradient | None = None
    scaled: bool | None = None
    pad_value: SignOfZero | None = None
    sign_of_zero: SignOfZero | None = None

    @field_validator("pad_value", "sign_of_zero", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):  # True equals 1, and is no number
            raise ValueError("expected -1, 0 or 1")
        return value

    @property
    def is_binary(self) -> bool:
        """Whether both operands of the convolutions are binary."""
        return self.weights == self.activations == "binary"

    def describe(self) -> dict[str, Any]:
        """Flat JSON-able data: what differs from the default."""
        return self.model_dump(exclude_defaults=True)

    @classmethod
    def from_description(cls, description: Any) -> Binarization:
        """The inverse of `describe`.

        Raises:
            UserError: not an object, an unknown field, or a value that its field cannot have.
        """
        if not isinstance(description, Mapping):
            raise UserError(f"binarization: expected an object, found {description!r}")
        known = cls.model_fields
        if unknown := [name for name in description if name not in known]:
            raise UserError(
                f"binarization has no field '{unknown[0]}'; fields are {', '.join(known)}"
            )
        try:
            return cls(**description)
        except ValidationError as error:
            raise UserError(f"binarization: {first_mistake(error)}") from error
