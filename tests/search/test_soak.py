"""The soak test for as long as CI allows; `make soak MINUTES=60` runs it longer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_survives_faults():
    # This seed begins with a worker killed, a driver killed, a full disk, a history cut short.
    command = [sys.executable, "tests/search/soak.py", "--faults", "4", "--seed", "636"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    soak = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert soak.returncode == 0, soak.stdout + soak.stderr
    rows = re.findall(r"\| ([^|]+) \| (\d+) \| (\d+) \|", soak.stdout)
    assert sum(int(injected) for _, injected, _ in rows) > 3
    assert all(injected == survived for _, injected, survived in rows)
