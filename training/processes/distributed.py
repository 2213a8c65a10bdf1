"""Training in several processes, on one machine or many, started by torchrun.

Every process holds the whole network and takes its share of each batch; gradients are averaged
after the backward pass. What is drawn at random (order, augmentation, paths) is drawn for the whole
batch from (seed, step) by all of them alike, so that a step means the same in any number of
processes. The first process alone reads and writes the run folder.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from supernet.files import UserError
from training.processes.shared_norm import share_statistics
from training.run_files.folder import RunFolder

BUCKET_BYTES = 25 * 2**20
"""Gradients are sent in pieces of about so many bytes, each while the next is gathered."""

PATIENCE = timedelta(hours=12)
"""How long processes wait for what the first one does alone; torchrun sees one that has died."""

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Which share of a batch this process takes: number `rank` of `size` equal ones."""

    rank: int = 0
    size: int = 1

    def of(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """This part of `tensor`, whose `dim` is as long as the whole batch."""
        return tensor.chunk(self.size, dim)[self.rank] if self.size > 1 else tensor


WHOLE = Part()


def part() -> Part:
    """This process's share; the whole where there are no other processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return WHOLE
    return Part(dist.get_rank(), dist.get_world_size())


@contextmanager
def processes(device_name: str) -> Iterator[Part]:
    """Join the other processes that torchrun started, if it did; leave them at the end.

    The process of local rank n computes on GPU n where `device_name` ('auto', 'cpu', 'cuda') lets
    it. Objects go over gloo, gradients over NCCL on GPUs.
    """
    if "LOCAL_RANK" not in os.environ or "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield part()
        return
    on_gpu = device_name != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(dist.rendezvous("env://"))
    # After a restart torchrun's store may still hold the addresses of the processes before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=dist.PrefixStore(f"attempt {attempt}", store),
        timeout=PATIENCE,
        rank=rank,
        world_size=size,
    )
    try:
        dist.barrier()  # one that is refused at once would leave another half connected
        yield part()
        dist.barrier()  # nobody leaves while another still listens
    finally:
        dist.destroy_process_group()
        del store


def on_first(work: Callable[[], T]) -> T:
    """What `work` returns (JSON-able data) in the first process, which alone runs it.

    Raises:
        UserError: it was raised there; every process raises it.
    """
    own = part()
    if own.size == 1:
        return work()
    answer: list[Any] = [None, None]
    failure: BaseException | None = None
    if own.rank == 0:
        try:
            answer[0] = work()
        except BaseException as error:
            failure, answer[1] = error, (isinstance(error, UserError), str(error))
    dist.broadcast_object_list(answer, src=0)
    if failure is not None:
        raise failure
    if answer[1] is not None:
        is_users, text = answer[1]
        raise UserError(text) if is_users else RuntimeError(f"the first process failed: {text}")
    return cast(T, answer[0])


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold a run folder while the block runs, by the first process for all.

    Raises:
        UserError: somebody else holds it.
    """
    with ExitStack() as held:
        on_first(lambda: held.enter_context(folder.lock()))
        yield


def check_sharing(batch_size: int, compile: str, shared_norms: bool) -> None:
    """Demand settings that several processes can train under; in one process all are.

    Raises:
        UserError: a batch that cannot be shared equally, two images or more to each process; or
            compiled units around BatchNorms that wait for other processes.
    """
    size = part().size
    if size == 1:
        return
    if batch_size % size or batch_size < 2 * size:
        raise UserError(
            f"batch_size {batch_size} is shared by {size} processes: expected a multiple of "
            f"{size}, at least {2 * size}"
        )
    if compile == "on" and shared_norms:
        raise UserError(
            f"compile 'on' in {size} processes needs shared_norms: false, since compiled units "
            f"cannot wait for the BatchNorm statistics of other processes"
        )


def begin_alike(module: nn.Module, *, shared_norms: bool) -> None:
    """Give every process the first one's weights and buffers; let BatchNorms share statistics."""
    if part().size == 1:
        return
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor, src=0)
    if shared_norms:
        share_statistics(module)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes.

    A parameter of no path has none in any process, because all draw the same paths.
    """
    size = part().size
    if size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sent = []
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in sent:
        cast(Any, work).wait()
        flat.div_(size)
        pieces = flat.split([gradient.numel() for gradient in bucket])
        for gradient, piece in zip(bucket, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """`tensors` in order, in lists of one dtype and about `BUCKET_BYTES`."""
    bucket: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        if bucket and (filled >= BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, filled = [], 0
        bucket.append(tensor)
        filled += tensor.nbytes
    if bucket:
        yield bucket


def gather(tensor: Tensor) -> Tensor:
    """The whole batch, of which every process holds an equal part in `tensor`."""
    size = part().size
    if size == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(size)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def mean_over_processes(value: float) -> float:
    """The mean of a number over all processes."""
    size = part().size
    if size == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item() / size


def any_process(flag: bool) -> bool:
    """Whether the flag is set in some process."""
    if part().size == 1:
        return flag
    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def state_of_first(state: dict[str, Any] | None) -> dict[str, Any] | None:
    """The first process's training state, which may hold tensors; None where it has none."""
    own = part()
    if own.size == 1:
        return state
    message: list[bytes | None] = [None]
    if own.rank == 0 and state is not None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        message[0] = buffer.getvalue()
    dist.broadcast_object_list(message, src=0)
    if own.rank == 0 or message[0] is None:
        return state
    return cast(dict[str, Any], torch.load(io.BytesIO(message[0]), weights_only=True))
