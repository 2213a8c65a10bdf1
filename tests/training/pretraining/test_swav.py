"""SwAV: codes and losses by arithmetic, Un-Mix's terms, the queue, frozen prototypes, resuming."""

import builtins
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from supernet.architecture_file import save_architecture
from supernet.files import UserError, load_weights
from supernet.network import build
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.pretraining.build import build_method
from training.pretraining.config import PretrainConfig, PretrainStage
from training.pretraining.encoder import Encoder
from training.pretraining.run import pretrain
from training.pretraining.swav import Queue, SwAV
from training.pretraining.unmix import Mixture
from training.run_files.checkpoint import load_checkpoint

SMALL = {
    "method": "swav", "epochs": 3, "batch_size": 16, "projection": 8, "prototypes": 6,
    "learning_rate": 0.1, "threads": 1, "tensorboard": False, "checkpoint_seconds": 0,
    "neighbours": 5,
}  # fmt: skip


@pytest.fixture
def encoder(tiny_space: MobileNetGroups) -> Encoder:
    torch.manual_seed(0)
    return Encoder(build(tiny_space.decode(tiny_space.first())))


def swav_of(encoder: Encoder, **changes: object) -> SwAV:
    method = build_method(encoder, PretrainConfig(**{**SMALL, **changes}))
    assert isinstance(method, SwAV)
    return method.double()


def images(count: int) -> list[Tensor]:
    return [torch.randn(16, 1, 8, 8, dtype=torch.float64) for _ in range(count)]


def slow_codes(scores: Tensor, epsilon: float) -> Tensor:
    """Sinkhorn and Knopp's three rounds, entry by entry: (rows, prototypes), rows sum to 1."""
    rows, prototypes = scores.shape
    q = [[math.exp(scores[i, k] / epsilon) for k in range(prototypes)] for i in range(rows)]
    for _ in range(3):
        for k in range(prototypes):
            total = sum(q[i][k] for i in range(rows))
            for i in range(rows):
                q[i][k] /= total * prototypes
        for i in range(rows):
            total = sum(q[i])
            q[i] = [value / (total * rows) for value in q[i]]
    return torch.tensor(q, dtype=torch.float64) * rows


