"""Train and score networks one after another, or side by side as Ray tasks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluate.score import score_network
from evaluate.test_split import check_unchanged, open_network, open_test_split
from supernet.files import RunFailed, UserError, read_json, write_json
from supernet.plugins import allow
from training.data import open_training_data
from training.device import set_threads
from training.network_training import WEIGHTS, TrainingJob, train_network
from training.processes.distributed import on_first
from training.run_files.folder import RunFolder
from training.run_files.progress import Progress, read_progress

MAX_TRIES = 3
OF_EACH = ("classes", "losses")
"""What of a score is of every class or image, and too long for a log."""

TEST_SCORE = "test_score.json"
SEARCH_SCORE = "search_score.json"
SECONDS_BETWEEN_REPORTS = 60.0
"""After so long without a result a line tells of what is trained; half of it on a terminal."""


def score_file(job: TrainingJob) -> Path:
    """Where a job's score is kept: on the test split, or on the search split that it left out."""
    return job.folder / (TEST_SCORE if job.images == "everything" else SEARCH_SCORE)


def train_and_score(job: TrainingJob) -> dict[str, Any]:
    """Train the job's network, then score it, once: see `score_file`.

    The test split is opened for networks that were trained on everything, and for no others. The
    score is kept in the job's folder; a second call reads it. Where torchrun started several
    processes, all of them train and the first one scores.
    """
    score = score_file(job)
    allow(job.space["name"], job.data.name)  # a worker's process has read no config

    def scored() -> dict[str, Any]:
        set_threads(job.settings.threads)  # training sets it too, unless it was done before
        trained = open_network(path)
        is_tested = job.images == "everything"
        if is_tested:
            images = open_test_split(trained, path, compare=False).images
        else:
            data = open_training_data(trained.data)
            check_unchanged(trained, path, data)
            images = data.search
        device = job.settings.device
        write_json(score, score_network(trained, images, device, with_losses=not is_tested))
        return read_json(score, what="score")

    if not on_first(score.exists):
        path = train_network(job)
        return on_first(scored)
    return on_first(lambda: read_json(score, what="score"))


def run_jobs(
    jobs: Sequence[TrainingJob], workers: int, folder: RunFolder
) -> dict[str, dict[str, Any]]:
    """The scores of all jobs by name; `workers` at a time on Ray, or 0 in this process.

    A job's `settings.threads` must be a number, so that no result depends on where it is trained.

    Raises:
        UserError: more workers than this machine has CPUs for.
        RuntimeError: a job's process died three times, or the job failed.
    """
    done = sum(score_file(job).exists() for job in jobs)
    with Progress(folder.stage, len(jobs), done, folder.path) as progress:
        left = [job for job in jobs if not score_file(job).exists()]
        if workers and len(left) > 1:
            _run_on_ray(left, workers, progress, folder)
        for job in jobs:
            is_old = on_first(score_file(job).exists)
            score = train_and_score(job)
            if not is_old:
                _note(job, score, progress, folder)
    return {job.name: train_and_score(job) for job in jobs}


def _note(job: TrainingJob, score: dict[str, Any], progress: Progress, folder: RunFolder) -> None:
    numbers = {name: value for name, value in score.items() if name not in OF_EACH}
    on_first(lambda: folder.log("network", name=job.name, **numbers))
    progress.advance(top1=score["top1"])


def _run_on_ray(
    jobs: Sequence[TrainingJob], workers: int, progress: Progress, folder: RunFolder
) -> None:
    """Feed jobs to Ray, `workers` at a time. The driver owns the retries: a job resumes itself."""
    from training.processes.ray_session import connected

    threads = jobs[0].settings.threads
    if threads is None:
        raise ValueError("a job's settings.threads must be a number")
    with connected(None, 0) as ray:
        offered = ray.cluster_resources()
        cpus, gpus = int(offered.get("CPU", 0)), offered.get("GPU", 0)
        if workers * threads > cpus:
            raise UserError(
                f"asked for {workers} workers of {threads} threads each, this machine offers "
                f"{cpus} CPUs; lower {folder.stage}.workers or {folder.stage}.threads"
            )
        options: dict[str, Any] = {"num_cpus": threads, "max_retries": 0}
        if gpus and jobs[0].settings.device != "cpu":
            options["num_gpus"] = 1 / -(-workers // int(gpus))
        task = ray.remote(**options)(_train_and_score_in_worker)
        waiting = list(reversed(jobs))
        running: dict[Any, TrainingJob] = {}
        tries = dict.fromkeys((job.name for job in jobs), 0)
        interval = SECONDS_BETWEEN_REPORTS / (2 if progress.is_on_terminal else 1)
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                tries[job.name] += 1
                running[task.remote(job, threads, str(Path.cwd()), sys.path)] = job
            ready, _ = ray.wait(list(running), num_returns=1, timeout=interval)
            if not ready:
                progress.say(", ".join(map(_how_far, running.values())))
                continue
            job = running.pop(ready[0])
            try:
                _note(job, ray.get(ready[0]), progress, folder)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise error.cause from None
                raise RunFailed(f"training {job.name} failed: {error.cause}") from error
            except ray.exceptions.RayError as error:
                folder.log("worker lost", name=job.name, attempt=tries[job.name], error=str(error))
                if tries[job.name] == MAX_TRIES:
                    raise RunFailed(f"training {job.name} died {MAX_TRIES} times") from error
                waiting.append(job)


def _how_far(job: TrainingJob) -> str:
    """A network that is trained in another process, in a few words: 'ID-seed0 450/1688 (27%)'."""
    if (job.folder / WEIGHTS).exists():
        return f"{job.name} trained"
    found = read_progress(job.folder)
    if found is None or not found["total"]:
        return f"{job.name} starting"
    if not found["per_second"]:  # its first steps, which include what torch.compile does
        return f"{job.name} {'compiling' if job.compile else 'starting'}"
    return f"{job.name} {found['done']}/{found['total']} ({found['done'] / found['total']:.0%})"


def _train_and_score_in_worker(
    job: TrainingJob, threads: int, working_folder: str, paths: list[str]
) -> dict[str, Any]:
    """`train_and_score` in a Ray worker, in the driver's folder, quietly."""
    import os

    import torch

    sys.path.extend(path for path in paths if path not in sys.path)
    os.chdir(working_folder)  # the job's paths may be relative
    torch.set_num_threads(threads)
    settings = job.settings.model_copy(update={"threads": threads})
    return train_and_score(replace(job, settings=settings))
