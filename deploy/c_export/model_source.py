"""The two generated sources: model.h, the interface, and model.c, the plan and its numbers."""

from __future__ import annotations

import numpy as np

from deploy.c_export import literals
from deploy.c_export.arena import Arena
from deploy.c_export.literals import Fields, identifier
from deploy.engine.packed_network import PackedNetwork
from deploy.engine.schedule import Buffer, Step
from deploy.packed_file import model_hash
from deploy.plan.parameters import operation_parameters
from deploy.plan.plan import Operation
from supernet.files import UserError

MAX_WEIGHTS = (1 << 31) - literals.PAIR_BITS
"""Of one operation: 32-bit offsets reach no further."""

_HEADER = """\
/* {title}: made by evobit from a packed 1-bit network; do not edit.
 * Model: sha256 {hash}
 * SPDX-License-Identifier: Apache-2.0 (the code; the numbers are the model's)
 */
"""


class ModelSource:
    """A packed network on its way to C.

    Args:
        network: what is exported.
        name: part of every public name; see `identifier`.

    Raises:
        UserError: an operation or the maps are too large for 32-bit offsets.
    """

    def __init__(self, network: PackedNetwork, name: str) -> None:
        self.network, self.name, self.hash = network, name, model_hash(network)
        self.num_floats = 0
        """Real constants."""
        self.num_pairs = 0
        """Pairs of 32-bit words of binary weights."""
        self._limits: dict[bytes, str] = {}
        self._parameters = operation_parameters(network.plan, network.parameters)
        self._shapes = network.plan.shapes()
        self.arena = Arena(network.plan, self._parameters)
        self.function, self.macro = f"evobit_{self.name}", f"EVOBIT_{self.name}".upper()
        self._constants = "\n".join([self._input_constants(), *self._operation_constants()])

    @property
    def num_weight_bytes(self) -> int:
        """All constant numbers."""
        return 4 * self.num_floats + 8 * self.num_pairs

    def header(self) -> str:
        """model.h."""
        plan, macro = self.network.plan, self.macro
        sizes = {
            "CHANNELS": plan.channels,
            "SIZE": plan.size,
            "IMAGE_BYTES": plan.channels * plan.size**2,
            "NUM_CLASSES": plan.num_classes,
            "WEIGHT_BYTES": self.num_weight_bytes,
            "ARENA_BYTES": self.arena.num_bytes,
        }
        comments = {
            "SIZE": "height and width",
            "WEIGHT_BYTES": "constants",
            "ARENA_BYTES": "static memory",
        }
        defines = [
            f"#define {macro}_{name} {size}"
            + (f" /* {comments[name]} */" if name in comments else "")
            for name, size in sizes.items()
        ]
        return "\n".join(
            [
                self._title("model.h"),
                f"#ifndef {macro}_H\n#define {macro}_H\n\n#include <stdint.h>\n",
                '#ifdef __cplusplus\nextern "C" {\n#endif\n',
                *defines,
                f'#define {macro}_SHA256 "{self.hash}"\n',
                f"extern const char *const {self.function}_class_names[{macro}_NUM_CLASSES];\n",
                "/* Levels (channel, row, column) of one image to logits; not for two threads. */",
                f"void {self.function}_run(const uint8_t *image, float *logits);\n",
                "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
            ]
        )

    def source(self) -> str:
        """model.c."""
        names = self.network.class_names or tuple(map(str, range(self.network.plan.num_classes)))
        texts = ",\n    ".join(map(literals.text_literal, names))
        arrays = [f"static float values[{self.arena.num_floats}];"]
        if self.arena.num_pairs:
            arrays.append(f"static evobit_word signs[{self.arena.num_pairs} * EVOBIT_PAIR_WORDS];")
        steps, calls = [], []
        for number, step in enumerate(self.arena.steps):
            kind, fields = self._fields(step)
            comment = identifier(step.name)
            steps.append(literals.struct(f"evobit_{kind}", f"step{number}", comment, fields))
            image = ", image" if kind == "input" else ""
            calls.append(f"    evobit_run_{kind}(&step{number}{image}); /* {comment} */")
        copy = (
            f"    memcpy(logits, {self.arena.logits}, {self.macro}_NUM_CLASSES * sizeof *logits);"
        )
        return "\n".join(
            [
                self._title("model.c"),
                '#include "model.h"\n\n#include <string.h>\n\n#include "evobit_kernels.h"\n',
                "/* What the layout of the numbers assumes. */",
                "typedef char evobit_float_has_4_bytes[sizeof(float) == 4 ? 1 : -1];\n",
                f"const char *const {self.function}_class_names[] = {{\n    {texts}\n}};\n",
                self._constants,
                "/* The arena: floats, and signs as bits. */",
                "\n".join(arrays) + "\n",
                *steps,
                f"void {self.function}_run(const uint8_t *image, float *logits)\n{{",
                *calls,
                copy,
                "}\n",
            ]
        )

    def _title(self, file: str) -> str:
        return _HEADER.format(title=f"{file} of {self.name}", hash=self.hash)

    def _input_constants(self) -> str:
        scale, shift = self.network.preprocessing.scale_and_shift()
        return "\n".join([self._floats("input_scale", scale), self._floats("input_shift", shift)])

    def _operation_constants(self) -> list[str]:
        """Weights and real parameters of each operation."""
        texts = []
        for number, operation in enumerate(self.network.plan.operations):
            for kind, array in self._parameters[number].items():
                name = _constant(number, operation, kind)
                if array.size * (8 if kind == "bits" else 1) > MAX_WEIGHTS:
                    raise UserError(f"{operation.name}: its {kind} are more than {MAX_WEIGHTS:,}")
                if kind == "bits":
                    texts.append(literals.bit_array(name, array))
                    self.num_pairs += literals.num_pairs(8 * array.size)
                else:
                    texts.append(self._floats(name, _in_order(operation, kind, array)))
                if kind == "thresholds":
                    self._limits.setdefault(array.tobytes(), name)
        return texts

    def _floats(self, name: str, values: np.ndarray) -> str:
        self.num_floats += values.size
        return literals.float_array(name, values)

    def _fields(self, step: Step) -> tuple[str, Fields]:
        """The kind of a step's operands, and the operands."""
        plan, place = self.network.plan, self.arena.place_of
        if step.kind == "input":
            assert step.out is not None
            sizes = {"pixels": plan.size**2, "channels": plan.channels}
            scales = {"scale": "input_scale", "shift": "input_shift"}
            return "input", {**sizes, **scales, "out": place(step.out)}
        assert step.source is not None
        if step.kind == "pack":
            assert step.bits is not None
            shape = step.source.shape
            return "pack", {
                "pixels": shape.height * shape.width,
                "channels": shape.channels,
                "source": place(step.source),
                **self._limits_of(step),
                "signs": place(step.bits),
            }
        assert step.operation is not None
        operation = plan.operations[step.operation]
        window = {"window": _window(operation, step.source, self._shapes[step.operation + 1].sides)}
        if step.kind == "pool":
            assert step.out is not None
            is_max = int(operation.kind in ("max_pool", "max_pool_inside"))
            ends = {"source": place(step.source), "out": place(step.out)}
            return "pool", {**window, "is_max": is_max, **ends}
        is_binary = step.kind == "binary_conv"
        return "binary_conv" if is_binary else "real_conv", {
            **window,
            **({"pad_value": operation.pad_value} if is_binary else {}),
            "source": place(step.source),
            "weights": _constant(step.operation, operation, "bits" if is_binary else "weight"),
            "epilogue": self._epilogue(step),
        }

    def _epilogue(self, step: Step) -> Fields:
        assert step.operation is not None
        number, place = step.operation, self.arena.place_of
        operation, own = self.network.plan.operations[number], self._parameters[number]
        fields: dict[str, str | int] = {
            kind: _constant(number, operation, kind)
            for kind in ("scale", "bias", "slope", "gamma", "beta", "zeta")
            if kind in own
        }
        fields |= self._limits_of(step)
        fields |= {
            kind: place(buffer)
            for kind, buffer in (("added", step.added), ("out", step.out), ("signs", step.bits))
            if buffer is not None
        }
        if step.added is not None:
            fields["added_channels"] = step.added.shape.channels
        order = "scale bias added slope gamma beta zeta limits out signs added_channels".split()
        return {kind: fields[kind] for kind in order if kind in fields}

    def _limits_of(self, step: Step) -> dict[str, str]:
        limits = step.thresholds
        return {} if limits is None else {"limits": self._limits[limits.tobytes()]}


def _constant(number: int, operation: Operation, kind: str) -> str:
    return f"op{number}_{identifier(operation.name)}_{kind}"


def _in_order(operation: Operation, kind: str, array: np.ndarray) -> np.ndarray:
    """A convolution's weight as the kernel reads it: (output, row, column, input)."""
    return array.transpose(0, 2, 3, 1) if operation.kind == "conv" and kind == "weight" else array


def _window(operation: Operation, source: Buffer, out: tuple[int, int]) -> Fields:
    shape, whole = source.shape, operation.kind == "global_avg_pool"
    return {
        "height": shape.height,
        "width": shape.width,
        "channels": shape.channels,
        "out_height": out[0],
        "out_width": out[1],
        "out_channels": operation.channels,
        "kernel_height": shape.height if whole else operation.kernel_size,
        "kernel_width": shape.width if whole else operation.kernel_size,
        "stride": operation.stride,
        "padding": operation.padding,
        "groups": operation.groups,
    }
