"""`evobit doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from evobit.options import AsJson
from evobit.output import output


def doctor(
    start_ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Also start a Ray.")] = True,
    as_json: AsJson = False,
) -> None:
    """Say what this machine has and what it lacks.

    Versions, devices, disk, data, compiler, a Ray start, the seven package names. Exit
    code 1 when something needed is missing.
    """
    from evobit.checks import all_checks

    with output(as_json) as out:
        checks = all_checks(start_ray)
        missing = [check.name for check in checks if not check.ok and check.needed]
        if as_json:
            out.show(
                {
                    "ok": not missing,
                    "missing": missing,
                    "checks": {
                        check.name: {"ok": check.ok, "needed": check.needed, "found": check.found}
                        for check in checks
                    },
                }
            )
        else:
            out.table(
                ("", "check", "found"),
                [(check.mark, check.name, check.found) for check in checks],
                title="something needed is missing" if missing else "all that is needed is here",
            )
    if missing:
        raise typer.Exit(1)
