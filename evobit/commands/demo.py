"""`evobit demo`: the whole path on the embedded data."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.checks import CHECKOUT
from evobit.commands.deploy import note_card
from evobit.commands.strict import demand
from evobit.errors import say
from evobit.options import AsJson, DryRun, Overrides, Strict
from evobit.output import output
from evobit.resuming import announced, check_folder, foretell
from supernet.files import UserError


def demo(
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="DIR", help="Folder of the demo's runs [default: runs/CONFIG]."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="[default: configs/demo.yaml]")
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole path on the embedded data.

    Train a supernet, search it, hold finals against hand-made designs, retrain against baselines,
    report; then pack the winner to 1 bit a weight, time it, and write its card and a page of it
    all. Every step resumes where an earlier demo stopped.
    """
    from deploy.bench import bench
    from evaluate.finals.config import FinalsStage
    from evaluate.finals.report import who_won
    from evaluate.finals.run import FILES, WINNER, finals
    from evaluate.finals.run import check_machine as check_finals
    from evaluate.html_report.facts.report import collect
    from evaluate.html_report.write import write_page
    from evaluate.retrain.config import RetrainStage
    from evaluate.retrain.finalists import network_named
    from evaluate.retrain.report import report
    from evaluate.retrain.run import check_machine, retrain
    from evaluate.shipping.cards import write_card_of
    from evaluate.shipping.packing import pack_checkpoint
    from evobit.commands.contest import contest_of
    from evobit.config import load_stage
    from search.config import SearchStage
    from search.results.worth import worths_in
    from search.run import check_search, run_search
    from training.supernet_stage import SupernetStage
    from training.supernet_training import train_supernet

    path = config or _demo_config()
    changed = overrides or []
    with output(as_json) as out:
        # All stages first: a mistake in the last section shows before the first hour of work.
        supernet_stage = load_stage(path, SupernetStage, changed)
        search_stage = load_stage(path, SearchStage, changed)
        finals_stage = load_stage(path, FinalsStage, changed)
        retrain_stage = load_stage(path, RetrainStage, changed)
        check_search(search_stage)
        check_finals(finals_stage)
        check_machine(retrain_stage)
        folder = run or Path("runs") / path.stem
        check_folder(folder)
        demand(supernet_stage.data, strict=strict)
        supernet, search, final, retrained = (
            folder / name for name in ("supernet", "search", "finals", "retrain")
        )
        if dry_run:
            planned = {
                name: _foretold(name, at, stage)
                for name, at, stage in (
                    ("supernet", supernet, supernet_stage),
                    ("search", search, search_stage),
                    ("finals", final, finals_stage),
                    ("retrain", retrained, _trained_on(retrain_stage, None)),
                )
            }
            out.show(_in_all(folder, planned), title=f"would run in {folder}")
            return
        seconds: dict[str, float] = {}

        def step(name: str, action: Callable[[], Any]) -> Any:
            say(f"demo: {name} ...")
            start = time.monotonic()
            result = action()
            seconds[f"{name}_s"] = round(time.monotonic() - start, 1)
            say(f"demo: {name} took {seconds[f'{name}_s']} s")
            return result

        with announced(supernet, "supernet", supernet_stage):
            step("train-supernet", lambda: train_supernet(supernet_stage, supernet))
        with announced(search, "search", search_stage):
            step("search", lambda: run_search(search_stage, search, supernet))
        with announced(final, "finals", finals_stage):
            held = step(
                "finals", lambda: finals(finals_stage, contest_of(finals_stage, search), final)
            )
        found, by_hand = (final / FILES[kind] for kind in ("found", "design"))
        against = [by_hand] if by_hand.exists() else []
        if held["kind"] == "given":
            against.append(final / WINNER)
        on = _trained_on(retrain_stage, supernet)
        with announced(retrained, "retrain", on):
            step("retrain", lambda: retrain(on, [found], retrained, against))
        made = step("report", lambda: report(retrained))
        name = "finalist" if held["kind"] == "found" else held["winner"]
        network = network_named(retrained, name)
        packed = step("pack", lambda: pack_checkpoint(network, folder / "finalist.evobit"))
        timed = step("bench", lambda: bench(packed.path))
        figures = packed.as_dict()
        card = note_card(packed.path, write_card_of(packed.path, network, figures, timed=timed))
        page = folder / "report.html"
        write_page(collect(retrained, search, worths=worths_in), page)
        say(f"demo: {sum(seconds.values()):.0f} s in all; everything is in {folder}")
        document = {**made.as_dict(), "finals": held, "packed": figures, "bench": timed}
        written = {"run": folder, "page": page, "card": card}
        table = made.markdown.rstrip()
        text = "\n\n".join(
            [f"Finals: {who_won(held)}", table, _packed_text(name, figures, timed), _next(written)]
        )
        out.show({**document, "demo": {**written, **seconds}}, text=text)


def _trained_on(stage: Any, supernet: Path | None) -> Any:
    """The retraining `stage`, on from the weights of `supernet`."""
    retrain = stage.retrain.model_copy(update={"supernet": supernet})
    return stage.model_copy(update={"retrain": retrain})


def _foretold(name: str, folder: Path, stage: Any) -> dict[str, Any]:
    """What a stage would take."""
    from evaluate.estimate.run import estimate, estimate_finals

    foretell(folder, name, stage)
    return estimate_finals(stage, folder) if name == "finals" else estimate(stage, folder)


def _in_all(folder: Path, planned: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the stages take after one another, and each of them."""
    stages = planned.values()
    return {
        "run": folder,
        "time_s": round(sum(one["time_s"] for one in stages), 1),
        "memory_bytes": max(one["memory_bytes"] for one in stages),
        "disk_bytes": sum(one["disk_bytes"] for one in stages),
        **planned,
    }


def _packed_text(name: str, packed: Mapping[str, Any], timed: Mapping[str, Any]) -> str:
    """What packing the winner of the finals came to, in one line."""
    kernels = f"{timed['isa']} kernels" if timed["isa"] else "without compiled kernels"
    return (
        f"Packed {name}: {packed['file']}, {packed['bytes']:,} bytes; "
        f"{packed['same_class']} of {packed['images']} images keep their class; "
        f"{timed['latency_ms']:.3f} ms an image ({kernels}, {timed['threads']} thread), "
        f"{timed['torch_fp32_ratio']:.1f} times faster than torch fp32."
    )


def _next(written: Mapping[str, Any]) -> str:
    """What to look at, and to do with one's own images."""
    return (
        f"All of it as a page: {written['page']}; what the packed file is: {written['card']}.\n"
        f"Your own images: evobit predict {written['run'] / 'finalist.evobit'} IMAGE..., and "
        "a network of your own by docs/tutorial.md."
    )


def _demo_config() -> Path:
    """The checkout's configs/demo.yaml, that of an installed wheel, or that of this folder."""
    folders = (CHECKOUT, Path(sys.prefix) / "share" / "evobit", Path.cwd())
    places = [folder / "configs" / "demo.yaml" for folder in folders]
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"no {places[0]}; name a config with --config")
