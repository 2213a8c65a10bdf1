"""What Linux says of this machine's processor."""

from __future__ import annotations

from pathlib import Path


def processor_fields() -> dict[str, str]:
    """The first value of each field of /proc/cpuinfo; none where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields
