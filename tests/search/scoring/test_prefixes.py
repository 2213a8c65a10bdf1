"""Scoring together: what networks have in common is computed once, with the same results."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from deploy.kernels import library
from search.scoring.config import SearchScoringConfig
from search.scoring.packed_scorer import PackedScorer
from supernet.architecture import Architecture
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from tests.supernet.spaces.every_space import SMALL_SPACES
from training.scoring.calibration import calibrate_batch_norm
from training.scoring.scorer import Scorer
from training.scoring.shared_prefixes import SharedPrefixes

SIZES = {"calibration": 8, "images": 13}
CASES = [
    (Scorer, "mobilenet-groups", "nested"),
    (Scorer, "mobilenet-groups with widths", "sliced"),
    (Scorer, "spos-blocks", "independent"),
    (Scorer, "mixed-precision", "sliced"),
    (Scorer, "metapruning", "generated"),
    (Scorer, "metapruning mobilenet-v2", "sliced"),
    (PackedScorer, "mobilenet-groups", "independent"),
    (PackedScorer, "mobilenet-groups", "nested"),
    (PackedScorer, "mobilenet-groups with widths", "sliced"),
    (PackedScorer, "wide-binary", "sliced"),
    (PackedScorer, "real shortcuts", "independent"),
]
REAL_SHORTCUTS = {
    **SMALL_SPACES["mobilenet-groups"],
    "shortcut": "conv",
    "image_size": 18,  # maps of 9 and 5: windows that begin inside and end outside
}


def a_scorer(kind: type[Scorer], name: str, sharing: str) -> tuple[Scorer, dict]:
    """Of a supernet with random weights and norms; and its arrays, which may not be written."""
    description = {**SMALL_SPACES, "real shortcuts": REAL_SHORTCUTS}[name]
    space = space_from_description(description)
    torch.manual_seed(0)
    supernet = Supernet(space, sharing)
    for part, parameter in supernet.named_parameters():
        if ".norm" in part and part.endswith("weight"):
            parameter.data.uniform_(0.5, 1.5)
    rng, size = np.random.default_rng(0), description["image_size"]
    arrays = {f"weights/{part}": value.numpy() for part, value in supernet.state_dict().items()}
    arrays |= {
        part: rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
        for part, count in SIZES.items()
    }
    arrays |= {
        "labels": rng.integers(0, 5, SIZES["images"]),
        "mean": np.full(3, 0.5),
        "std": np.full(3, 0.25),
        "binarization": np.frombuffer(json.dumps({}).encode(), np.uint8),
        "sharing": np.frombuffer(sharing.encode(), np.uint8),
    }
    for array in arrays.values():
        array.flags.writeable = False
    config = SearchScoringConfig(calibration_batch=4, batch_size=5, device="cpu")
    return kind(space.describe(), arrays, config), arrays


def a_generation(space: SearchSpace, count: int = 5) -> list[Architecture]:
    """Some that part early, some that part late, and one twice."""
    rng = random.Random(0)
    first = space.sample(rng)
    found = [first, space.sample(rng), first]
    while len(found) < count:
        position = space.positions[-rng.randint(1, 2)]
        found.append(
            space.architecture(
                {**rng.choice(found), position.name: rng.choice(position.choices)},
            )
        )
    return found


def answers(
    scorer: Scorer, architectures: Sequence[Architecture], num_blocks: int, max_bytes: int = 1 << 30
) -> dict[int, list[list[tuple[bool, float]]]]:
    """Of each block, whether each image's class is right, and its loss."""
    found = [
        (number, [list(zip(*map(np.ndarray.tolist, block), strict=True)) for block in blocks])
        for number, blocks in scorer.answer(architectures, num_blocks, max_bytes)
    ]
    assert sorted(number for number, _ in found) == list(range(len(architectures)))
    return dict(found)


@pytest.mark.parametrize(("kind", "name", "sharing"), CASES)
def test_together_as_one_by_one(kind: type[Scorer], name: str, sharing: str) -> None:
    scorer, arrays = a_scorer(kind, name, sharing)
    architectures = a_generation(scorer.supernet.space)
    before = {part: array.tobytes() for part, array in arrays.items()}
    alone = {
        num_blocks: [answers(scorer, [one], num_blocks)[0] for one in architectures]
        for num_blocks in (1, 4)
    }
    for num_blocks, max_bytes in ((1, 1 << 30), (4, 1 << 30), (4, 60_000), (1, 0)):
        together = answers(scorer, architectures, num_blocks, max_bytes)
        assert [together[number] for number in sorted(together)] == alone[num_blocks]
    for architecture, (whole,), blocks in zip(architectures, alone[1], alone[4], strict=True):
        assert 100.0 * sum(right for right, _ in whole) / len(whole) == scorer.score(architecture)
        assert [loss for _, loss in whole] == scorer.answers(architecture).losses.tolist()
        # Image 4 k + b is the k-th of block b.
        assert [len(block) for block in blocks] == [4, 3, 3, 3]
    assert {part: array.tobytes() for part, array in arrays.items()} == before
    assert list(scorer.answer([])) == []


