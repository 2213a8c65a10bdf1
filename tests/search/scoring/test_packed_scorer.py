"""The packed engine of scoring: torch's classes, the same score anywhere, and what it refuses."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.kernels.library import set_threads
from search.config import SearchConfig, SearchStage
from search.run import run_search, scorer_of
from search.scoring.config import SearchScoringConfig
from search.scoring.packed_scorer import PackedScorer, check_packed
from supernet.binarization import Binarization
from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryUnitSpec, HeadSpec, StemSpec
from supernet.supernet import Supernet
from tests.supernet.spaces.every_space import SMALL_SPACES
from training.data import DataConfig
from training.scoring.calibration import calibrate_batch_norm
from training.scoring.scorer import Scorer, scoring_arrays
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

PACKED = {"mobilenet-groups", "mobilenet-groups with widths", "wide-binary"}


@pytest.fixture(params=["independent", "nested", "sliced"])
def trained(request: pytest.FixtureRequest, stages: dict, tmp_path: Path) -> Path:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    supernet = {**stages["supernet"], "epochs": 10, "sharing": request.param}
    train_supernet(SupernetStage(**sections, supernet=supernet), tmp_path / "supernet")
    return tmp_path / "supernet"


def test_classes_and_scores_equal_torchs(
    trained: Path, stages: dict, tiny_space: MobileNetGroups
) -> None:
    config = SearchScoringConfig(**stages["search"]["scoring"], engine="packed")
    arrays = scoring_arrays(trained, DataConfig(**stages["data"]), config, seed=0)
    for array in arrays.values():
        array.flags.writeable = False  # as Ray shares them
    factory = pickle.loads(pickle.dumps(scorer_of(tiny_space, SearchConfig(scoring=config))))
    scorer, theirs = factory(arrays), Scorer(tiny_space.describe(), arrays, config)
    assert isinstance(scorer, PackedScorer)
    architectures = [tiny_space.uniform(groups) for groups in (1, 2, 4)]
    scores = [scorer(architecture) for architecture in architectures]
    same = total = 0
    for architecture, score in zip(architectures, scores, strict=True):
        # In doubles: convolutions in single precision round away differences.
        twin = theirs.supernet.extract(architecture).double()
        batches = theirs._calibration.split(config.calibration_batch)
        calibrate_batch_norm(twin, (theirs._prepare(batch).double() for batch in batches))
        with torch.no_grad():
            expected = twin(theirs._prepare(theirs._images).double()).argmax(1).numpy()
        found = scorer.classes(architecture)
        same, total = same + int((found == expected).sum()), total + len(found)
        assert score == 100 * float((found == arrays["labels"]).mean())
    assert same >= 0.999 * total
    assert max(scores) > 40, "chance is 25 % of four classes"
    # Whatever was scored before, and on any number of threads.
    threads = torch.get_num_threads()
    try:
        again = PackedScorer(
            tiny_space.describe(), arrays, config.model_copy(update={"threads": 2})
        )
        assert [again(architecture) for architecture in reversed(architectures)] == scores[::-1]
    finally:
        set_threads(config.threads)
        torch.set_num_threads(threads)
    assert scorer(architectures[0]) == scores[0]


def test_a_search_says_what_it_runs_on_and_records_it(
    stages: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    train_supernet(SupernetStage(**sections, supernet=stages["supernet"]), tmp_path / "supernet")
    scoring = {**stages["search"]["scoring"], "engine": "packed"}
    stage = SearchStage(**sections, search={**stages["search"], "scoring": scoring})
    summary = run_search(stage, tmp_path / "search", tmp_path / "supernet")
    assert summary["evaluations"] == 12  # 4 + 2 generations of 4
    assert "on CPU, 1 thread(s) each, 1-bit kernels (" in capsys.readouterr().err
    torchs = SearchStage(**sections, search=stages["search"])
    with pytest.raises(UserError, match="search.scoring.engine was 'packed', now None"):
        run_search(torchs, tmp_path / "search", tmp_path / "supernet")


BINARY = Binarization()


def refusal(space: SearchSpace, binarization: Binarization = BINARY, **given: str) -> str:
    config = SearchScoringConfig(engine="packed", **{"device": "cpu", **given})
    with pytest.raises(UserError) as refused:
        check_packed(space, binarization, config)
    return str(refused.value)


def test_what_cannot_be_packed_is_refused(
    tiny_space: MobileNetGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "expected precision 'auto', 'fp32' or" in refusal(tiny_space, precision="bf16")
    real = Binarization(weights="real")
    assert "trained with {'weights': 'real'}; choose engine" in refusal(tiny_space, real)
    zero = Binarization(sign_of_zero=0)
    assert "with sign(0) = 1; the supernet was trained with" in refusal(tiny_space, zero)
    monkeypatch.setattr(
        "search.scoring.packed_scorer.choose_device", lambda name: torch.device("cuda")
    )
    assert "device 'auto' is cuda here; choose device 'cpu'" in refusal(tiny_space, device="auto")


@pytest.mark.parametrize("name", SMALL_SPACES)
def test_spaces_that_do_not_pack_are_refused(name: str) -> None:
    space = space_from_description(SMALL_SPACES[name])
    kinds = {type(block) for blocks in space.block_candidates().values() for block in blocks}
    is_chain = kinds <= {StemSpec, BinaryUnitSpec, HeadSpec}
    assert is_chain or name not in PACKED
    if is_chain:
        check_packed(space, Binarization(), SearchScoringConfig(engine="packed", device="cpu"))
    else:
        assert "choose engine 'torch'" in refusal(space)


def test_kept_blocks_are_those_of_their_name_and_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    space = space_from_description(SMALL_SPACES["wide-binary"])
    supernet = Supernet(space, "sliced")
    arrays = {f"weights/{name}": value.numpy() for name, value in supernet.state_dict().items()}
    rng = np.random.default_rng(0)
    arrays |= {
        "calibration": rng.integers(0, 256, (8, 3, 16, 16), dtype=np.uint8),
        "images": rng.integers(0, 256, (10, 3, 16, 16), dtype=np.uint8),
        "labels": rng.integers(0, 5, 10),
        "mean": np.full(3, 0.5),
        "std": np.full(3, 0.25),
        "binarization": np.frombuffer(b"{}", np.uint8),
        "sharing": np.frombuffer(b"sliced", np.uint8),
    }
    config = SearchScoringConfig(calibration_batch=4, engine="packed", device="cpu")
    first, last = space.first(), {p.name: p.choices[-1] for p in space.positions}
    architectures = [first, space.architecture(last), first]
    kept = PackedScorer(space.describe(), arrays, config)
    found = [kept.classes(architecture).tolist() for architecture in architectures]
    assert found[0] == found[2]
    monkeypatch.setattr("search.scoring.packed_scorer.MAX_KEPT_BYTES", 0)
    forgetful = PackedScorer(space.describe(), arrays, config)
    assert [forgetful.classes(one).tolist() for one in reversed(architectures)] == found[::-1]
    assert len(forgetful._blocks) == len(space.decode(first).blocks)
