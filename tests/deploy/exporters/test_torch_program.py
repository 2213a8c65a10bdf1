"""Networks as programs of torch.export."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deploy.exporters.torch_program import METADATA, export, loaded
from supernet.files import UserError
from supernet.network import build
from supernet.spaces import space_from_description
from tests.deploy.networks import SMALL, random_images, random_network
from tests.supernet.spaces.every_space import SMALL_SPACES

LOAD = """
import json, sys, torch
import numpy as np
extra = {"evobit.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra)
images = torch.from_numpy(np.load(sys.argv[2]))
np.save(sys.argv[3], program.module()(images).detach().numpy())
ours = {"supernet", "training", "search", "deploy", "evaluate", "evobit"}
print(json.dumps([extra["evobit.json"], sorted(ours & set(sys.modules))]))
"""


@pytest.mark.slow
def test_it_is_loaded_without_evobit_for_any_number_of_images(tmp_path: Path) -> None:
    network = random_network(SMALL)
    (tmp_path / "n.pt2").write_bytes(export(network, {"mean": "[0.3]"}))
    images = random_images(network, 5, torch.Generator().manual_seed(0))
    np.save(tmp_path / "images.npy", images.numpy())
    arguments = [str(tmp_path / name) for name in ("n.pt2", "images.npy", "logits.npy")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PATH": "", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    metadata, ours = json.loads(done.stdout)
    assert json.loads(metadata) == {"mean": "[0.3]"} and ours == []
    with torch.inference_mode():
        assert np.array_equal(np.load(tmp_path / "logits.npy"), network(images).numpy())
        assert torch.equal(
            loaded((tmp_path / "n.pt2").read_bytes())(images[:1]), network(images[:1])
        )
    assert METADATA == "evobit.json"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixed-precision", "spos-blocks", "metapruning", "wide-binary"])
def test_networks_that_cannot_be_packed_too(name: str) -> None:
    space = space_from_description(SMALL_SPACES[name])
    network = build(space.decode(space.smallest())).eval()
    images = random_images(network, 3, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded(export(network, {}))(images), network(images))


class Asks(nn.Module):
    """What it computes depends on the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_block_that_cannot_be_traced_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    network = random_network(SMALL)
    network.block2_spatial = Asks()
    with pytest.raises(UserError, match=r"^block 'block2_spatial': torch\.export cannot") as raised:
        export(network, {})
    assert len(str(raised.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")  # torch would write pages
    assert not network.stem._forward_pre_hooks