def test_logits_are_equal_bit_for_bit() -> None:
    for kind, name, sharing in (
        (Scorer, "spos-blocks", "independent"),
        (PackedScorer, "mobilenet-groups", "nested"),
    ):
        scorer, _ = a_scorer(kind, name, sharing)
        seen: list[bytes] = []
        classes_of = scorer._classes_of

        def noting(logits, classes_of=classes_of, seen=seen):
            seen.append(np.asarray(logits).tobytes())
            return classes_of(logits)

        scorer._classes_of = noting  # type: ignore[method-assign]
        architectures = list(dict.fromkeys(a_generation(scorer.supernet.space)))
        together = {}
        for number, blocks in scorer.answer(architectures):
            list(blocks)
            together[number] = seen.copy()
            seen.clear()
        for number, architecture in enumerate(architectures):
            answers(scorer, [architecture], 1)
            assert together[number] == seen
            seen.clear()


def test_torch_calibrates_as_ever() -> None:
    """Against a whole copy of the path, by hand."""
    scorer, arrays = a_scorer(Scorer, "spos-blocks", "independent")
    architectures = a_generation(scorer.supernet.space)
    found = answers(scorer, architectures, 1)
    for number, architecture in enumerate(architectures):
        network = scorer.supernet.extract(architecture).to(memory_format=torch.channels_last)
        calibration = torch.from_numpy(arrays["calibration"].copy()).split(4)
        calibrate_batch_norm(network, map(scorer._prepare, calibration))
        with torch.no_grad():
            images = torch.from_numpy(arrays["images"].copy()).split(5)
            logits = torch.cat([network(scorer._prepare(one)) for one in images])
        labels = torch.from_numpy(arrays["labels"].copy())
        losses = F.cross_entropy(logits.double(), labels, reduction="none")
        (of_one,) = found[number]
        assert [right for right, _ in of_one] == (logits.argmax(1) == labels).tolist()
        assert [loss for _, loss in of_one] == pytest.approx(losses.tolist(), rel=1e-12)


def test_without_compiled_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, _ = a_scorer(PackedScorer, "wide-binary", "sliced")
    architectures = a_generation(scorer.supernet.space, 4)
    with_kernels = answers(scorer, architectures, 2)
    monkeypatch.setattr(library, "load", lambda: None)
    scorer, _ = a_scorer(PackedScorer, "wide-binary", "sliced")
    together = answers(scorer, architectures, 2)
    assert together == {
        number: answers(scorer, [architecture], 2)[0]
        for number, architecture in enumerate(architectures)
    }
    same = [
        one[0] == other[0]
        for number in together
        for ours, theirs in zip(together[number], with_kernels[number], strict=True)
        for one, other in zip(ours, theirs, strict=True)
    ]
    assert sum(same) >= 0.95 * len(same)


class Recorder:
    """An engine of whole numbers, which counts what it computes.

    A block makes x * 31 + a number of its own + its statistic, modulo 1009, of every x of a batch.
    In calibration that is the batch's sum; later the sum over the batches, each times its number.
    """

    num_images = 6 + 9

    def __init__(self, networks: Sequence[Sequence[str]], num_blocks: int) -> None:
        self.networks, self.num_blocks = networks, num_blocks
        self.calibrated: Counter[str] = Counter()
        self.evaluated: Counter[tuple[str, int]] = Counter()

    def segment(self, number: int, first: int, last: int) -> "RecorderSegment":
        return RecorderSegment(self, "".join(self.networks[number][:last]), first)

    def calibration(self) -> Iterable[np.ndarray]:
        return (np.array([batch, 2 * batch]) for batch in range(3))

    def images(self, block: int) -> Iterable[np.ndarray]:
        yield np.arange(9)[block :: self.num_blocks]

    def answers(self, block: int, logits: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(logits))  # more than whether they are right


