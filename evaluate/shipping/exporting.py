"""A trained network in another program's format, checked on images by that program.

The rule is that of packing (`deploy.checking`): an image whose logits differ by more than 1e-4 is
looked into, and each operation must compute what it should from the program's own values, so that
only a sign at its threshold is left to explain it. torch's own program folds nothing: there no
logit may differ at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deploy import packed_file
from deploy.checking import ClassCheck, check_classes
from deploy.engine.packed_network import PackedNetwork
from deploy.exporters import FORMATS, exporter
from deploy.exporters.exported import Exported, describe
from deploy.lowering.network import pack
from evaluate.shipping.c_exporting import export_c_sources
from evaluate.shipping.checked_images import BATCH, check_images, check_target, packed_pixels
from evaluate.shipping.sign_export import export_signs
from evaluate.shipping.written import Refused, Written
from evaluate.test_split import open_network
from supernet.files import UserError, atomic_write
from supernet.network import Network
from training.data.normalisation import Normalisation
from training.network_file import TrainedNetwork


def export_network(
    source: Path, name: str, output: Path, data: Path | None = None, num_images: int = 200
) -> Written:
    """Write a network file or a packed model into `output` in the format `name`.

    `name`: "signs" (a network file), "c" (a folder), or one of `FORMATS`.
    The classes are compared on `num_images` of the images below `data`, or else of the search
    split that the network was trained beside; those of a packed model with its own kernels'. A
    model that comes with evobit is compared on the embedded images.

    Raises:
        UserError: a missing package, a damaged file, a layer that cannot be exported, or no images.
        Refused: the program of that format computes something else.
    """
    if name == "signs":
        return export_signs(source, output, data, num_images)
    if name == "c":
        return export_c_sources(source, output, data, num_images)
    suffix = Path(FORMATS[name].file).suffix
    if output.suffix != suffix:
        raise UserError(f"-o {output}: a file of --format {name} ends in {suffix}")
    for each in (suffix, *FORMATS[name].beside):
        check_target(source, output.with_suffix(each))
    module, of_plan = exporter(name), FORMATS[name].of_plan
    if packed_file.is_packed(source):
        if not of_plan:
            raise UserError(
                f"{source}: --format {name} takes a trained network, not a packed model"
            )
        packed = packed_file.load(source)
        images = _packed_images(source, packed, data, num_images)
        return _write_plan(name, output, module.export(packed), packed, images)
    trained = open_network(source)
    images = check_images(trained, source, data, num_images)
    if not of_plan:
        return _write_program(name, module, source, output, trained, images)
    seen = trained.normalisation
    try:
        packed = pack(trained.network, seen.mean, seen.std, trained.class_names, trained.view)
    except UserError as error:
        raise UserError(f"{source}: {error}; --format torch takes any network") from error
    return _write_plan(name, output, module.export(packed), trained.network, images)


def _packed_images(source: Path, packed: PackedNetwork, data: Path | None, count: int) -> Tensor:
    """Normalised for a packed model, which names no data set."""
    plan, seen = packed.plan, packed.preprocessing
    pixels = packed_pixels(source, packed, data, count)
    return Normalisation(seen.mean, seen.std, plan.size).apply(pixels)


def _write_plan(
    name: str, output: Path, exported: Exported, expected: Network | PackedNetwork, images: Tensor
) -> Written:
    check = check_classes(expected, exported, images.split(BATCH))
    # The file itself comes last: it is the one that a program opens.
    contents = {**exported.beside, output.suffix: exported.content}
    return _write(name, output, contents, exported.runtime, check, exported.figures)


def _write_program(
    name: str, module: Any, source: Path, output: Path, trained: TrainedNetwork, images: Tensor
) -> Written:
    spec, seen = trained.network.spec, trained.normalisation
    size = (spec.in_channels, spec.image_size, spec.image_size)
    metadata = describe(size, seen.mean, seen.std, trained.class_names, trained.view)
    try:
        content = module.export(trained.network, metadata)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    check = _check_exactly(trained.network, module.loaded(content), images.split(BATCH))
    runtime = f"torch {torch.__version__}"
    return _write(name, output, {output.suffix: content}, runtime, check, {})


def _check_exactly(
    network: Network, program: Callable[[Tensor], Tensor], batches: Iterable[Tensor]
) -> ClassCheck:
    """Every logit that differs is one too many."""
    check = ClassCheck()
    with torch.inference_mode():
        for images in batches:
            expected, found = network(images), program(images)
            differing = int((expected != found).any(1).sum())
            check.images += len(images)
            check.same_class += int((expected.argmax(1) == found.argmax(1)).sum())
            check.differing += differing
            check.untraced += differing
            worst = float((expected - found).abs().max())
            check.max_logit_difference = max(check.max_logit_difference, worst)
    return check


def _write(
    name: str,
    output: Path,
    contents: Mapping[str, bytes],
    runtime: str,
    check: ClassCheck,
    figures: Mapping[str, Any],
) -> Written:
    """Write the files, in this order, if the check found them right."""
    if not check.ok:
        raise Refused(f"{output} is not written: in {runtime} {check.refusal()}")
    files = [output.with_suffix(suffix) for suffix in contents]
    for file, content in zip(files, contents.values(), strict=True):
        with atomic_write(file) as stream:
            stream.write(content)
    files.reverse()
    about = {
        "files": list(map(str, files)),
        "format": name,
        "bytes": sum(file.stat().st_size for file in files),
        "checked_with": runtime,
    }
    return Written(output, tuple(files), {**about, **figures, **check.as_dict()})
