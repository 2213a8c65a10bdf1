"""A packed network as C99 sources that need neither Python nor the engine (docs/c_export.md).

`sources_folder` puts the sources together: the fixed ones, and those that `model_source` makes of a
plan. `arena` places a plan's maps in static memory, `literals` writes numbers and names as C does.
"""

from __future__ import annotations

from deploy.c_export.sources_folder import export_c as export_c
