"""A trained network as C sources, compiled and run on images before they are kept.

First the packed network is held against torch by the rule of packing; then the C program against
the packed network on the portable kernels, whose logits it gives bit for bit. They may differ from
those of the vector kernels, by which classes are counted.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from deploy import packed_file
from deploy.c_export import export_c
from deploy.c_export.literals import identifier
from deploy.card_file import FOLDER_CARD, NEW_CARD
from deploy.checking import MAX_LOGIT_DIFFERENCE, check_classes
from deploy.engine.packed_network import PackedNetwork
from deploy.kernels import library
from deploy.kernels.shapes import Floats
from deploy.lowering.network import pack
from evaluate.shipping.checked_images import BATCH, check_pixels, packed_pixels
from evaluate.shipping.written import Refused, Written
from evaluate.test_split import open_network
from supernet.files import UserError
from training.data.normalisation import centre

NO_COMPILER = "not run: no C compiler (cc) here"


def export_c_sources(
    source: Path, folder: Path, data: Path | None = None, num_images: int = 200
) -> Written:
    """Write a network file or a packed model as C sources into `folder`.

    The images are `num_images` of those below `data`, or else of the search split that the network
    was trained beside.

    Raises:
        UserError: a damaged file, a layer that cannot be packed, no images, or `folder` holds
            files that are not of an earlier export.
        Refused: the program, or the packed network, computes something else.
    """
    packed, pixels = _packed(source, data, num_images)
    name = identifier(source.stem) or "model"
    with tempfile.TemporaryDirectory() as temporary:
        draft = Path(temporary) / "sources"
        names = [path.name for path in export_c(packed, draft, name)]
        _check_folder(folder, [*names, FOLDER_CARD, NEW_CARD])
        compiler = shutil.which("cc")
        if compiler is None:
            figures = _figures(NO_COMPILER, 0, 0, 0.0)
        else:
            program = _compiled(compiler, draft, Path(temporary))
            figures = _compared(packed, pixels, _logits(program, pixels))
    files = export_c(packed, folder, name)
    about = {"files": list(map(str, files)), "format": "c"}
    return Written(folder, tuple(files), {**about, **figures})


def _packed(source: Path, data: Path | None, num_images: int) -> tuple[PackedNetwork, Tensor]:
    """The packed network, right by the rule of packing, and images as uint8 levels."""
    if packed_file.is_packed(source):
        packed = packed_file.load(source)
        return packed, packed_pixels(source, packed, data, num_images)
    trained = open_network(source)
    seen = trained.normalisation
    pixels = centre(check_pixels(trained, source, data, num_images), seen.size)
    try:
        packed = pack(trained.network, seen.mean, seen.std, trained.class_names, trained.view)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    images = seen.apply(pixels)
    if not (check := check_classes(trained.network, packed, images.split(BATCH))).ok:
        raise Refused(f"nothing is written: packed, {check.refusal()}")
    return packed, pixels


def _check_folder(folder: Path, names: list[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder}: is a file, expected a folder")
    for found in sorted(folder.iterdir()) if folder.is_dir() else ():
        if found.name not in names:
            raise UserError(
                f"-o {folder}: holds {found.name}; expected an empty folder, or an earlier export"
            )


def _compiled(compiler: str, sources: Path, folder: Path) -> Path:
    program = folder / "classify"
    command = [compiler, "-std=c99", "-O2", "-ffp-contract=off", "-o", str(program)]
    command += [str(path) for path in sorted(sources.glob("*.c"))]
    done = subprocess.run([*command, "-lm"], capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"nothing is written: {compiler} says: {done.stderr.strip()[:500]}")
    return program


def _logits(program: Path, pixels: Tensor) -> Floats:
    """What the program prints for raw images, (N, classes)."""
    raw = program.with_name("images")
    raw.write_bytes(np.ascontiguousarray(pixels.numpy()).tobytes())
    # In its folder: a path may hold tabs and line breaks, which the program's lines are made of.
    done = subprocess.run([str(program), raw.name], capture_output=True, cwd=program.parent)
    if done.returncode:
        raise Refused(f"nothing is written: the program ended with {done.returncode}")
    lines = [line.split(b"\t")[4:] for line in done.stdout.split(b"\n")[:-1]]
    return np.array([list(map(float, numbers)) for numbers in lines], dtype=np.float32)


def _compared(packed: PackedNetwork, pixels: Tensor, found: Floats) -> dict[str, Any]:
    images = np.ascontiguousarray(pixels.numpy())
    expected = packed(images)
    same = int((expected.argmax(1) == found.argmax(1)).sum())
    apart = np.abs(_by_portable_kernels(packed, images) - found).max(axis=1)
    if wrong := int((~(apart <= MAX_LOGIT_DIFFERENCE)).sum()):
        raise Refused(
            f"nothing is written: the program gives {same} of {len(expected)} images their class, "
            f"and {wrong} other logits than the portable kernels, by up to {apart.max():.2g}"
        )
    worst = float(np.abs(expected - found).max())
    return _figures("the compiled program", len(expected), same, worst)


def _by_portable_kernels(packed: PackedNetwork, images: np.ndarray) -> Floats:
    """Logits as the kernels in plain C++ give them; where none are installed, torch's."""
    if (before := library.backend_info()["isa"]) is None:
        return packed(images)
    library.select_isa("portable")
    try:
        twin = PackedNetwork(packed.plan, packed.parameters, packed.preprocessing)
        return twin(images)
    finally:
        library.select_isa(before)


def _figures(by: str, images: int, same: int, worst: float) -> dict[str, Any]:
    return {
        "checked_with": by,
        "images": images,
        "same_class": same,
        "max_logit_difference": worst,
    }
