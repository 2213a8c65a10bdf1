"""`evobit cost`: the analytic costs of one network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.errors import CommandFailed, say
from evobit.options import AsJson
from evobit.output import output
from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.costs import cost as count
from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec

UNITS = {
    "ops": "OPs = FLOPs + BOPs/64",
    "flops": "real multiply-adds",
    "bops": "binary multiply-adds",
    "parameters": "trainable numbers",
    "binary_parameters": "of them 1-bit weights",
    "bits": "bits of the model: 1 a binary weight, 32 any other",
}


def cost(
    file: Annotated[
        Path | None, typer.Argument(metavar="ARCH.json", help="Architecture file.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            help="In place of a file: a published network, reactnet-a, bireal-18, ...; its images "
            "and classes are those of its paper unless said.",
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            help="In place of a file: a search space, mobilenet-groups or network. With a file: "
            "the space of your own that it names, whose code may then be run.",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="One choice for every position, or one each: 1,2,4,..."),
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side [default: 224].")] = None,
    classes: Annotated[int | None, typer.Option(help="[default: 1000]")] = None,
    in_channels: Annotated[int | None, typer.Option(help="[default: 3]")] = None,
    width: Annotated[float | None, typer.Option(help="Factor on channels [default: 1.0].")] = None,
    shortcut: Annotated[str | None, typer.Option(help="duplicate or conv.")] = None,
    activation: Annotated[str | None, typer.Option(help="none, prelu or rprelu.")] = None,
    stem: Annotated[
        str | None,
        typer.Option(help="Of --network: published, or small (3x3, stride 1) for small images."),
    ] = None,
    stem_stride: Annotated[int | None, typer.Option(help="1 or 2 [default: 2].")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="OPTION=VALUE", help="Any other option of the space: groups=[1,2,4]."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build the network and count it independently.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count the FLOPs, BOPs, OPs and bits of a network.

    Every cost is recomputed, from an architecture file, from --space with its options, or for a
    published --network.
    """
    options: dict[str, Any] = {
        "image_size": image_size,
        "classes": classes,
        "in_channels": in_channels,
        "width": width,
        "shortcut": shortcut,
        "activation": activation,
        "stem_stride": stem_stride,
    }
    given = {name: value for name, value in options.items() if value is not None}
    with output(as_json) as out:
        if network is not None:
            if file is not None or space is not None or groups is not None or overrides:
                raise UserError("--network takes no file, --space, --groups or --set")
            spec, title = _published(network, given, stem), network
        else:
            if stem is not None:
                raise UserError("--stem is an option of --network")
            if file is not None:
                if groups is not None or given or overrides:
                    raise UserError(
                        f"{file} already says its space and choices; give no other option"
                    )
                found, architecture, document = _load(file, space)
                _compare(document.get("costs"), found.decode(architecture), file)
            elif space is not None:
                found, architecture = _named(space, given, groups, overrides or [])
            else:
                raise UserError("expected an architecture file, --space NAME or --network NAME")
            spec = found.decode(architecture)
            title = f"{spec.name} {architecture}".strip()
        costs: dict[str, Any] = count(spec).as_dict()
        verified = _verify(spec) if verify else None
        if as_json:
            out.show(costs if verified is None else {**costs, "verified": verified})
            return
        rows = [(name, f"{value:,}", UNITS[name]) for name, value in costs.items()]
        out.table(("cost", "of one image", "unit"), rows, title=title)
        if verified is not None:
            out.show(verified, title="counted independently, and equal")


def _published(name: str, options: dict[str, Any], stem: str | None) -> NetworkSpec:
    """The published network of that name, for these images and classes."""
    from supernet.networks import network_spec

    for option in options:
        if option not in ("image_size", "classes", "in_channels", "width"):
            raise UserError(f"--network takes no --{option.replace('_', '-')}")
    return network_spec(name, **options, stem=stem or "published")


def _load(file: Path, space: str | None) -> tuple[SearchSpace, Architecture, dict[str, Any]]:
    """The architecture file; `space` is what the user trusts it to name."""
    from supernet.spaces import space_class

    if space is not None:
        space_class(space)
    loaded = load_architecture(file)
    if space is not None and loaded[0].name != space:
        raise UserError(f"{file}: is of space '{loaded[0].name}', not '{space}' (--space)")
    return loaded


def _named(
    name: str, options: dict[str, Any], groups: str | None, overrides: list[str]
) -> tuple[SearchSpace, Architecture]:
    """The space of that name with these options, and the architecture with these choices."""
    from evobit.config import set_fields
    from supernet.spaces import space_from_description

    description = set_fields({"name": name, **options}, overrides)
    space = space_from_description(description)
    if groups is None:
        return space, space.first()
    numbers = _numbers(groups)
    legal = getattr(space, "groups", None)
    if legal is not None and (new := [n for n in dict.fromkeys(numbers) if n not in legal]):
        try:
            space = space_from_description({**description, "groups": [*legal, *new]})
        except UserError:
            pass  # a number that divides nowhere; the positions below say where it was wanted
    positions = space.positions
    if not positions:
        raise UserError(f"--groups: space '{name}' has one architecture: nothing to choose")
    if len(numbers) not in (1, len(positions)):
        raise UserError(
            f"--groups: {len(numbers)} numbers; expected 1, or {len(positions)}, one a position"
        )
    if len(numbers) == 1:
        numbers *= len(positions)
    for position, number in zip(positions, numbers, strict=True):
        if number not in position.choices:
            raise UserError(
                f"--groups: {number} does not divide the channels at position '{position.name}'; "
                f"choices there are {', '.join(map(str, position.choices))}"
            )
    names = [position.name for position in positions]
    return space, space.architecture(dict(zip(names, numbers, strict=True)))


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"--groups {text}: expected whole numbers, as in 4 or 1,2,4") from None


def _compare(stored: Any, spec: NetworkSpec, file: Path) -> None:
    """Warn where the costs in the file are not those of its network."""
    computed = count(spec).as_dict()
    if not isinstance(stored, dict):
        say(f"warning: {file} stores no costs")
        return
    different = [name for name in computed if stored.get(name) != computed[name]]
    if different:
        parts = [f"{name} {stored.get(name)} (is {computed[name]})" for name in different]
        say(f"warning: {file} stores other costs: {', '.join(parts)}")


def _verify(spec: NetworkSpec) -> dict[str, Any]:
    from supernet.verify import CostMismatch, verify

    try:
        return verify(spec)
    except CostMismatch as error:
        raise CommandFailed(f"--verify: {error}") from error
