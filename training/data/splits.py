"""Split images by class and seed."""

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from supernet.files import UserError


def stratified_split(
    labels: Tensor,
    fraction: float | None = None,
    per_class: int | None = None,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    held_out_before: Mapping[str, int] | None = None,
    least_left: int = 1,
) -> tuple[Tensor, Tensor]:
    """Split images into those that stay and those held out, class by class.

    The split depends on the seed, on the labels and on their order alone.

    Args:
        labels: int64 (N,), 0 to the number of classes - 1.
        fraction: share of each class that is held out, rounded, at least one image.
        per_class: images of each class that are held out; exactly one of the two is given.
        seed: any integer.
        class_names: every class must appear; without names, those up to the largest label.
        held_out_before: images of each class that another split took before, to be told of.
        least_left: images of each class that have to stay.

    Returns:
        Ascending indices of the images that stay, and of those held out.

    Raises:
        UserError: a class has too few images for one to be held out and `least_left` to stay.
    """
    assert (fraction is None) != (per_class is None), "give either fraction or per_class"
    num_classes = len(class_names) if class_names is not None else int(labels.max()) + 1
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(num_classes):
        members = torch.nonzero(labels == label).flatten()
        if per_class is not None:
            num_held_out = per_class
        else:
            assert fraction is not None
            num_held_out = max(1, round(fraction * len(members)))
        if len(members) < num_held_out + least_left:
            name = class_names[label] if class_names is not None else label
            before = (held_out_before or {}).get(str(name), 0)
            images = len(members) + before
            counted = f"{images} image{'s' * (images != 1)}"
            if before:
                counted += f", {before} of them in the test split"
            raise UserError(
                f"class {name!r} has {counted}; to hold {num_held_out} out of {len(members)} "
                f"expected at least {num_held_out + before + least_left}, so that {least_left} stay"
            )
        # Python's generator is seeded by text alike on every platform and version.
        draw = random.Random(f"{seed}/{label}").sample(range(len(members)), num_held_out)
        held_out[members[torch.tensor(draw)]] = True
    return torch.nonzero(~held_out).flatten(), torch.nonzero(held_out).flatten()
