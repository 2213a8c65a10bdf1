"""Trainings in phases: two steps, staged from ReLU, teachers, Bop; strict hand-over and resume."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from supernet.binarization import Binarization
from supernet.files import UserError, load_weights
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.processes import begin
from training.data import DataConfig, open_training_data
from training.data.image_set import MemoryImageSet
from training.data.normalisation import Normalisation
from training.loop.phases import check_phases
from training.loop.settings import TrainingSettings
from training.loop.supervised import SupervisedTraining
from training.network_file import load_network
from training.network_training import TrainingJob, train_network
from training.run_files.checkpoint import load_checkpoint
from training.scoring.scorer import Scorer, ScoringConfig, scoring_arrays
from training.supernet_file import load_supernet
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

TWO_STEPS = [
    {"epochs": 16, "binarization": {"weights": "real"}, "weight_decay": 1e-5},
    {"epochs": 1, "learning_rate": 1e-6},
]


def job_of(stages: dict, folder: Path, **settings: object) -> TrainingJob:
    common = {k: v for k, v in stages["supernet"].items() if k != "epochs"}
    return TrainingJob(
        name=folder.name,
        space=stages["space"],
        choices={"block1.spatial": 2, "block2.spatial": 4, "block3.spatial": 1},
        data=DataConfig(**stages["data"]),
        settings=TrainingSettings(**{"epochs": 3, **common, **settings}),
        seed=5,
        compile=False,
        folder=folder,
    )


def log_of(folder: Path) -> list[dict]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == "train"]


def accuracy(path: Path) -> float:
    """Top-1 on the training images, in percent."""
    trained = load_network(path)
    images = open_training_data(trained.data).everything
    pixels, labels = images.read(torch.arange(len(images)))
    seen = trained.normalisation
    x = (pixels / 255 - torch.tensor(seen.mean).view(-1, 1, 1)) / torch.tensor(seen.std).view(
        -1, 1, 1
    )
    with torch.inference_mode():
        return 100 * (trained.network(x).argmax(1) == labels).float().mean().item()


def test_what_a_phase_does_not_say_is_as_above() -> None:
    settings = TrainingSettings(
        epochs=7, learning_rate=0.25, batch_size=32, phases=[{"weight_decay": 0.5}, {"epochs": 2}]
    )
    first, second = settings.in_phases()
    assert (first.epochs, first.learning_rate, first.weight_decay) == (7, 0.25, 0.5)
    assert (second.epochs, second.learning_rate, second.weight_decay) == (2, 0.25, 0.0)
    assert first.batch_size == second.batch_size == 32
    assert settings.total_epochs == 7 + 2
    # What a run folder keeps is read back to the same settings.
    assert TrainingSettings(**json.loads(settings.model_dump_json())) == settings
    assert TrainingSettings(epochs=3).in_phases() == [TrainingSettings(epochs=3)]
    # Field by field: a phase with real weights pads as the others do.
    padded = TrainingSettings(
        binarization={"pad_value": -1}, phases=[{"binarization": {"weights": "real"}}, {}]
    )
    assert [one.binarization.pad_value for one in padded.in_phases()] == [-1, -1]
    assert [one.binarization.weights for one in padded.in_phases()] == ["real", "binary"]
    with pytest.raises(ValidationError, match="batch_size"):
        TrainingSettings(phases=[{"batch_size": 8}])


def test_the_first_phase_decides_how_weights_begin() -> None:
    assert TrainingSettings().initialisation == "uniform"
    assert TrainingSettings(phases=TWO_STEPS).initialisation == "kaiming"
    assert TrainingSettings(optimiser={"bop": {}}).initialisation == "glorot-sign"
    assert TrainingSettings(initialise="positive").initialisation == "positive"


def test_step_two_may_begin_with_fresh_binary_weights(
    stages: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the released step 2 of ReActNet-A does: all else is handed over, and a resume goes on."""
    phases = [TWO_STEPS[0] | {"epochs": 2}, {**TWO_STEPS[1], "redraw": "positive"}]
    job = job_of(stages, tmp_path / "fresh", phases=phases, checkpoint_seconds=0)
    real, steps = SupervisedTraining.step, []

    def cut(self: SupervisedTraining, *given: object) -> torch.Tensor:
        if self._number == 2:
            steps.append(1)
            if len(steps) == 4:
                raise KeyboardInterrupt
        return real(self, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(SupervisedTraining, "step", cut)
        with pytest.raises(KeyboardInterrupt):
            train_network(job)
    assert load_checkpoint(tmp_path / "fresh" / "checkpoint.pt")["step"] == 3
    after, _ = load_weights(train_network(job))
    whole, _ = load_weights(train_network(replace(job, folder=tmp_path / "whole")))
    assert all(torch.equal(after[name], whole[name]) for name in whole)
    before, _ = load_weights(tmp_path / "fresh" / "phase1.safetensors")
    latent = [name for name in before if name.endswith("conv.weight") and "stem" not in name]
    assert latent and before.keys() == after.keys()
    for name in before:  # ten steps at a rate of 1e-6
        if name in latent:
            assert before[name].min() < -0.01 and after[name].min() >= -2e-5
            assert after[name].max() <= 1e-3 + 2e-5
        elif "running" not in name and "num_batches" not in name:
            assert (before[name] - after[name]).abs().max() <= 2e-5, name


def test_step_two_begins_with_what_step_one_learned(stages: dict, tmp_path: Path) -> None:
    path = train_network(job_of(stages, tmp_path / "two", phases=TWO_STEPS))
    first = tmp_path / "two" / "phase1.safetensors"
    after_first = load_network(first)
    assert after_first.binarization == Binarization(weights="real")
    assert load_network(path).binarization == Binarization()
    before, _ = load_weights(first)
    after, _ = load_weights(path)
    assert before.keys() == after.keys()  # no missing name, no extra one
    # At a learning rate of 1e-6 for 10 steps no latent weight moves by more than 10 * 1e-6.
    for name in before:
        if name.endswith("conv.weight"):
            assert (before[name] - after[name]).abs().max() <= 10 * 1e-6 * 1.01
    # Four classes: chance is 25 %. The same second step from fresh weights stays near it.
    learned = accuracy(path)
    scratch = train_network(job_of(stages, tmp_path / "scratch", epochs=1, learning_rate=1e-6))
    assert accuracy(first) > 80
    assert learned > 45 > accuracy(scratch)
    phases = [line["phase"] for line in log_of(tmp_path / "two")]
    assert phases == sorted(phases) and set(phases) == {1, 2}
    assert not (tmp_path / "two" / "checkpoint.pt").exists()


def test_staged_from_relu_to_signs(stages: dict, tmp_path: Path) -> None:
    phases = [
        {"epochs": 4, "binarization": {"weights": "real", "activations": activations}}
        for activations in ("relu", "leaky-clip", "clip")
    ]
    path = train_network(job_of(stages, tmp_path / "staged", phases=[*phases, {"epochs": 8}]))
    kept = [tmp_path / "staged" / f"phase{number}.safetensors" for number in (1, 2, 3)]
    found = [load_network(file).binarization.activations for file in kept]
    assert found == ["relu", "leaky-clip", "clip"]
    assert accuracy(path) > 60


# One in phase 1 is that of a training without phases, as far as its checkpoint goes.
@pytest.mark.parametrize("in_phase", [pytest.param(1, marks=pytest.mark.long), 2])
def test_resumed_in_any_phase_equals_uninterrupted(
    stages: dict, tmp_path: Path, in_phase: int
) -> None:
    """kill -9 in the middle of a phase, or between the two."""
    phases = [{"epochs": 10, "binarization": {"weights": "real"}}, {"epochs": 10}]
    bop = {"optimiser": {"bop": {"gamma": 0.01}}}
    phases[1] |= bop  # Combined's state goes through the checkpoint too
    whole = job_of(stages, tmp_path / "whole", phases=phases)
    train_network(whole)
    cut = replace(whole, folder=tmp_path / "cut")
    process = begin(train_network, cut)
    while not _reached(cut.folder, in_phase):
        assert process.is_alive(), "ended before it was killed"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert not (cut.folder / "network.safetensors").exists()
    train_network(cut)
    expected, found = (
        load_weights(folder / "network.safetensors")[0] for folder in (whole.folder, cut.folder)
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def _reached(folder: Path, phase: int) -> bool:
    """Whether a checkpoint of that phase lies there."""
    path = folder / "checkpoint.pt"
    if phase == 2 and not (folder / "phase1.safetensors").exists():
        return False
    try:
        return path.exists() and load_checkpoint(path)["phase"] == phase
    except UserError:
        return False  # removed between the two looks


def test_a_teacher_is_learned_from_and_its_distance_logged(stages: dict, tmp_path: Path) -> None:
    real = {"binarization": {"weights": "real", "activations": "identity"}}
    teacher = train_network(job_of(stages, tmp_path / "teacher", epochs=10, **real))
    taught = {"distillation": {"teacher": str(teacher)}}
    path = train_network(job_of(stages, tmp_path / "student", epochs=10, **taught))
    divergences = [line["kl"] for line in log_of(tmp_path / "student")]
    assert all(value >= 0 for value in divergences) and divergences[-1] < divergences[0]
    assert accuracy(path) > 60
    assert all("kl" not in line for line in log_of(tmp_path / "teacher"))


def test_bop_leaves_signs_and_logs_flips(stages: dict, tmp_path: Path) -> None:
    settings = {"epochs": 10, "optimiser": {"bop": {"gamma": 0.01, "tau": 1e-6}}}
    path = train_network(job_of(stages, tmp_path / "bop", **settings))
    tensors, _ = load_weights(path)
    convs = [
        t for name, t in tensors.items() if name.endswith("conv.weight") and "stem" not in name
    ]
    assert convs and all((t.abs() == 1).all() for t in convs)
    rates = [line["flip_rate"] for line in log_of(tmp_path / "bop")]
    assert all(0 < rate < 1 for rate in rates)
    assert accuracy(path) > 60


@pytest.mark.parametrize("sharing", ["independent", "nested", "sliced"])
def test_a_supernet_in_two_steps_under_bop(stages: dict, tmp_path: Path, sharing: str) -> None:
    phases = [
        {"epochs": 2, "binarization": {"weights": "real"}},
        {"epochs": 2, "binarization": {"sign": "swish"}, "optimiser": {"bop": {"gamma": 0.01}}},
    ]
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    settings = {**stages["supernet"], "sharing": sharing, "phases": phases}
    stage = SupernetStage(**sections, supernet=settings)
    summary = train_supernet(stage, tmp_path / "run")
    assert summary["steps"] == (2 + 2) * 8  # 128 training images / 16 = 8 steps an epoch
    assert sum(summary["update_counts"]["block1.spatial"].values()) == summary["steps"]
    supernet = load_supernet(tmp_path / "run")
    network = supernet.extract(supernet.space.first())
    assert network.block1_spatial.binarization.sign == "swish"
    first, _ = load_weights(tmp_path / "run" / "phase1.safetensors")
    assert first.keys() == supernet.state_dict().keys()
    # Phase 2 draws paths of its own: else every count over two equal phases would be even.
    counts = [n for by_choice in summary["update_counts"].values() for n in by_choice.values()]
    assert any(count % 2 for count in counts)
    # The resume of a finished first phase counts its paths once.
    (tmp_path / "again").mkdir()
    for name in ("config.yaml", "manifest.json", "phase1.safetensors"):
        (tmp_path / "again" / name).write_bytes((tmp_path / "run" / name).read_bytes())
    manifest = json.loads((tmp_path / "again" / "manifest.json").read_text())
    del manifest["summary"]
    (tmp_path / "again" / "manifest.json").write_text(json.dumps(manifest))
    assert train_supernet(stage, tmp_path / "again") == summary


def test_weights_to_start_from_are_strict(stages: dict, tmp_path: Path) -> None:
    path = train_network(job_of(stages, tmp_path / "one"))
    job = job_of(stages, tmp_path / "on", start_from=path, epochs=1, learning_rate=1e-9)
    expected, _ = load_weights(path)
    found, _ = load_weights(train_network(job))
    for name in expected:
        if name.endswith("weight"):
            assert torch.allclose(expected[name], found[name], atol=1e-7), name
    other = replace(
        job_of(stages, tmp_path / "other", start_from=path),
        space={**stages["space"], "activation": "rprelu"},
    )
    with pytest.raises(UserError, match="missing .*activation.*unexpected|missing"):
        train_network(other)


def test_what_cannot_be_trained_is_refused_early(stages: dict, tmp_path: Path) -> None:
    sections = {name: stages[name] for name in ("space", "data", "seed")}

    def refused(message: str, **settings: object) -> None:
        stage = SupernetStage(**sections, supernet={**stages["supernet"], **settings})
        with pytest.raises(UserError, match=message):
            train_supernet(stage, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    real = {"binarization": {"weights": "real"}, "optimiser": {"bop": {}}}
    refused("optimiser.bop flips binary weights", **real)
    refused("phase 2: optimiser.bop", phases=[{}, real])
    refused("gone.safetensors", start_from=tmp_path / "gone.safetensors")
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"nothing")
    refused("garbage.safetensors", phases=[{}, {"distillation": {"teacher": str(garbage)}}])
    other = train_network(
        replace(
            job_of(stages, tmp_path / "rprelu"), space={**stages["space"], "activation": "rprelu"}
        )
    )
    refused("is another network in space", start_from=other)
    refused("gone.safetensors", distillation={"teacher": str(tmp_path / "gone.safetensors")})


def test_the_recipes_say_what_the_papers_do() -> None:
    configs = Path(__file__).parents[3] / "configs"
    found = {
        path.stem: TrainingSettings(
            **{
                name: value
                for name, value in yaml.safe_load(path.read_text()).get("retrain", {}).items()
                if name in TrainingSettings.model_fields
            }
        )
        for path in configs.glob("*.yaml")
    }
    first, second = found["reactnet_imagenet"].in_phases()
    assert first.binarization.weights == "real" and second.binarization.is_binary
    assert (first.weight_decay, second.weight_decay) == (1e-5, 0)
    assert first.learning_rate == second.learning_rate == 1.25e-3
    assert first.epochs == second.epochs == 128 and first.distillation is not None
    assert found["bireal18_imagenet"].initialisation == "positive"
    bop = found["bop_cifar10"].optimiser.bop
    assert bop is not None and (bop.gamma, bop.tau, bop.gamma_decay_epochs) == (1e-4, 1e-8, 100)


def test_a_norm_momentum_is_for_every_norm(stages: dict, tmp_path: Path) -> None:
    runs = {
        momentum: load_weights(
            train_network(
                job_of(stages, tmp_path / str(momentum), epochs=1, norm_momentum=momentum)
            )
        )[0]
        for momentum in (None, 0.1, 0.9)
    }
    name = "stem.norm.running_var"
    assert torch.equal(runs[None][name], runs[0.1][name])  # torch's default
    assert not torch.equal(runs[0.9][name], runs[0.1][name])


def test_statistics_can_be_those_of_the_training_images(stages: dict, tmp_path: Path) -> None:
    """With all images in one batch: the stem's mean is that of its convolution over them."""
    settings = {"epochs": 1, "batch_size": 160, "calibration_images": 160}
    trained = load_network(train_network(job_of(stages, tmp_path / "run", **settings)))
    images = open_training_data(trained.data).everything
    pixels, _ = images.read(torch.arange(160))
    x = (pixels / 255 - trained.normalisation.mean[0]) / trained.normalisation.std[0]
    expected = trained.network.stem.conv(x).mean((0, 2, 3))
    torch.testing.assert_close(trained.network.stem.norm.running_mean, expected)
    with pytest.raises(ValidationError, match="less than one batch of 160"):
        TrainingSettings(batch_size=160, calibration_images=159)


def test_candidates_are_scored_as_the_supernet_was_trained(stages: dict, tmp_path: Path) -> None:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    setting = {"binarization": {"pad_value": 1, "scaled": False}}
    stage = SupernetStage(**sections, supernet={**stages["supernet"], "epochs": 1, **setting})
    train_supernet(stage, tmp_path / "run")
    config = ScoringConfig(**stages["search"]["scoring"])
    arrays = scoring_arrays(tmp_path / "run", DataConfig(**stages["data"]), config, 0)
    scorer = Scorer(stages["space"], arrays, config)
    conv = scorer.supernet.extract(scorer.supernet.space.first()).block1_spatial.conv
    assert (conv.pad_value, conv.scaled) == (1, False)


def no_images() -> MemoryImageSet:
    return MemoryImageSet(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0).long(), ())


def test_a_teacher_must_fit(tiny_space: MobileNetGroups) -> None:
    spec = tiny_space.decode(tiny_space.first())
    settings = TrainingSettings(distillation={"teacher": "resnet34"})
    with pytest.raises(UserError, match="resnet34"):
        # of 1000 classes; the images do not matter
        check_phases(
            settings, Normalisation((0.5,), (0.25,), 8), spec, list, no_images(), tiny_space
        )
