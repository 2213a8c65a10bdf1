"""`evobit cost`: the analytic costs of one network, or of a config's hand-made designs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evobit import completion
from evobit.errors import CommandFailed, say
from evobit.options import Allow, AsJson
from evobit.output import Output, output
from supernet.files import UserError

if TYPE_CHECKING:
    from supernet.architecture import Architecture
    from supernet.space import SearchSpace
    from supernet.spec import NetworkSpec


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
            autocompletion=completion.networks,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            help="In place of a file: a search space, mobilenet-groups, wide-binary, ... (an "
            "unknown name lists all). With a file: the space of your own that it names, whose code "
            "may then be run.",
            autocompletion=completion.spaces,
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="One choice for every position, or one each: 1,2,4,..."),
    ] = None,
    choices: Annotated[
        str | None,
        typer.Option(
            "--choices",
            help="Of any space: the number of the choice at every position, from 0, or one each.",
        ),
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(
            "--widths",
            help="The number of the width of every block, from 0, or one each; --choices and "
            "--groups are then for the other positions.",
        ),
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
            "--set",
            metavar="OPTION=VALUE",
            help="Any other option of the space: groups=[1,2,4]; with --designs a config's field.",
        ),
    ] = None,
    designs: Annotated[
        Path | None,
        typer.Option(
            "--designs",
            metavar="CONFIG",
            help="List the hand-made designs of a config's space, and which of them keep the "
            "limits of its search.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build the network and count it independently.")
    ] = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Count the FLOPs, BOPs, OPs and bits of a network.

    Every cost is recomputed, from an architecture file, from --space with its options, or for a
    published --network. --designs CONFIG counts those that a person would write down.
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
    from supernet.costs.table import COSTS

    with output(as_json) as out:
        if designs is not None:
            others = (file, space, network, groups, choices, widths, stem)
            if any(one is not None for one in others) or given or verify:
                raise UserError("--designs takes a config and --set alone")
            _list_designs(designs, overrides or [], out)
            return
        if network is not None:
            named = (file, space, groups, choices, widths)
            if any(one is not None for one in named) or overrides:
                raise UserError(
                    "--network takes no file, --space, --groups, --choices, --widths or --set"
                )
            spec, title = _published(network, given, stem), network
        else:
            if stem is not None:
                raise UserError("--stem is an option of --network")
            if file is not None:
                if (groups, choices, widths) != (None, None, None) or given or overrides:
                    raise UserError(
                        f"{file} already says its space and choices; give no other option"
                    )
                found, architecture, document = _load(file, space)
                _compare(document.get("costs"), found.decode(architecture), file)
            elif space is not None:
                from evobit.named_space import named_space

                found, architecture = named_space(
                    space, given, groups, choices, widths, overrides or []
                )
            else:
                raise UserError("expected an architecture file, --space NAME or --network NAME")
            spec = found.decode(architecture)
            title = f"{spec.name} {architecture}".strip()
        costs = _count(spec)
        verified = _verify(spec) if verify else None
        if as_json:
            out.show(costs if verified is None else {**costs, "verified": verified})
            return
        rows = [(name, f"{value:,}", COSTS[name].meaning) for name, value in costs.items()]
        out.table(("cost", "of one image", "unit"), rows, title=title)
        if verified is not None:
            out.show(verified, title="counted independently, and equal")


def _list_designs(config: Path, overrides: list[str], out: Output) -> None:
    """The designs of a config's space with their costs, and where they stand in its search."""
    from evobit.config import load_stage
    from search.config import SearchStage
    from search.problem import designs_of
    from supernet.costs.limits import describe_limits

    stage = load_stage(config, SearchStage, overrides)
    found, measure = designs_of(stage)
    listed = [
        {
            "name": name,
            "within_limits": name in found.within,
            "in_generation_0": one in found.first,
            **measure(one),
            "choices": dict(one.choices),
        }
        for name, one in found.every.items()
    ]
    if out.as_json:
        out.show({"limits": stage.search.limits(), "designs": listed})
        return
    rows = [
        (
            str(one["name"]),
            f"{one['ops']:,}",
            f"{one['parameters']:,}",
            *("yes" if one[key] else "" for key in ("within_limits", "in_generation_0")),
        )
        for one in listed
    ]
    within = f"within {describe_limits(stage.search.limits())}"
    heads = ("design", "OPs", "parameters", within, "in generation 0")
    out.table(heads, rows, title=str(found))


def _published(name: str, options: dict[str, Any], stem: str | None) -> NetworkSpec:
    """The published network of that name, for these images and classes."""
    from supernet.networks import network_spec

    for option in options:
        if option not in ("image_size", "classes", "in_channels", "width"):
            raise UserError(f"--network takes no --{option.replace('_', '-')}")
    return network_spec(name, **options, stem=stem or "published")


def _load(file: Path, space: str | None) -> tuple[SearchSpace, Architecture, dict[str, Any]]:
    """The architecture file; `space` is what the user trusts it to name."""
    from supernet.architecture_file import load_architecture
    from supernet.spaces import space_class

    if space is not None:
        space_class(space)
    loaded = load_architecture(file)
    if space is not None and loaded[0].name != space:
        raise UserError(f"{file}: is of space '{loaded[0].name}', not '{space}' (--space)")
    return loaded


def _count(spec: NetworkSpec) -> dict[str, Any]:
    from supernet.costs import cost as count

    return count(spec).as_dict()


def _compare(stored: Any, spec: NetworkSpec, file: Path) -> None:
    """Warn where the costs in the file are not those of its network."""
    computed = _count(spec)
    if not isinstance(stored, dict):
        say(f"warning: {file} stores no costs")
        return
    # An older file lacks the costs that were not counted yet.
    different = [name for name in computed if stored.get(name, computed[name]) != computed[name]]
    if different:
        parts = [f"{name} {stored[name]} (is {computed[name]})" for name in different]
        say(f"warning: {file} stores other costs: {', '.join(parts)}")


def _verify(spec: NetworkSpec) -> dict[str, Any]:
    from supernet.verify import CostMismatch, verify

    try:
        return verify(spec)
    except CostMismatch as error:
        raise CommandFailed(f"--verify: {error}") from error
