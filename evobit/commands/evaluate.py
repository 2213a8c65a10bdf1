"""`evobit evaluate` and `evobit report`: how good a network, or a run, really is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evobit.completion import zoo_models
from evobit.errors import say
from evobit.options import Allow, AsJson, Strict
from evobit.output import Output, output
from supernet.files import UserError, or_damaged


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN",
            help="Trained network; packed model (.evobit, zoo:NAME); of the run folder of a "
            "retraining its finalist.",
            autocompletion=zoo_models,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of class folders [default: its test split]."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where the network is of it."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="With a packed model: the network it came from, compared image by image; "
            "its test split is scored unless there is --data.",
        ),
    ] = None,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained or packed network on labelled images."""
    from deploy.packed_file import SUFFIX, find_model, is_packed
    from evaluate.retrain.finalists import network_of
    from evaluate.score import evaluate_checkpoint
    from evaluate.shipping.packing import evaluate_packed
    from supernet.spaces import space_class

    with output(as_json) as out:
        if space is not None:
            space_class(space)  # naming it here is what permits a file to name it
        path = find_model(model)
        if is_packed(path):
            _show(out, evaluate_packed(path, data, against, strict=strict), model)
            return
        if against is not None:
            raise UserError(f"--against: {model} is no packed model ({SUFFIX})")
        _show(out, evaluate_checkpoint(network_of(path), data, strict=strict), model)


def _show(out: Output, score: dict[str, Any], title: str) -> None:
    """A score, its classes as a table of their own, and what must be known to read it."""
    from evaluate.class_scores import left_out, shown

    out.show(score, title=title, only_json=("classes", "notes"))
    if out.as_json:
        return
    rows = [(name, f"{images:,}", top1) for name, images, top1 in shown(score["classes"])]
    out.table(("class", "images", "top-1 %"), rows)
    for note in score["notes"]:
        say(f"note: {note}")
    if more := left_out(score["classes"]):
        say(f"note: {more}; --json has all")


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Run folder of a retraining, finals or an audit; with --html also of a search.",
        ),
    ],
    html: Annotated[
        bool, typer.Option("--html", help="Write all that is known of the run as one page.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The page [default: RUN/report.html]."),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="DIR", help="Write each plot of the page as an SVG."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="DIR", help="Write each plot of the page as a PNG."),
    ] = None,
    search: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="The finalists' search, where it is not beside them (--html)."
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where RUN is of it (--html)."),
    ] = None,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Print the table of a retraining, of finals or of an audit.

    Of a retraining: finalists against baselines. Also written into the run folder, as report.md and
    report.json.
    """
    from evaluate.audit.plan import STAGE
    from evaluate.audit.report import AuditReport
    from evaluate.finals.config import STAGE as FINALS
    from evaluate.finals.report import as_markdown, read_summary
    from evaluate.retrain.config import STAGE as RETRAINING
    from evaluate.retrain.report import read_report, write_report
    from training.run_files.folder import open_finished, stage_in

    with output(as_json) as out:
        draws = html or svg is not None or png is not None
        if page is not None and not html:
            raise UserError("--output is for --html")
        if not draws and (search is not None or space is not None):
            raise UserError("--search and --space are for --html, --svg and --png")
        if not draws and stage_in(run) == STAGE:
            audited = AuditReport.read(open_finished(run, STAGE).path)
            out.show(audited.figures, text=audited.markdown)
            return
        if not draws and stage_in(run) == FINALS:
            held = read_summary(run)
            with or_damaged(run / "manifest.json"):
                text = as_markdown(held).rstrip()
            out.show(held, text=text)
            return
        document: dict[str, Any] = {}
        text, made = "", None
        if draws:
            at = (page or run / "report.html") if html else None
            written = _draw(run, at, {"svg": svg, "png": png}, search, space)
            document["written"] = written
            text = "\n".join(f"{path} ({size:,} bytes)" for path, size in written.items())
        if not draws or stage_in(run) == RETRAINING:
            made = read_report(run)
            document = {**made.as_dict(), **document}
            text = f"{made.markdown}\n{text}"
        out.show(document, text=text)
        if made is not None:
            write_report(run, made)  # last: in a folder that is read-only, the table is seen


def _draw(
    run: Path,
    page: Path | None,
    folders: dict[Literal["svg", "png"], Path | None],
    search: Path | None,
    space: str | None,
) -> dict[str, int]:
    """Write the page and the plots that are asked for; returns the files and their bytes."""
    from evaluate.html_report.facts.report import collect
    from evaluate.html_report.write import write_page, write_plots
    from search.results.worth import worths_in

    files = []
    # A run folder is read as it stands; what no page can be made of is damage in it.
    with or_damaged(run / "manifest.json"):
        facts = collect(run, search, space, worths_in)
        for kind, folder in folders.items():
            if folder is not None:
                files += write_plots(facts, folder, kind)
        if page is not None:
            write_page(facts, page)
            files.append(page)
    return {str(file): file.stat().st_size for file in files}
