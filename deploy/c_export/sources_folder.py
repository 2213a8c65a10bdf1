"""The folder of C sources that a packed network becomes."""

from __future__ import annotations

from pathlib import Path

from deploy import packed_file
from deploy.c_export.literals import identifier
from deploy.c_export.model_source import ModelSource
from deploy.engine.packed_network import PackedNetwork
from supernet.files import UserError, write_text

SOURCES = Path(__file__).parent / "sources"

_README = """\
# {function}

A 1-bit network in C99, made by evobit; neither Python nor an operating system is needed.
Model: sha256 `{hash}`.

| | |
|---|---|
| image | {channels} x {size} x {size} levels of 8 bits, (channel, row, column) |
| classes | {classes} |
| constants (flash) | {weight_bytes:,} bytes: {bit_bytes:,} of bits, {real_bytes:,} of fp32 |
| arena (RAM) | {arena_bytes:,} bytes: {float_bytes:,} of fp32, {sign_bytes:,} of signs |

```
make
./classify image.pgm        # or .ppm, or raw levels; prints file, number, class, name, logits
```

In your own program: include `model.h`, call `{function}_run(image, logits)`, and
compile `model.c` and `evobit_kernels.c`; nothing is allocated, and one call runs at a time.

- Compile with `-std=c99` or `-ffp-contract=off`, never with `-ffast-math`: counts are integers and
  always exact, but sums of floats would be rounded elsewhere, and a sign at its threshold may turn.
- `-DEVOBIT_WORD_BITS=32`: words of 32 bits. `-DEVOBIT_PORTABLE_POPCOUNT`: no compiler builtin.
  Neither changes a result.
- `-DEVOBIT_FMAF`: `fmaf` in place of doubles after binary convolutions, for a processor that has a
  fused multiply-add but no doubles; needs `-lm`, and rounds once where a double may round twice.

The code is under the Apache License 2.0; the numbers in `model.c` are the model's.
"""


def export_c(
    packed: PackedNetwork | str | Path, folder: str | Path, name: str | None = None
) -> list[Path]:
    """Write a network as C99 sources with a small program and a Makefile; the same bytes each time.

    Args:
        packed: a network, its packed file, or `zoo:NAME`.
        folder: made if it is absent; files of these names in it are replaced.
        name: of the function `evobit_NAME_run`; absent: the file's, or "model".

    Returns:
        The files written.

    Raises:
        UserError: the file cannot be read, an operation is too large for 32-bit offsets, or
            `name` has no letter or digit.
    """
    if isinstance(packed, PackedNetwork):
        network, title = packed, name or "model"
    else:
        path = packed_file.find_model(packed)
        network, title = packed_file.load(path), name or path.stem
    own_name = identifier(title).lower()
    if not own_name:
        raise UserError(f"name {title!r}: expected letters or digits of ASCII")
    model = ModelSource(network, own_name)
    texts = {"model.h": model.header(), "model.c": model.source(), "README.md": _readme(model)}
    for source in sorted(path for path in SOURCES.iterdir() if path.is_file()):
        text = source.read_text(encoding="utf-8")
        texts[source.name] = text.replace("@name@", model.function).replace("@NAME@", model.macro)
    paths = []
    for file, text in texts.items():
        paths.append(Path(folder) / file)
        write_text(paths[-1], text)
    return paths


def _readme(model: ModelSource) -> str:
    plan, arena = model.network.plan, model.arena
    return _README.format(
        function=model.function,
        hash=model.hash,
        channels=plan.channels,
        size=plan.size,
        classes=plan.num_classes,
        weight_bytes=model.num_weight_bytes,
        bit_bytes=8 * model.num_pairs,
        real_bytes=4 * model.num_floats,
        arena_bytes=arena.num_bytes,
        float_bytes=4 * arena.num_floats,
        sign_bytes=8 * arena.num_pairs,
    )
