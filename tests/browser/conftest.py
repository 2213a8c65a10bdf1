"""These tests are collected by `make browser` alone: they need chromium, its driver, selenium."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without `-m browser`, as if this folder were empty."""
    return None if "browser" in config.option.markexpr else True