class RecorderSegment:
    def __init__(self, engine: Recorder, path: str, first: int) -> None:
        self.engine, self.path, self.blocks = engine, path, path[first:]
        self.statistics = [0] * len(self.blocks)
        self.is_calibrated = False

    def calibrated(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for number, batch in enumerate(batches):
            for index, block in enumerate(self.blocks):
                own = int(batch.sum())
                self.statistics[index] += number * own
                batch = made(batch, block, own)
            yield batch
        self.engine.calibrated[self.blocks] += 1
        assert number == 2, "every calibration sees all batches"
        self.is_calibrated = True

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        assert self.is_calibrated
        self.engine.evaluated[self.path, len(batch)] += 1
        for block, statistic in zip(self.blocks, self.statistics, strict=True):
            batch = made(batch, block, statistic)
        return batch


def made(batch: np.ndarray, block: str, statistic: int) -> np.ndarray:
    return (batch * 31 + ord(block) + statistic) % 1009


def by_itself(network: str, num_blocks: int) -> list[list[int]]:
    """All blocks of images, by one segment of all blocks."""
    engine = Recorder([network], num_blocks)
    segment = engine.segment(0, 0, len(network))
    assert len(list(segment.calibrated(engine.calibration()))) == 3
    return [segment(*engine.images(block)).tolist() for block in range(num_blocks)]


def record(
    networks: Sequence[str], num_blocks: int, max_bytes: int, taken: Sequence[int]
) -> tuple[Recorder, dict[int, list[list[int]]]]:
    """What is found where of network n only the first `taken[n]` blocks are asked for."""
    engine = Recorder(networks, num_blocks)
    found = {
        number: [block.tolist() for block in itertools.islice(blocks, taken[number])]
        for number, blocks in SharedPrefixes(engine, networks, num_blocks, max_bytes)
    }
    return engine, found


@given(
    st.lists(st.text("ab", min_size=5, max_size=5), min_size=1, max_size=8),
    st.integers(1, 4),
    st.integers(0, 600),  # a place takes 120
    st.data(),
)
def test_any_networks_any_memory_any_blocks_taken(
    networks: list[str], num_blocks: int, max_bytes: int, data: st.DataObject
) -> None:
    taken = [data.draw(st.integers(0, num_blocks)) for _ in networks]
    engine, found = record(networks, num_blocks, max_bytes, taken)
    assert found == {
        number: by_itself(network, num_blocks)[: taken[number]]
        for number, network in enumerate(networks)
    }
    if max_bytes >= 480:  # four places on a path of five blocks
        times: Counter[str] = Counter()
        for (path, _), count in engine.evaluated.items():
            times[path] += count
        assert all(count <= num_blocks for count in times.values())
        assert all(count == 1 or len(blocks) < 5 for blocks, count in engine.calibrated.items())


def test_every_common_block_is_computed_once() -> None:
    networks = ["stab", "stac", "stbb", "stab", "uvwx"]
    engine, _ = record(networks, 1, 1 << 30, [1] * 5)
    assert engine.calibrated == Counter(("st", "a", "b", "c", "bb", "uvwx"))
    assert engine.evaluated == Counter(
        {(path, 9): 1 for path in ("st", "sta", "stab", "stac", "stbb", "uvwx")}
    )


def test_what_is_not_taken_is_not_computed() -> None:
    # Block 0 has five images, block 1 four.
    engine, _ = record(["stab", "stac", "stbb"], 2, 1 << 30, [1, 0, 2])
    assert engine.calibrated == Counter(("st", "a", "b", "c", "bb"))
    assert engine.evaluated == Counter(
        {("st", 5): 1, ("st", 4): 1, ("stbb", 5): 1, ("stbb", 4): 1, ("sta", 5): 1, ("stab", 5): 1}
    )


def test_too_little_memory_computes_again() -> None:
    # 15 images of 8 bytes are 120 bytes a place; there are two, behind "st" and behind "sta".
    networks = ["stab", "stac", "stbb"]
    for max_bytes, expected in (
        (240, ("st", "a", "b", "c", "bb")),
        (239, ("st", "ab", "ac", "bb")),
        (119, ("stab", "stac", "stbb")),
    ):
        engine, _ = record(networks, 1, max_bytes, [1] * 3)
        assert engine.calibrated == Counter(expected)


def test_a_place_is_dropped_before_the_next() -> None:
    # Two places side by side, behind "s" and behind "t", in the memory of one.
    engine, _ = record(["sa", "sb", "ta", "tb"], 1, 120, [1] * 4)
    assert engine.calibrated == Counter({"s": 1, "t": 1, "a": 2, "b": 2})