def cross_entropy(scores: Tensor, codes: Tensor) -> Tensor:
    return -(codes * (scores / 0.1).log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("is_queued", [False, True])
def test_swapped_prediction_with_un_mix(encoder: Encoder, is_queued: bool) -> None:
    """(l(z1, q2) + l(z2, q1)) / 2 + s (l(zm, q2) + l(z2, qm)) / 2 + (1 - s) (both reversed)."""
    queue = {"queue": 20, "queue_from": 0} if is_queued else {}
    method = swav_of(encoder, epsilon=0.1, **queue)
    method.before_step(0, 8)
    if is_queued:
        method.queue.copy_(nn.functional.normalize(torch.randn(2, 20, 8), dim=2))
        method.kept.fill_(20)
    first, second, mixed = images(3)
    with torch.no_grad():
        rows = [method.online["rows"](x) for x in (first, second, mixed)]
        weight = method.online["prototypes"].heads[0].weight
        z1, z2, zm = (row @ weight.T for row in rows)

        def codes(scores: Tensor, view: int) -> Tensor:
            kept = method.queue[view] @ weight.T
            together = torch.cat([scores, kept]) if is_queued else scores
            return slow_codes(together, 0.1)[:16]

        q1, q2, qm = codes(z1, 0), codes(z2, 1), codes(zm, 0)
        plain = (cross_entropy(z1, q2) + cross_entropy(z2, q1)) / 2
        mixture = (cross_entropy(zm, q2) + cross_entropy(z2, qm)) / 2
        turned = (cross_entropy(zm.flip(0), q2) + cross_entropy(z2, qm.flip(0))) / 2
    close = torch.testing.assert_close
    close(method.loss(first, second, None), plain)
    close(method.loss(first, second, Mixture(mixed, 0.3)), plain + 0.3 * mixture + 0.7 * turned)


def script_loss(
    z: list[Tensor],
    rows: list[Tensor],
    share: float,
    weight: Tensor,
    queue: list[Tensor],
    size: int,
) -> Tensor:
    """A step of the repository's scripts on CIFAR (UnMix_SwAV/for_CIFAR), from its description.

    `z`, `rows`: of first view, second view and mixture. Three losses one after the other, each of
    which looks at the queue of either view, if that is full, and then puts its rows into it.
    """
    z1, z2, zm = z

    def one(first: Tensor, own: Tensor, turned: bool) -> Tensor:
        codes = []
        for view, (scores, kept) in enumerate([(first, own), (z2, rows[1])]):
            if turned and view == 0:
                scores, kept = scores.flip(0), kept.flip(0)
            is_full = len(queue[view]) >= size > 0
            together = torch.cat([queue[view] @ weight.T, scores]) if is_full else scores
            codes.append(slow_codes(together, 0.1)[-len(scores) :])
            queue[view] = torch.cat([kept, queue[view]])[:size]
        # Predicted is from what stands there, never from what is turned.
        return (cross_entropy(z2, codes[0]) + cross_entropy(first, codes[1])) / 2

    loss = one(z1, rows[0], False)
    loss = loss + share * one(zm, rows[2], False)
    return loss + (1 - share) * one(zm, rows[2], True)


@pytest.mark.parametrize("size", [0, 20, 96])
def test_mixtures_as_the_script_has_them(encoder: Encoder, size: int) -> None:
    """Against the plain procedure, over steps in which the queue fills; the formula's is another.

    20 rows are full in the midst of the first step, 96 after two steps of three batches of 16.
    """
    settings = {"epsilon": 0.1, "unmix": "v5", "queue": size, "queue_from": 0}
    method = swav_of(encoder, swav_mixtures="script", **settings)
    formula = swav_of(encoder, **settings)
    formula.load_state_dict(method.state_dict())
    queue = [torch.empty(0, 8, dtype=torch.float64)] * 2
    apart = []
    for step in range(4):
        shown, share = images(3), 0.2 + 0.2 * step
        for each in (method, formula):
            each.before_step(step, 8)
        with torch.no_grad():
            rows = [method.online["rows"](x) for x in shown]
            weight = method.online["prototypes"].heads[0].weight
            z = [row @ weight.T for row in rows]
            expected = script_loss(z, rows, share, weight, queue, size)
        found = method.loss(shown[0], shown[1], Mixture(shown[2], share)).detach()
        torch.testing.assert_close(found, expected, rtol=0, atol=4e-7)
        apart.append(found - formula.loss(shown[0], shown[1], Mixture(shown[2], share)).detach())
        method.after_step(0)
        formula.after_step(0)
        assert method.kept.item() == min(48 * (step + 1), size)
        if size:
            torch.testing.assert_close(method.queue[:, : len(queue[0])], torch.stack(queue))
    assert min(abs(one.item()) for one in apart) > 1e-5


def test_the_script_s_way_learns_from_both_terms(encoder: Encoder) -> None:
    """The mixture's prediction has a gradient of weight 1, as it is not reversed in either term."""
    method = swav_of(encoder, unmix="v5", swav_mixtures="script")
    method.before_step(8, 8)
    mixed, others = (torch.rand(4, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    method._grown = Queue(torch.zeros(2, 0, 8, dtype=torch.float64), 0)
    rows = torch.zeros(2, 4, 8, dtype=torch.float64)
    terms = [method._loss_of_script(mixed, others, rows, turned) for turned in (False, True)]
    (0.3 * terms[0] + 0.7 * terms[1]).backward()
    q2, qm = (slow_codes(scores.detach(), 0.05) for scores in (others, mixed))
    of_mixed = ((mixed / 0.1).softmax(1) - q2) / 0.1 / (2 * 4)
    of_others = ((others / 0.1).softmax(1) - 0.3 * qm - 0.7 * qm.flip(0)) / 0.1 / (2 * 4)
    torch.testing.assert_close(mixed.grad, of_mixed.detach())
    torch.testing.assert_close(others.grad, of_others.detach())


def test_the_way_of_mixtures_is_for_unmix() -> None:
    assert PretrainConfig(method="swav", unmix="v5").swav_mixtures == "formula"
    for given, what in [
        ({"method": "swav"}, "swav_mixtures is for unmix v5, not for none"),
        ({"method": "moco", "unmix": "v5"}, "swav_mixtures is for method swav, not for moco"),
    ]:
        with pytest.raises(ValueError, match=what):
            PretrainConfig(swav_mixtures="script", **given)


def test_cosines_and_codes_without_gradient(encoder: Encoder) -> None:
    """dl/dz = (p - q) / T: what reaches a view's rows comes from its own prediction alone."""
    method = swav_of(encoder)
    method.before_step(8, 8)
    head = method.online["prototypes"].heads[0]
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert head.bias is None
    scores = torch.rand(2, 4, 6, dtype=torch.float64, requires_grad=True)
    method.swapped_loss([scores[0], scores[1]], []).backward()
    p, q = (scores / 0.1).softmax(2), [slow_codes(one, 0.05) for one in scores.detach()]
    expected = torch.stack([(p[0] - q[1]), (p[1] - q[0])]) / 0.1 / (2 * 4)
    torch.testing.assert_close(scores.grad, expected.detach())


def test_the_queue_keeps_the_newest_rows_and_never_mixtures(encoder: Encoder) -> None:
    method = swav_of(encoder, queue=40, queue_from=1)
    seen = []
    for step in range(4):
        first, second, mixed = images(3)
        method.before_step(step, 1)
        method.loss(first, second, Mixture(mixed, 0.4))
        with torch.no_grad():
            seen.append(torch.stack([method.online["rows"](x) for x in (first, second)]))
        method.after_step(0)
        assert method.kept.item() == min(16 * step, 40)  # epoch 0 keeps none
    expected = torch.cat([seen[3], seen[2], seen[1]], 1)[:, :40]
    torch.testing.assert_close(method.queue, expected)


def test_a_queue_that_is_not_full_is_not_used(encoder: Encoder) -> None:
    method, (first, second) = swav_of(encoder, queue=40, queue_from=0), images(2)
    method.before_step(0, 8)
    without = method.loss(first, second, None)
    method.queue.copy_(nn.functional.normalize(torch.randn(2, 40, 8), dim=2))
    method.kept.fill_(39)
    assert torch.equal(method.loss(first, second, None), without)
    method.kept.fill_(40)
    assert not torch.allclose(method.loss(first, second, None), without)


def test_prototypes_are_frozen_at_first(encoder: Encoder) -> None:
    method = swav_of(encoder, frozen_epochs=2)
    weight = method.online["prototypes"].heads[0].weight
    for step, learns in [(0, False), (15, False), (16, True)]:
        method.zero_grad(set_to_none=True)
        method.before_step(step, 8)
        method.loss(*images(2), None).backward()
        assert (weight.grad is not None) == learns


def test_defaults_of_the_queue() -> None:
    assert PretrainConfig(method="swav").queue == 0
    assert PretrainConfig(method="swav", queue=120).queue == 120  # of any length
    assert PretrainConfig().queue == 4096
    kept = PretrainConfig(method="simclr").model_dump(mode="json")
    assert PretrainConfig(**kept).method == "simclr"


def test_queue_and_prototypes_go_through_the_checkpoint(
    stages: dict, tiny_space: MobileNetGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the third epoch: the queue is full by then and the prototypes have moved."""
    save_architecture(tmp_path / "a.json", tiny_space, tiny_space.first())
    settings = {**SMALL, "unmix": "v5", "queue": 24, "queue_from": 1}
    stage = PretrainStage(
        space=stages["space"], data=stages["data"], pretrain=PretrainConfig(**settings), seed=3
    )
    whole = pretrain(stage, tmp_path / "a.json", tmp_path / "whole")
    real, calls = SwAV.loss, []

    def cut(self: SwAV, *inputs: object) -> Tensor:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return real(self, *inputs)

    with monkeypatch.context() as patched:
        patched.setattr(SwAV, "loss", cut)
        with pytest.raises(KeyboardInterrupt):
            pretrain(stage, tmp_path / "a.json", tmp_path / "cut")
    state = load_checkpoint(tmp_path / "cut" / "checkpoint.pt")
    assert state["step"] == 19 and state["method"]["kept"] == 24
    assert pretrain(stage, tmp_path / "a.json", tmp_path / "cut") == whole
    again = stage.model_copy(update={"seed": 4})
    pretrain(again, tmp_path / "a.json", tmp_path / "other")
    cut_short, uninterrupted, other = (
        load_weights(tmp_path / name / "encoder.safetensors")[0]
        for name in ("cut", "whole", "other")
    )
    assert all(torch.equal(cut_short[name], uninterrupted[name]) for name in uninterrupted)
    assert any(not torch.equal(other[name], uninterrupted[name]) for name in uninterrupted)


def test_without_lightly_it_is_refused_before_a_folder_is_made(
    stages: dict, tiny_space: MobileNetGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name.startswith("lightly"):
            raise ModuleNotFoundError("No module named 'lightly'")
        return real(name, *rest)

    save_architecture(tmp_path / "a.json", tiny_space, tiny_space.first())
    monkeypatch.setattr(builtins, "__import__", missing)
    stage = PretrainStage(
        space=stages["space"], data=stages["data"], pretrain=PretrainConfig(**SMALL)
    )
    with pytest.raises(UserError, match=r"needs the library lightly.*pip install -e '\.\[ssl\]'"):
        pretrain(stage, tmp_path / "a.json", tmp_path / "run")
    assert not (tmp_path / "run").exists()
