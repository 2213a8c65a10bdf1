"""The list of commands in a program's help, under headings."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Sections(TyperGroup):
    """A group whose help lists each command under its `rich_help_panel`, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a heading, in the order in which headings and commands were added."""
        width = max(map(len, self.commands))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            # 6: the indent and what stands between the columns, as everywhere in help.
            summary = command.get_short_help_str(formatter.width - 6 - width)
            sections.setdefault(heading, []).append((name.ljust(width), summary))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
