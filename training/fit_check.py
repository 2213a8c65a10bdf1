"""Whether a network fits a data set, checked before any work starts."""

from __future__ import annotations

from supernet.files import UserError
from supernet.spec import NetworkSpec
from training.data.training_data import TrainingData


def check_fit(spec: NetworkSpec, data: TrainingData) -> None:
    """Compare image size, channels and classes.

    Raises:
        UserError: names both sides.
    """
    if spec.image_size != data.config.image_size:
        raise UserError(
            f"space.image_size is {spec.image_size}, but data.image_size is "
            f"{data.config.image_size}; give both the same number of pixels"
        )
    if spec.in_channels != data.channels:
        raise UserError(
            f"space.in_channels is {spec.in_channels}, but the images of data set "
            f"'{data.config.name}' have {data.channels} channels"
        )
    if spec.num_classes != data.num_classes:
        named = ", ".join(data.class_names[:5]) + (", ..." if data.num_classes > 5 else "")
        raise UserError(
            f"space.classes is {spec.num_classes}, but data set '{data.config.name}' has "
            f"{data.num_classes} classes ({named})"
        )
