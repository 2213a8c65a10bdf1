"""`evobit watch`: how far a run is, from another terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evobit.options import AsJson
from evobit.output import Output, output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evobit.watch.watching import Watched

    Look = Callable[[], list[Watched]]

BAR = 30


class To(StrEnum):
    """An experiment tracker."""

    MLFLOW = "mlflow"
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"


def watch(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run folder, or a folder that holds several."),
    ],
    once: Annotated[bool, typer.Option("--once", help="Show the present state and end.")] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Between two looks.", min=0.1, max=86_400)
    ] = 2.0,
    to: Annotated[
        To | None,
        typer.Option(
            "--to",
            help="Also send what the run logs to a tracker, as a new run there.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show progress, best so far, workers and time left, until the run ends or Ctrl-C.

    It only reads: the run is not disturbed, and goes on when the watching ends.
    """
    from evobit.watch.watching import Watch

    with output(as_json) as out:
        watching = Watch(run)
        if to is None:
            _show(watching.look, once, interval, out)
            return
        from evobit.watch.mirror import Mirror

        mirror = Mirror(to.value)

        def look() -> list[Watched]:
            found = watching.look()
            mirror.send(found)
            return found

        try:
            _show(look, once, interval, out)
        finally:
            mirror.close(watching.look())


def _show(look: Look, once: bool, interval: float, out: Output) -> None:
    """Show the state once, or until nothing runs any more."""
    found = look()
    if once or out.as_json or not out.stream.isatty():
        while not once and not out.as_json and _is_any_running(found):
            out.show({}, text=_text(found))
            time.sleep(interval)
            found = look()
        out.show({"runs": [one.as_dict() for one in found]}, text=_text(found))
        return
    _follow(look, interval, out)


def _follow(look: Look, interval: float, out: Output) -> None:
    """Show the state anew until nothing runs any more."""
    from rich.console import Console
    from rich.live import Live

    found = look()
    with Live(_table(found), console=Console(file=out.stream), auto_refresh=False) as live:
        while _is_any_running(found):
            time.sleep(interval)
            found = look()
            live.update(_table(found), refresh=True)


def _is_any_running(found: Sequence[Watched]) -> bool:
    return any(one.state == "running" for one in found)


def _table(found: Sequence[Watched]) -> RenderableType:
    from rich.text import Text

    return Text(_text(found))


def _text(found: Sequence[Watched]) -> str:
    """A paragraph for each run."""
    return "\n\n".join("\n".join(_lines(one)) for one in found)


def _lines(one: Watched) -> list[str]:
    if one.state == "unreadable":
        return [f"{one.path}: cannot be read: {one.reason}"]
    hint = "; the same command resumes it" if one.state == "stopped" else ""
    lines = [f"{one.path}: {one.stage}, {one.state}{hint}"]
    for part in one.progress:
        # Of a stopped run what is kept, where it goes on; files of older runs do not say.
        done = part.get("kept", part["done"]) if one.state == "stopped" else part["done"]
        share = done / part["total"] if part["total"] else 1.0
        bar = "#" * round(BAR * share)
        rate = left = ""
        if done < part["done"]:
            left = f", kept of {part['done']:,} done"
        if part["per_second"]:
            rate = f", {part['per_second']:.3g}/s"
            if one.state == "running":
                left = f", {_duration(part['seconds_left'])} left"
        elif one.state == "running":
            rate = ", starting"
        numbers = "".join(f", {name} {value:.4g}" for name, value in part["numbers"].items())
        lines.append(
            f"  {part['label']:<20} [{bar:<{BAR}}] {done:,} of {part['total']:,} "
            f"({share:.0%}){rate}{left}{numbers}"
        )
    if one.state == "stopped" and not one.progress and one.last_step:
        named = [name for name in ("phase", "step", "epoch") if name in one.last_step]
        lines.append(
            "  last logged: "
            + ", ".join(f"{name} {_figure(one.last_step[name])}" for name in named)
        )
    if one.best is not None:
        who = one.best.get("name", f"candidate {one.best.get('index')}")
        choices = one.best.get("architecture", {}).values()
        scores = f"top-1 {one.best['top1']:.2f} %"
        if (loss := one.best.get("loss")) is not None:
            error = one.best.get("loss_error")
            more = "" if error is None else f" ± {error:.4f}"
            scores = f"cross-entropy {loss:.4f}{more} nats, {scores}"
        lines.append(f"  best {scores}, {who} {_joined(choices)}".rstrip())
        if costs := one.best.get("costs"):
            lines.append(
                "  " + ", ".join(f"{name} {_figure(value)}" for name, value in costs.items())
            )
    if one.workers is not None and one.state == "running":
        lines.append(f"  {one.workers} Ray workers" if one.workers else "  scored in one process")
    if one.state == "finished" and one.summary:
        short = [f"{name} {value}" for name, value in one.summary.items() if _is_short(value)]
        lines.append("  " + ", ".join(short))
    return lines


def _figure(value: Any) -> str:
    from supernet.files.plain_data import is_number

    return f"{value:,.6g}" if is_number(value) else str(value)


def _joined(choices: Any) -> str:
    return ",".join(map(str, choices))


def _is_short(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and len(str(value)) < 60


def _duration(seconds: float) -> str:
    """As hours, minutes and seconds: '2 h 5 min', '3 min 20 s', '7 s'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
