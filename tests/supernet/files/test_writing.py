"""Drafts of files: a killed process's are removed by who writes next, a living one's are left."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from evobit.main import run
from supernet.files import PARTIAL, atomic_write, remove_abandoned, write_text
from training.run_files.folder import RunFolder

CHECKOUT = Path(__file__).resolve().parents[3]
SLOW = """
import sys, time
from supernet.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("began", flush=True)
    time.sleep(60)
"""


def begun(path: Path) -> subprocess.Popen[str]:
    """A process in the middle of writing `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(path)], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert process.stdout is not None and process.stdout.readline() == "began\n"
    return process


def drafts(folder: Path) -> list[Path]:
    return list(folder.rglob(f".*{PARTIAL}"))


def test_the_next_writer_removes_a_killed_ones_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with begun(path) as process:
        process.send_signal(signal.SIGKILL)
    assert len(drafts(tmp_path)) == 1 and not path.exists()
    write_text(tmp_path / "b.json", "another file")
    assert len(drafts(tmp_path)) == 1
    write_text(path, "whole")
    assert drafts(tmp_path) == [] and path.read_text() == "whole"


def test_a_living_writers_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with begun(path) as process:
        write_text(path, "of another")
        remove_abandoned(tmp_path)
        assert len(drafts(tmp_path)) == 1
        process.kill()
    with atomic_write(path) as file:
        remove_abandoned(tmp_path)
        file.write(b"own")
        assert len(drafts(tmp_path)) == 1
    assert drafts(tmp_path) == [] and path.read_text() == "own"


def test_a_link_that_is_named_as_a_draft_is_followed_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / f".a.json.x{PARTIAL}").symlink_to(tmp_path / "kept")
    write_text(tmp_path / "a.json", "whole")
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_killed_cache_leaves_nothing_after_the_next(tmp_path: Path) -> None:
    """Not even of other images: a file of pixels is named after what is in it."""
    photos, cache = tmp_path / "photos", tmp_path / "cache"
    for name in ("a", "b"):
        (photos / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photos / name / "0.png")
        Image.fromarray(np.ones((9, 9, 3), np.uint8)).save(photos / name / "1.png")
    words = ["cache", str(photos), "-o", str(cache), "--size", "16"]
    cache.mkdir()
    draft = cache / f".all_16_{'0' * 16}.u8.abc{PARTIAL}"
    draft.write_bytes(b"half")
    assert run(words) == 0
    assert drafts(cache) == []


def test_a_cache_leaves_what_others_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (8, 8)).save(tmp_path / "photos" / name / f"{number}.png")
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in (".m.evobit.x1", ".rsync_of_a.u8.x2", ".big_file_of.another.x3"):
        (cache / f"{name}{PARTIAL}").write_text("theirs")
    (cache / "a_b_c.u8").write_text("theirs")
    assert run(["cache", str(tmp_path / "photos"), "-o", str(cache), "--size", "16"]) == 0
    assert len(drafts(cache)) == 3 and (cache / "a_b_c.u8").read_text() == "theirs"


def test_a_run_folder_keeps_what_a_living_writer_writes(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", "search", {})
    inner = tmp_path / "run" / "networks"
    inner.mkdir()
    (inner / f".old.json.x{PARTIAL}").write_text("half")
    with atomic_write(inner / "new.json") as file:
        file.write(b"whole")
        RunFolder.open(tmp_path / "run", "search", {})
        assert [path.name[:5] for path in drafts(inner)] == [".new."]
    assert (inner / "new.json").read_text() == "whole"
