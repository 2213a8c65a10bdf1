"""`evobit pack`, `predict` and `bench`: a trained network as one file of bits, and running it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.commands.strict import demand_of
from evobit.completion import zoo_models
from evobit.errors import WRONG_INPUT, CommandFailed, say
from evobit.options import Allow, AsJson, Licence, Strict, WithCard
from evobit.output import output, say_next

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Packed model: a file, or zoo:NAME of one installed.",
        autocompletion=zoo_models,
    ),
]
Threads = Annotated[int, typer.Option(help="Threads of the kernels.", min=1, max=256)]


def pack(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT|RUN",
            help="Trained network; of the run folder of a retraining its finalist's.",
        ),
    ],
    to: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Packed model.")
    ] = Path("model.evobit"),
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images to check it on [default: its search split]."),
    ] = None,
    images: Annotated[
        int, typer.Option(help="Images to check it on, at most.", min=1, max=100_000)
    ] = 200,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where the network is of it."),
    ] = None,
    with_card: WithCard = True,
    licence: Licence = None,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Pack a trained network to 1 bit a binary weight.

    Every operation and the logits are checked against torch first; a packed model that fails
    is not written (exit code 1). untraced: images whose logits differ, and no sign within rounding
    distance of its threshold explains it; there must be none. signs_turned_at: where such signs
    explain it, and in how many images. The card, FILE.md, says what the model
    is, from what its file and its run folder tell; one that you edited is left, the new one is
    FILE.new.md.
    """
    from evaluate.retrain.finalists import network_of
    from evaluate.shipping.cards import write_card_of
    from evaluate.shipping.packing import pack_checkpoint
    from evaluate.shipping.written import Refused
    from supernet.spaces import space_class

    with output(as_json) as out:
        if space is not None:
            space_class(space)  # naming it here is what permits a file to name it
        network = network_of(checkpoint)
        demand_of(network, strict=strict)
        try:
            packed = pack_checkpoint(network, to, data, images)
        except Refused as error:
            raise CommandFailed(str(error)) from error
        if network != checkpoint:
            say(f"{checkpoint}: its finalist's network is {network}")
        document = packed.as_dict()
        if with_card:
            card = write_card_of(to, network, document, data, licence=licence)
            document["card"] = note_card(to, card)
        out.show(document, title=str(to))
        if not as_json:
            say_next(["predict", to, "IMAGE..."])


def predict(
    model: Model,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMG...", help="Image files, or folders of them.")
    ],
    top: Annotated[int, typer.Option(help="Classes shown an image.", min=1, max=1_000_000)] = 5,
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Say what a packed model sees in images.

    Needs no torch: NumPy, Pillow and the compiled kernels. An image that cannot be read is named,
    and the others are shown all the same.
    """
    from deploy import kernels, packed_file
    from deploy.engine.prediction import predict_files
    from supernet.files.image_file import list_images

    with output(as_json) as out:
        kernels.set_threads(threads)
        network = packed_file.load(model)
        say(_backend(network.backend))
        files = [
            file for path in images for file in (list_images(path) if path.is_dir() else [path])
        ]
        predictions, failures = predict_files(network, files, top)
        document = {"model": str(model), **network.backend, "predictions": predictions}
        if as_json:
            out.show(document)
        elif predictions:
            rows = [
                (
                    prediction["image"] if rank == 0 else "",
                    one["class"],
                    f"{one['probability']:.1%}",
                )
                for prediction in predictions
                for rank, one in enumerate(prediction["top"])
            ]
            out.table(("image", "class", "probability"), rows)
        for failure in failures:
            say(failure)
    if failures:
        raise typer.Exit(WRONG_INPUT)


def bench(
    model: Model,
    threads: Threads = 1,
    rounds: Annotated[int, typer.Option(help="Rounds measured in turns.", min=3, max=10_000)] = 15,
    torch_too: Annotated[
        bool, typer.Option("--torch/--no-torch", help="Also time the network in torch fp32.")
    ] = True,
    card: Annotated[
        bool, typer.Option("--card", help="Put the time and the device into the model's card.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Time a packed model at batch 1, beside torch fp32.

    latency_ms is the median; spread the distance of its quartiles over it; torch_fp32_ratio how
    many times longer torch takes, in the better memory layout, on as many threads.
    """
    from deploy.bench import bench as measure
    from deploy.card_file import card_path, card_to_extend, with_latency, write_card
    from deploy.packed_file import find_model

    with output(as_json) as out:
        path = find_model(model)
        extended = card_to_extend(path) if card else None
        result = measure(model, threads, rounds, torch_too)
        if extended is not None:
            from latency_tables.machine import this_device

            written = write_card(
                card_path(path), with_latency(extended, result, this_device().name)
            )
            result["card"] = note_card(path, written)
        if as_json:
            out.show(result)
            return
        layers = result.pop("layers")
        out.show(result, title=str(model))
        out.table(
            ("layer", "kernel", "ms"),
            [(layer["name"], layer["kernel"], f"{layer['ms']:.4f}") for layer in layers],
        )


def note_card(of: Path, written: Path | None) -> Path | None:
    """Say where a card went that could not go to its place; returns `written`."""
    from deploy.card_file import card_path

    place = card_path(of)
    if written is None:
        say(f"{place} and the new card beside it were edited: both are left, none is written")
    elif written != place:
        say(f"{place} was edited and is left: the new card is {written}")
    return written


def _backend(info: Mapping[str, Any]) -> str:
    """Which code runs, in one line."""
    if info["backend"] != "native":
        return "the compiled kernels are not installed: the slow torch fallback runs"
    return f"native kernels, {info['isa']}, threads: {info['threads']}"
