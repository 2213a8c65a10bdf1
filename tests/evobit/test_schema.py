"""The published JSON Schema fits what is saved, and nothing damaged."""

import json
from pathlib import Path

import pytest

from supernet.architecture_file import save_architecture
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spaces.published import PublishedNetworkSpace

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "architecture.schema.json"


@pytest.fixture
def validator():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def document(tmp_path):
    space = MobileNetGroups(search_pointwise=True)
    save_architecture(tmp_path / "a.json", space, space.first(), provenance={"seed": 0})
    return json.loads((tmp_path / "a.json").read_text())


def test_a_saved_architecture_fits(validator, document):
    assert [error.message for error in validator.iter_errors(document)] == []


def test_an_architecture_without_choices_fits(validator, tmp_path):
    space = PublishedNetworkSpace("binarynet")
    save_architecture(tmp_path / "a.json", space, space.first())
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["choices"] == {} and validator.is_valid(document)


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"choices": []}, {"extra": 1}, {"costs": {"ops": 1}}, {"space": {}}]
)
def test_what_is_wrong_does_not_fit(validator, document, change):
    assert not validator.is_valid({**document, **change})
