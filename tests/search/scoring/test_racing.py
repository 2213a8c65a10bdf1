"""Racing: clear losers stop early, by an exact test against the last of the leaders."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from search.config import SearchConfig, SearchStage
from search.pools.ray_pool import RayPool
from search.run import run_search
from search.scoring.racing import Leaders, RacingConfig, from_bytes, race, sign_test, to_bytes
from search.scoring.scorer import TogetherScorer
from search.scoring.tasks import Score
from search.searchers import SEARCHERS, SearcherConfig
from supernet.candidate import Candidate, best
from supernet.history_file import read_history
from tests.search.conftest import SMALL
from tests.search.test_lag import ShuffledPool
from training.scoring.answers import Answers

quick = settings(deadline=None, max_examples=50)


def blocks_of(bits, count):
    return [bits[block::count] for block in range(count)]


def in_order(bits, count):
    return np.concatenate(blocks_of(bits, count))


def test_the_sign_test_is_exact():
    assert sign_test(0, 5) == 1 / 32
    assert sign_test(1, 3) == (4 + 1) / 16
    assert sign_test(3, 1) == (4 + 6 + 4 + 1) / 16
    assert sign_test(0, 0) == 1


@pytest.mark.parametrize(("wins", "losses"), [(3, 9), (40, 61), (7, 7)])
def test_the_sign_test_is_scipys(wins, losses):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(losses, wins + losses, 0.5, alternative="greater").pvalue
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)


def test_a_loser_stops_and_its_top1_is_guessed_from_common_images():
    """Of 40 images in 4 blocks the rival has 32 right, the candidate none of the first 20.

    p after the first block of 10: it loses 8, wins 0: 2^-8 = 0.0039 <= 0.06 / 3.
    """
    rival = np.tile([True] * 4 + [False], 8)
    looked = []

    def blocks():
        for block in blocks_of(np.zeros(40, bool), 4):
            looked.append(len(block))
            yield block

    config = RacingConfig(blocks=4, level=0.06)
    found = race(blocks(), to_bytes(in_order(rival, 4)), config, 40)
    assert looked == [10]
    losses = int(rival[0::4].sum())
    assert losses == 8
    assert found == Score(80.0 - 100 * 8 / 10, images=10)


def test_the_level_is_shared_by_all_tests():
    """5 losses in the first block: p = 1/32 = 0.031; 0.1 / 3 lets it stop, 0.09 / 3 does not."""
    rival = np.array([True] * 20 + [False] * 20)
    own = rival.copy()
    own[0:20:4] = False
    run = partial(race, blocks_of(own, 4), to_bytes(in_order(rival, 4)), images=40)
    assert run(config=RacingConfig(blocks=4, level=0.1)).images == 10
    assert run(config=RacingConfig(blocks=4, level=0.09)).images is None


@quick
@given(st.data())
def test_who_is_not_stopped_has_the_score_of_all_images(data):
    count = data.draw(st.integers(8, 70))
    bits = st.lists(st.booleans(), min_size=count, max_size=count).map(np.array)
    own, rival = data.draw(bits), data.draw(bits)
    blocks = data.draw(st.integers(2, 8))
    config = RacingConfig(blocks=blocks, level=data.draw(st.floats(0.001, 0.5)))
    packed = to_bytes(in_order(rival, blocks))
    found = race(blocks_of(own, blocks), packed, config, count)
    alone = race(blocks_of(own, blocks), None, config, count)
    assert alone == Score(100.0 * own.sum() / count, correct=to_bytes(in_order(own, blocks)))
    assert (from_bytes(alone.correct, count) == in_order(own, blocks)).all()
    if found.images is None:
        assert found == alone
    else:
        assert 0 < found.images < count
        assert found.top1 < 100.0 * rival.sum() / count or found.top1 == 0


def test_as_good_as_its_rival_is_stopped_as_seldom_as_the_level_says():
    """2,000 pairs of equally good candidates at level 0.1: at most 0.1 + 4 deviations of them."""
    rng, config = np.random.default_rng(0), RacingConfig(blocks=5, level=0.1)
    stopped = 0
    for _ in range(2000):
        own, rival = rng.random((2, 500)) < 0.8
        stopped += race(blocks_of(own, 5), to_bytes(rival), config, 500).images is not None
    assert 0 < stopped / 2000 < 0.1 + 4 * (0.1 * 0.9 / 2000) ** 0.5


def test_bits_of_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match="3 bytes of bits are not of 16 images"):
        from_bytes(b"abc", 16)


def candidate(space, index, top1, images=None):
    return Candidate(index, space.uniform(1), {}, top1, 0, "random", images=images)


def test_the_rival_is_the_last_of_the_leaders(space):
    leaders = Leaders(2)
    leaders.learn([candidate(space, 0, 50.0)])
    assert leaders.rival is None
    leaders.learn([candidate(space, 1, 70.0), candidate(space, 2, 60.0, images=5)])
    assert leaders.rival is not None and leaders.rival.index == 0
    leaders.learn([candidate(space, 3, 60.0)])
    assert leaders.rival is not None and leaders.rival.index == 3


class FakeJudge:
    """An architecture classifies an image right with a chance that its pretend top-1 gives."""

    num_images = 400

    def __init__(self, score):
        self.score, self.looked = score, 0

    def bits(self, architecture):
        import zlib

        seed = zlib.crc32(str(architecture).encode())
        rng = np.random.default_rng(0), np.random.default_rng(seed)
        difficulty = 0.9 * rng[0].random(400) + 0.1 * rng[1].random(400)
        return difficulty < self.score(architecture) / 100

    def answer(self, architectures, num_blocks=1, max_bytes=0):
        for number, architecture in sorted(enumerate(architectures), key=lambda p: str(p[1])):
            yield number, self.lazily(blocks_of(self.bits(architecture), num_blocks))

    def lazily(self, blocks):
        for block in blocks:
            self.looked += len(block)
            yield Answers(block, np.zeros(len(block)))


RACING = RacingConfig(blocks=8, level=0.02, leaders=3)


@pytest.fixture
def judged(score):
    """A factory of scorers, of races or not."""

    def make(racing):
        # Classes of this file are shipped by value as they are nested in what a partial holds.
        return lambda arrays: TogetherScorer(FakeJudge(score), racing, 1 << 20)

    return make


def run_loop(make_searcher, space, path, racing, pool, budget=60, **changed):
    from search.loop import SearchLoop
    from supernet.history_file import History

    config = SMALL.model_copy(update={"racing": racing, **changed})
    searcher, measure = make_searcher(space, "evolution", config=config)
    with pool as started, History(path, space) as history:
        SearchLoop(
            searcher,
            measure,
            history,
            lambda: started,
            on_candidate=lambda one: None,
            log=lambda event, **fields: None,
            races=racing is not None,
        ).run(budget)
        return history.candidates


def test_racing_keeps_the_search_and_its_leaders(make_searcher, wide_space, judged, tmp_path):
    """Parents are always scored in full: the very same candidates are proposed."""
    from search.pools.pool import SerialPool

    plain, raced = (
        run_loop(make_searcher, wide_space, tmp_path / name, racing, SerialPool(judged(racing), {}))
        for name, racing in (("plain", None), ("raced", RACING))
    )
    stopped = [one for one in raced if one.images is not None]
    assert len(stopped) > 20
    assert [one.architecture for one in raced] == [one.architecture for one in plain]
    assert [(one.index, one.top1) for one in best(raced, 3)] == [
        (one.index, one.top1) for one in best(plain, 3)
    ]
    for own, other in zip(raced, plain, strict=True):
        assert own.top1 == other.top1 or own.images is not None
        assert (own.correct is None) == (own.images is not None)
    assert sum(one.images or 400 for one in raced) < 0.8 * 400 * len(raced)


@pytest.mark.parametrize("lag", [None, 5])
def test_order_batches_and_workers_change_no_byte(make_searcher, wide_space, judged, tmp_path, lag):
    from search.pools.pool import SerialPool

    def run(name, pool):
        run_loop(make_searcher, wide_space, tmp_path / name, RACING, pool, lag=lag)
        return (tmp_path / name).read_bytes()

    factory = judged(RACING)
    expected = run("serial", SerialPool(factory, {}))
    assert b'"images":' in expected and b'"correct":' in expected
    assert run("batch", SerialPool(factory, {}, batch=4)) == expected
    assert run("large", SerialPool(factory, {}, batch=100)) == expected
    assert run("shuffled", ShuffledPool(factory, 3, 7)) == expected


def test_a_resumed_race_has_the_same_bytes(make_searcher, wide_space, judged, tmp_path):
    from search.pools.pool import SerialPool

    def run(path, budget):
        pool = SerialPool(judged(RACING), {})
        return run_loop(make_searcher, wide_space, path, RACING, pool, budget)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, 40)
    for budget in (7, 20, 40):
        run(parts, budget)
    assert parts.read_bytes() == whole.read_bytes()
    assert [one.correct for one in read_history(parts, wide_space)] == [
        one.correct for one in read_history(whole, wide_space)
    ]


@pytest.mark.ray
@pytest.mark.slow
def test_ray_workers_race_in_batches(ray, make_searcher, wide_space, judged, tmp_path):
    from ray import cloudpickle

    from search.pools.pool import SerialPool
    from tests.search.scoring import test_racing

    cloudpickle.register_pickle_by_value(test_racing)
    factory = judged(RACING)
    serial = tmp_path / "serial"
    run_loop(make_searcher, wide_space, serial, RACING, SerialPool(factory, {}), 30)
    for batch in (1, 4):
        path = tmp_path / f"ray{batch}"
        pool = RayPool(factory, {}, 2, batch=batch)
        run_loop(make_searcher, wide_space, path, RACING, pool, 30)
        assert path.read_bytes() == serial.read_bytes()


@pytest.mark.parametrize("racing", [None, RACING])
def test_the_command_scores_alike_in_batches_and_alone(
    tmp_path: Path, supernet_run: Path, space, judged, racing
):
    """Through `run_search`; `batch` is no part of the method, a resume may change it."""
    folders = []
    for batch in (1, 5):
        stage = SearchStage(
            space=space.describe(),
            search=SearchConfig(
                **SMALL.model_dump(exclude={"racing"}),
                generations=2,
                batch=batch,
                racing=racing,
                feasibility_samples=50,
            ),
        )
        folders.append(tmp_path / f"batch{batch}")
        run_search(stage, folders[-1], supernet_run, scorer_factory=judged(racing))
    first, second = ((folder / "history.jsonl").read_bytes() for folder in folders)
    assert first == second
    assert (b'"images":' in first) == (racing is not None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"searcher": "nsga2"}, "for searcher evolution or random( or .*)?, not for nsga2"),
        ({"searcher": "regularized"}, "not for regularized"),
        ({"racing": {"leaders": 4}, "parents": 5}, "leaders 4 are fewer than the 5 parents"),
        ({"racing": {"blocks": 1}}, "greater than or equal to 2"),
        ({"racing": {"level": 0}}, "greater than 0"),
    ],
)
def test_what_cannot_race_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        SearchConfig(**{"racing": {}, **given})


def test_every_searcher_takes_the_setting_or_refuses_it():
    for name, kind in SEARCHERS.items():
        given = {"searcher": name, "racing": RacingConfig()}
        if kind.races:
            assert SearchConfig(**given).racing == RacingConfig()
        else:
            with pytest.raises(ValidationError, match=f"racing stops .*, not for {name}"):
                SearchConfig(**given)
    assert SearcherConfig().racing is None


@pytest.mark.parametrize("engine", ["torch", "packed"])
def test_a_real_supernet_races_in_batches_and_alone(
    tmp_path: Path, stages: dict, engine: str
) -> None:
    """Both engines: the history of batches is that of single candidates; best.json too."""
    from training.supernet_stage import SupernetStage
    from training.supernet_training import train_supernet

    sections = {name: stages[name] for name in ("space", "data", "seed")}
    train_supernet(SupernetStage(**sections, supernet=stages["supernet"]), tmp_path / "supernet")
    racing = RacingConfig(blocks=4, level=0.5, leaders=2)
    histories = []
    for batch, chosen in ((1, racing), (5, racing), (5, None)):
        scoring = {**stages["search"]["scoring"], "engine": engine}
        changed = {"scoring": scoring, "batch": batch, "racing": chosen, "generations": 2}
        search = SearchConfig(**{**stages["search"], **changed})
        folder = tmp_path / f"{engine}-{batch}-{chosen is None}"
        run_search(SearchStage(**sections, search=search), folder, tmp_path / "supernet")
        histories.append((folder / "history.jsonl").read_bytes())
    assert histories[0] == histories[1]
    space = SearchStage(**sections).space
    from supernet.spaces import space_from_description

    raced, plain = (
        read_history(folder / "history.jsonl", space_from_description(space))
        for folder in (tmp_path / f"{engine}-1-False", tmp_path / f"{engine}-5-True")
    )
    for own in raced:
        same = [one.top1 for one in plain if one.architecture == own.architecture]
        assert own.images is not None or not same or same == [own.top1]
    assert plain[0].correct is None and raced[0].correct is not None
