"""The pages made at a build: all commands, all fields, all papers, all public names."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import deploy
import search
import supernet.layers
from deploy.exporters import FORMATS
from docs.generate import command_line, config_reference, schemas
from search.searchers import SEARCHERS
from supernet.sharing.ways import Sharing
from supernet.spaces import SPACES
from training.augment.config import EraseConfig, MixConfig
from training.optim import OptimiserConfig

ROOT = Path(__file__).parents[2]
PACKAGES = ("supernet", "training", "search", "deploy", "latency_tables", "evaluate")


def test_every_command_and_option_is_on_the_page() -> None:
    page = command_line.page()
    commands = re.findall(r"^## evobit (.+)$", page, re.MULTILINE)
    assert {"train-supernet", "search", "latency-table build", "demo"} <= set(commands)
    program = (ROOT / "evobit" / "main.py").read_text()
    wanted = re.findall(r"app\.command\(\s*\"([\w-]+)\"", program)
    assert wanted and set(wanted) <= set(commands)
    assert "| `--set FIELD=VALUE` | Override a config field: search.population=20. |" in page
    assert "[default: 10; 2&lt;=x&lt;=10000]" in page or "[default: 10; 2<=x<=10000]" in page


def models_in(model: type[BaseModel]) -> set[type[BaseModel]]:
    inner = {
        found
        for field in model.model_fields.values()
        for found in config_reference._models(field.annotation)
    }
    return {model}.union(*(models_in(one) for one in inner))


@pytest.mark.parametrize("stage", schemas.stages())
def test_every_field_is_on_the_page(stage: str) -> None:
    page = config_reference.page()
    for model in models_in(schemas.stages()[stage]):
        if model is not schemas.stages()[stage]:
            for name in model.model_fields:
                assert f"| `{name}` |" in page, f"{model.__name__}.{name}"
    assert all(f"### {name}\n" in page for name in SPACES)


def names_of(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["name"].annotation)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("spaces", SPACES),
        ("spaces", get_args(Sharing)),
        ("search", SEARCHERS),
        ("exports", FORMATS),
        ("training", names_of(OptimiserConfig)),
        ("training", names_of(MixConfig)),
        ("training", names_of(EraseConfig)),
    ],
)
def test_every_name_of_a_registry_is_on_its_page(page: str, names: Any) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert [name for name in names if not re.search(rf"[`( ]{name}[`,) ]", text)] == []


def test_descriptions_come_from_docstrings() -> None:
    page = config_reference.page()
    population = next(line for line in page.splitlines() if line.startswith("| `population` |"))
    assert population.startswith(
        "| `population` | int, ≥ 1, ≤ 1,000,000 | `50` | `population` candidates a gen"
    )
    assert (
        "| `timeout_s` | float or none, > 0, ≤ 100,000,000 | `null` | seconds after which a worker"
        in page
    )
    assert "| `name` | text | required | fashion-mnist-mini, fashion-mnist, cifar10," in page
    assert (
        "| `tournament` | int, ≥ 1, ≤ 1,000,000 | `10` | `tournament` and `children` a generation"
        in page
    )


def test_every_paper_of_the_code_is_listed() -> None:
    listed = set(re.findall(r"\b\d{4}\.\d{5}\b", (ROOT / "docs" / "papers.md").read_text()))
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            cited = set(re.findall(r"\b[12]\d{3}\.\d{5}\b", file.read_text()))
            assert cited <= listed, f"{file.relative_to(ROOT)} cites {cited - listed}"


@pytest.mark.parametrize("package", [supernet, supernet.layers, search, deploy])
def test_every_public_name_is_in_the_reference(package) -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    for name in package._HOME:
        assert re.search(rf"^::: {package.__name__}\.[\w.]*\b{name}$", page, re.MULTILINE), name


def test_names_of_the_reference_exist() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    for dotted in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE):
        module, _, name = dotted.rpartition(".")
        assert hasattr(__import__(module, fromlist=[name]), name), dotted


def test_pages_of_the_site_exist() -> None:
    made = {"reference/command_line.md", "reference/configs.md"}
    for page in re.findall(
        r"^ +- [^#:\n]+: ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M
    ):
        path = ROOT / "docs" / page if not page.startswith("checkout/") else ROOT / page[9:]
        assert page in made or path.is_file(), page


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in navigation, page.name
