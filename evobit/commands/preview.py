"""`evobit preview`: a sheet of training images as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from evobit.commands.strict import demand
from evobit.options import AsJson, Config, Overrides, Strict
from evobit.output import output
from supernet.files import atomic_write


def preview(
    config: Config,
    to: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PNG", help="[default: CONFIG-STAGE.png]"),
    ] = None,
    stage: Annotated[
        Literal["supernet", "retrain"] | None,
        typer.Option(help="Whose images [default: the first of the two that the config has]."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=400, help="Images on the sheet.")] = 16,
    overrides: Overrides = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Draw the first training images as the network sees them.

    Cropped, erased and mixed as in the run's first steps, each with the shares of its classes.
    """
    from evaluate.retrain.config import RetrainStage
    from evobit.config import load_stage
    from supernet.spaces import space_from_description
    from training.data.training_data import check_fit, open_for
    from training.loop.settings import TrainingSettings
    from training.preview import seen_images, sheet
    from training.seeds import derive_seed
    from training.supernet_stage import SupernetStage

    with output(as_json) as out:
        which = stage or _first_stage(config, overrides or [])
        asked: SupernetStage | RetrainStage
        settings: TrainingSettings
        if which == "supernet":
            asked = supernet = load_stage(config, SupernetStage, overrides or [])
            settings, seed = supernet.supernet, derive_seed(supernet.seed, which)
        else:
            asked = finalists = load_stage(config, RetrainStage, overrides or [])
            # Of a network's several seeds the first.
            settings, seed = finalists.retrain, derive_seed(finalists.seed, which, 0)
        demand(asked.data, strict=strict)
        space = space_from_description(asked.space)
        data = open_for(space, asked.data)
        spec = space.decode(space.first())
        check_fit(spec, data)
        seen = seen_images(
            data.train if which == "supernet" else data.everything,
            settings.in_phases()[0],
            data.seen_by(spec),
            seed,
            count,
        )
        target = to or Path(f"{config.stem}-{which}.png")
        with atomic_write(target) as file:
            sheet(seen).save(file, format="PNG")
        images = [{"step": one.step, "shares": one.shares} for one in seen]
        out.show({"sheet": target, "stage": which, "images": images}, text=str(target))


def _first_stage(config: Path, overrides: Sequence[str]) -> Literal["supernet", "retrain"]:
    """Supernet where the config has that section or neither, else retrain."""
    from pydantic import BaseModel

    from evobit.config import load_stage

    class Sections(BaseModel):
        """Which of the two sections there are, whatever is in them."""

        supernet: object = None
        retrain: object = None

    given = load_stage(config, Sections, overrides).model_fields_set
    return "retrain" if given == {"retrain"} else "supernet"
