"""Small networks with everything a plan may hold, and numbers for them."""

import numpy as np

from deploy.plan.parameters import Parameters
from deploy.plan.plan import MapShape, Operation, Plan

MEAN, STD = (0.48, 0.45, 0.4, 0.5), (0.23, 0.22, 0.25, 0.3)
GROUPS = (1, 1, 2, 3, 4, 6, 8, 16, 32, 64)


class Builder:
    """Adds random operations whose sizes fit."""

    def __init__(self, rng: np.random.Generator, channels: int, size: int) -> None:
        self.rng, self.channels, self.size = rng, channels, size
        self.operations: list[Operation] = []
        self.shapes = [MapShape(size, size, channels)]

    def add(self, **fields: object) -> None:
        operation = Operation(name=f"operation{len(self.operations)}", **fields)  # type: ignore[arg-type]
        self.operations.append(operation)
        self.shapes.append(operation.result_shape(self.shapes[operation.source]))

    def pick(self, options: object):
        return self.rng.choice(np.array(options)).item()

    def source(self) -> int:
        """The last value, or now and then an earlier one: a second reader."""
        last = len(self.shapes) - 1
        if self.rng.random() < 0.7 or last < 2:
            return last
        return int(self.rng.integers(1, last + 1))

    def window(self, source: MapShape, sizes: tuple[int, ...]) -> dict[str, int]:
        side = min(source.sides)
        kernel = self.pick(sizes)
        padding = self.pick((0, kernel // 2, kernel // 2, kernel // 2 + 1))
        if side + 2 * padding < kernel:
            kernel = padding = 1
        return {"kernel_size": kernel, "padding": padding, "stride": self.pick((1, 1, 1, 2))}

    def conv(self, kind: str) -> None:
        source = self.source()
        shape = self.shapes[source]
        groups = self.pick([g for g in GROUPS if shape.channels % g == 0])
        outputs = self.pick((shape.channels, shape.channels, 2 * shape.channels, 5, 16, 40, 64))
        fields: dict[str, object] = self.window(shape, (1, 3, 3, 5) if groups > 1 else (1, 3))
        if self.rng.random() < 0.5:
            fields["stride"] = 1
            fields["padding"] = int(fields["kernel_size"]) // 2  # type: ignore[call-overload]
        fields |= {
            "kind": kind, "source": source, "groups": groups, "name": "",
            "channels": -(-min(outputs, 160) // groups) * groups,
            "activation": self.pick(("none", "prelu", "rprelu")),
        }  # fmt: skip
        if kind == "binary_conv":
            fields["thresholds"] = bool(self.rng.random() < 0.6)
            fields["pad_value"] = self.pick((-1, 0, 0, 1))
        result = Operation(**fields).result_shape(shape)  # type: ignore[arg-type]
        del fields["name"]
        fits = [value for value, added in enumerate(self.shapes) if added.sides == result.sides]
        if fits and self.rng.random() < 0.8:
            fields["add"] = self.pick(fits)
        self.add(**fields)

    def pool(self) -> None:
        source = self.source()
        kinds = ("avg_pool", "max_pool", "max_pool_inside")
        shape, kind = self.shapes[source], self.pick(kinds)
        kernel = self.pick([k for k in (1, 2, 3) if k <= min(shape.sides)])
        padding = 0 if kind == "avg_pool" else self.pick((0, kernel // 2))
        stride = self.pick((1, 2))
        self.add(
            kind=kind, source=source, channels=shape.channels,
            kernel_size=kernel, stride=stride, padding=padding,
        )  # fmt: skip

    def finish(self) -> Plan:
        source = len(self.shapes) - 1
        if self.rng.random() < 0.8:
            self.add(kind="global_avg_pool", source=source, channels=self.shapes[-1].channels)
            if self.rng.random() < 0.8:
                classes = self.pick((1, 10, 100))
                self.add(kind="linear", source=len(self.shapes) - 1, channels=classes)
        else:  # a window as large as the map
            height, width = self.shapes[-1].sides
            assert height == width
            kind = self.pick(("conv", "binary_conv"))
            self.add(kind=kind, source=source, channels=7, kernel_size=height)
        return Plan(self.channels, self.size, tuple(self.operations))


def random_plan(rng: np.random.Generator) -> Plan:
    """A stem, binary convolutions, shortcuts, pools and real convolutions."""
    builder = Builder(rng, int(rng.integers(1, 5)), int(rng.integers(5, 20)))
    first = rng.random()
    if first < 0.8:
        fields = builder.window(builder.shapes[0], (1, 3, 3, 5, 7))
        channels = builder.pick((4, 16, 24, 32, 48, 64, 64, 96))
        activation = builder.pick(("none", "prelu", "rprelu"))
        builder.add(kind="conv", source=0, channels=channels, activation=activation, **fields)
    else:  # signs of the image itself
        builder.conv("binary_conv")
    for _ in range(int(rng.integers(2, 11))):
        draw = rng.random()
        if draw < 0.65:
            builder.conv("binary_conv")
        elif draw < 0.8:
            builder.conv("conv")
        else:
            builder.pool()
    return builder.finish()


def random_parameters(plan: Plan, rng: np.random.Generator) -> Parameters:
    """Numbers that keep values near 1 through any number of operations."""
    bits, reals, shapes = [np.zeros(0, np.uint8)], [np.zeros(0)], plan.shapes()
    for operation in plan.operations:
        source = shapes[operation.source]
        weights = rng.integers(0, 256, operation.num_bit_bytes(source), dtype=np.uint8)
        if len(weights):
            num_bits = operation.channels * operation.conv_shape(source).num_products
            weights[-1] &= 0xFF >> (-num_bits % 8)
        bits.append(weights)
        depth = source.channels // operation.groups * operation.kernel_size**2
        for name, size in operation.real_sizes(source).items():
            values = rng.standard_normal(size) * {"weight": depth**-0.5}.get(name, 0.3)
            if name == "scale":
                values = rng.uniform(0.2, 0.7, size) * depth**-0.5
            reals.append(values.ravel())
    return Parameters(np.concatenate(bits), np.concatenate(reals).astype(np.float32))


def random_images(plan: Plan, count: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (N, C, S, S)."""
    return rng.integers(0, 256, (count, plan.channels, plan.size, plan.size), dtype=np.uint8)
