"""The packed file: size, round trip, and every kind of damage."""

import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy import packed_file
from deploy.engine.packed_network import PackedNetwork
from deploy.lowering.network import pack
from deploy.packed_file import load, save
from supernet.files import UserError
from tests.deploy.networks import SMALL, random_images, random_network

NAMES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def network():
    return random_network({**SMALL, "width": 0.5})


@pytest.fixture(scope="module")
def packed(network) -> PackedNetwork:
    return pack(network, (0.5,), (0.25,), NAMES)


@pytest.fixture(scope="module")
def file(packed, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "model.evobit"
    save(path, packed)
    return path


def test_what_is_loaded_is_what_was_saved(network, packed, file):
    loaded = load(file)
    assert loaded.plan == packed.plan
    assert loaded.class_names == NAMES
    assert loaded.preprocessing == packed.preprocessing
    images = random_images(network, 3, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_array_equal(loaded(images), packed(images))


def test_a_file_holds_little_more_than_its_parameters(packed, file):
    needed = packed.parameters.bits.nbytes + packed.parameters.reals.nbytes
    assert needed <= file.stat().st_size <= 1.02 * needed


def test_equal_networks_give_equal_bytes(packed, file, tmp_path):
    save(tmp_path / "again", packed)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_altered_byte_is_found(file, tmp_path, data):
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.evobit"
    damaged.write_bytes(content)
    with pytest.raises(UserError, match="damaged.evobit"):
        load(damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_found(file, tmp_path, share):
    content = file.read_bytes()
    damaged = tmp_path / "damaged.evobit"
    damaged.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="damaged.evobit"):
        load(damaged)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 20, b"\x00" * 100, b"{" * 50])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.evobit"
    path.write_bytes(content)
    with pytest.raises(UserError, match="foreign.evobit"):
        load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "none.evobit")


def rewritten(file, path, change, keep_hash=False):
    """A copy whose description was changed, with a hash that fits unless told."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["evobit"])
    change(description)
    if not keep_hash:
        description.pop("sha256", None)
        parameters = load(file).parameters
        description["sha256"] = packed_file._digest(description, parameters)
    header["__metadata__"]["evobit"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda d: d.update(version=2), "version 2"),
        (lambda d: d.update(format="evobit/network"), "expected format 'evobit/packed'"),
        (lambda d: d.update(class_names=["a"]), "expected 10 class names"),
        (lambda d: d.update(class_names=[1] * 10), "class name"),
        (lambda d: d.update(mean=["x"]), "mean is"),
        (lambda d: d.update(mean=[0.5, 0.5]), "mean and a std"),
        (lambda d: d.update(std=[0.0]), "std"),
        (lambda d: d.update(plan=None), "plan"),
        (lambda d: d["plan"].update(channels=3), "1 channels"),
        (lambda d: d["plan"]["operations"].pop(3), ""),
    ],
)
def test_a_description_that_fits_its_hash_and_no_network_is_refused(file, tmp_path, change, part):
    path = rewritten(file, tmp_path / "changed.evobit", change)
    with pytest.raises(UserError, match=f"changed.evobit.*{part}"):
        network = load(path)
        network(np.zeros((1, network.plan.channels, 32, 32), np.float32))


def test_a_changed_description_with_the_old_hash_is_refused(file, tmp_path):
    def rename(description):
        description["class_names"][0] = "z"

    path = rewritten(file, tmp_path / "changed.evobit", rename, keep_hash=True)
    with pytest.raises(UserError, match="is damaged"):
        load(path)


def test_parameters_that_are_no_numbers_are_refused(packed, tmp_path):
    reals = packed.parameters.reals.copy()
    reals[5] = np.nan
    broken = object.__new__(PackedNetwork)
    broken.__dict__.update(packed.__dict__)
    broken.parameters = type(packed.parameters)(packed.parameters.bits, reals)
    save(tmp_path / "nan.evobit", broken)
    with pytest.raises(UserError, match=r"nan.evobit: stem"):
        load(tmp_path / "nan.evobit")
