"""No room to write: one line, exit code 1, and what was there stays intact."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import yaml

LIMIT = 40_000  # bytes a file may have: enough for configs and logs, too little for weights


def limit_file_size() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def test_training_ends_cleanly_and_resumes(tmp_path: Path, stages: dict) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(stages))
    command = [sys.executable, "-m", "evobit", "train-supernet", str(config), "--run"]
    command.append(str(tmp_path / "run"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    full = subprocess.run(
        command, preexec_fn=limit_file_size, capture_output=True, text=True, env=environment
    )
    assert full.returncode == 1
    last = full.stderr.splitlines()[-1]
    assert last.startswith("evobit: no room to write") and "Traceback" not in full.stderr
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"config.yaml", "manifest.json", "log.jsonl", ".lock"}
    again = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "supernet.safetensors").stat().st_size > LIMIT
