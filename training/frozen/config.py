"""How a config names a frozen network; who teaches and how, its `distillation` part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from training.bounds import MAX_FLOAT
from training.section import MAY_BE_PATH, Section

NAME_IN_WORDS = (
    "a torchvision classification model such as resnet34; or the network.safetensors of a network "
    "trained here; or 'module:function' or 'file.py:function' that makes your own from num_classes "
    "and in_channels"
)


def check_network_name(name: str) -> str:
    """Return `name` if it is a torchvision model, a file or a function, in form.

    Raises:
        ValueError: it is none of them.
    """
    module, separator, function = name.rpartition(":")
    is_function = separator and not name.endswith(".safetensors")
    if not name or (is_function and not (module and function.isidentifier())):
        raise ValueError(
            f"is {name!r}, expected a torchvision model, a network.safetensors, or "
            "'module:function' or 'file.py:function' of your own"
        )
    return name


@dataclass(frozen=True)
class NamedNetwork:
    """A frozen network by its name, with a file of weights; messages call it by its `role`."""

    role: Literal["teacher", "extractor"]
    name: str
    weights: Path | None

    @property
    def kind(self) -> Literal["network", "own", "torchvision"]:
        """A network trained here, the user's own function, or a name of torchvision."""
        if self.name.endswith(".safetensors"):
            return "network"
        return "own" if ":" in self.name else "torchvision"

    @property
    def file(self) -> Path | None:
        """The file that its weights are read from; None: they are downloaded, or made."""
        return Path(self.name) if self.kind == "network" else self.weights

    def check_weights(self) -> None:
        """Refuse a file of weights beside a network that holds its own.

        Raises:
            ValueError: there is one.
        """
        if self.kind == "network" and self.weights is not None:
            raise ValueError(f"the {self.role} {self.name} holds its own weights; drop weights")


class DistillationConfig(Section):
    """A student learns a teacher's distribution over the classes, and the labels by a share."""

    teacher: Annotated[str, MAY_BE_PATH] = Field(description=NAME_IN_WORDS)
    weights: Path | None = Field(
        None,
        description="the teacher's state_dict, of torch or safetensors, trained on images "
        "normalised as the student's; none: torchvision's pretrained weights, or what your own "
        "function returns",
    )
    temperature: float = Field(
        1.0, gt=0, le=MAX_FLOAT, description="both sides' logits are divided by it"
    )
    label_weight: float = Field(
        0.0, ge=0, le=1, description="share of the labels' loss, the rest is the teacher's"
    )

    @field_validator("teacher")
    @classmethod
    def _well_formed(cls, teacher: str) -> str:
        return check_network_name(teacher)

    @model_validator(mode="after")
    def _no_ignored_field(self) -> DistillationConfig:
        self.network.check_weights()
        return self

    @property
    def network(self) -> NamedNetwork:
        """The teacher, as it is read."""
        return NamedNetwork("teacher", self.teacher, self.weights)
