"""One search of the soak: its driver's lives, and whether all that it records is as it must be."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from soak_driver import WHILE_CALM, calm_scorer

from search.config import SearchStage
from search.pools.pool import out_of_tries
from search.run import run_search
from supernet.spaces.mobilenet_groups import MobileNetGroups

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
SPACE = MobileNetGroups(image_size=32, classes=10, width=0.25, stem_stride=1).describe()
SETTINGS = {"population": 20, "parents": 8, "mutations": 8, "crossovers": 6, "children": 10}
TIMEOUT_S = 5.0
PATIENCE_S = 120.0
"""Without a step forward for as long, something hangs."""


class SoakFailed(Exception):
    """The search did not survive a fault; says what is wrong, and where."""


class SoakedSearch:
    """A search in `work`/`seed` of the settings `method`.

    A driver that runs is `driver`; each start begins another `life`, numbered over all searches.
    """

    life = 0

    def __init__(self, work, seed, method):
        self.work, self.seed, self.method = work, seed, method
        self.folder = work / f"{seed}" / "search"
        self.driver = None
        self.calm = b""

    def ask(self, budget):
        """Set the budget, and make the calm run of it: serial, in this process, from the start."""
        self.budget = budget
        folder = self.work / f"{self.seed}-calm-{budget}" / "search"
        stage = SearchStage.model_validate_json(self._stage(workers=0))
        with contextlib.redirect_stderr(io.StringIO()):
            run_search(stage, folder, self.work / "supernet", scorer_factory=calm_scorer)
        # What a serial run cannot say of a candidate that kills whoever scores it.
        died = f'"{out_of_tries().reason}"'
        history = (folder / "history.jsonl").read_bytes()
        self.calm = history.replace(f'"{WHILE_CALM}:"'.encode(), died.encode())
        self.calm_best = (folder / "best.json").read_bytes()

    def start(self):
        """Start the driver, in a process group of its own as a terminal does."""
        SoakedSearch.life += 1
        self.recorded_before = architectures(self.lines())
        self.began = self.stepped = time.monotonic()
        self._seen = len(self.lines())
        self._calls_before = (self.work / "calls").stat().st_size
        with open(self._stderr(), "wb") as file:
            self.driver = subprocess.Popen(
                self.command(), env=self.environment(), stderr=file, start_new_session=True
            )

    def command(self, workers=2, life=None):
        """The search's command: the same ever again, but for the number of the life."""
        life = life or self.life
        words = [self._stage(workers), self.folder, self.work / "supernet", self.work, life]
        return [sys.executable, *map(str, [HERE / "soak_driver.py", *words])]

    def _stage(self, workers):
        search = {**SETTINGS, "evaluations": self.budget, "feasibility_samples": 50}
        search |= {**self.method, "workers": workers, "timeout_s": TIMEOUT_S}
        return SearchStage(space=SPACE, search=search, seed=self.seed).model_dump_json()

    def environment(self):
        """With a temporary folder of the soak's own, and this checkout to import."""
        paths = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        given = {"TMPDIR": str(self.work / "t"), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        return {**os.environ, **given}

    def _stderr(self):
        return self.work / f"driver{self.life}.txt"

    def last_words(self):
        """The last line that the driver of this life wrote."""
        return (self._stderr().read_text(errors="replace").splitlines() or [""])[-1]

    def is_done(self, patience_s):
        """Whether the driver has brought the search to its end within so many seconds.

        Raises:
            SoakFailed: it ended otherwise, hangs, or recorded something else than the calm run.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.driver.wait(patience_s)
        code = self.driver.poll()
        if (seen := len(self.lines())) != self._seen:
            self._seen, self.stepped = seen, time.monotonic()
        if code is None:
            if time.monotonic() - self.stepped > PATIENCE_S:
                raise SoakFailed(f"nothing recorded for {PATIENCE_S:g} s, see {self._stderr()}")
            return False
        self.bury()
        if code != 0:
            raise SoakFailed(f"the driver ended with {code}, see {self._stderr()}")
        if self.content() != self.calm:
            raise SoakFailed(f"{self.folder}/history.jsonl is not that of the calm run")
        if (self.folder / "best.json").read_bytes() != self.calm_best:
            raise SoakFailed(f"{self.folder}/best.json is not that of the calm run")
        return True

    def bury(self, patience_s=60):
        """Wait for the driver's end, look at what it did; returns its exit code.

        Raises:
            SoakFailed: it goes on, or scored a candidate that had been recorded before its start.
        """
        try:
            code = self.driver.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise SoakFailed(f"the driver did not end, see {self._stderr()}") from None
        self.driver = None
        self.lines()
        if again := self.recorded_before & {architecture for _, architecture in self.calls()}:
            raise SoakFailed(f"life {self.life}: recorded, and scored again: {sorted(again)}")
        return code

    def calls(self, life=None):
        """(process, architecture) of every call that a scorer began, of this life by default."""
        with open(self.work / "calls", "rb") as file:
            file.seek(self._calls_before)
            words = [line.split() for line in file.read().decode().splitlines()]
        return [(int(word[1]), word[2]) for word in words if word[0] == str(life or self.life)]

    def content(self):
        """The history as it is."""
        path = self.folder / "history.jsonl"
        return path.read_bytes() if path.exists() else b""

    def lines(self):
        """Its whole lines.

        Raises:
            SoakFailed: they are not the first ones of the calm run.
        """
        content = self.content()
        whole = content[: content.rfind(b"\n") + 1]
        if not self.calm.startswith(whole):
            raise SoakFailed(f"{self.folder}/history.jsonl does not begin as that of the calm run")
        return whole.splitlines()


def architectures(lines):
    """Those of lines of a history, as text."""
    recorded = (json.loads(line)["architecture"].values() for line in lines)
    return {",".join(map(str, choices)) for choices in recorded}
