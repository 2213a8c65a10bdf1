"""A packed network as C99 sources that need neither Python nor the engine (docs/c_export.md)."""

from __future__ import annotations

from deploy.c_export.folder import export_c as export_c
