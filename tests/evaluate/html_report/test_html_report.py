"""The page of real runs, made tiny: what it follows, what it says is missing, what it escapes."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluate.html_report.facts.provenance import command
from evaluate.html_report.facts.report import collect, plain
from evaluate.html_report.page import embedded, page
from evaluate.html_report.plots.all import plots
from evaluate.html_report.write import write_plots
from evobit.main import run
from supernet.costs import cost
from supernet.files import UserError, read_json, sha256_file
from supernet.history_file import read_without_space
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.evaluate.html_report.html_report_facts import candidate, history_lines, make_search
from tests.latency_tables.group_table import save_group_table

CapSys = pytest.CaptureFixture[str]
Facts = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture
def runs(
    folder: Path, stages: dict, tiny_space: MobileNetGroups, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A supernet, a search under a predicted latency, a retraining; made once, side by side."""
    monkeypatch.chdir(folder)
    if not (folder / "runs").exists():
        table = save_group_table(folder / "table.csv", tiny_space)
        stages["search"] |= {"latency_table": str(table), "latency_device": "other"}
        stages["search"] |= {"trust_latency_table": True, "max_latency_ms": 1e9}
        Path("tiny.yaml").write_text(yaml.safe_dump(stages))
        for line in (
            "train-supernet tiny.yaml --run runs/supernet",
            "search tiny.yaml --run runs/search --supernet runs/supernet",
            "export runs/search -o best.json",
            f"retrain tiny.yaml best.json --run runs/retrain --set retrain.latency_table={table}",
        ):
            assert run(line.split()) == 0, line
    return folder / "runs"


class Reader(HTMLParser):
    """The tags of a page, the text of its report and of its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        is_report = dict(attrs).get("id") == "report"
        self._open.append("report" if is_report else tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() not in (tag, "report"):
            pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    @property
    def report(self) -> Facts:
        (text,) = self.texts["report"]
        return json.loads(text)


def test_a_retraining_leads_to_all_it_builds_on(runs: Path, tiny_space: MobileNetGroups) -> None:
    facts = collect(runs / "retrain")
    assert facts["missing"] == []
    assert [one["stage"] for one in facts["provenance"]] == ["retrain", "search", "supernet"]
    winner, search = facts["winner"], facts["search"]
    assert winner["is_retrained"] and winner["seeds"] == 2
    assert winner["choices"] == read_json(Path("best.json"))["choices"]
    assert winner["index"] == search["winner"] == search["finalists"]["finalist"]
    assert winner["search_top1"] == search["best_so_far"][-1][1]
    assert search["num_candidates"] == 4 + 2 * 4 and search["is_finished"]
    network = facts["network"]
    spec = tiny_space.decode(tiny_space.architecture(winner["choices"]))
    assert sum(one["ops"] for one in network["blocks"]) == cost(spec).ops == winner["costs"]["ops"]
    times = [one["ms"] for one in network["blocks"]]
    assert all(times) and network["predicted_ms"] == pytest.approx(winner["costs"]["latency_ms"])
    stages_trained = [(one["stage"], len(one["curves"])) for one in facts["training"]]
    assert stages_trained == [("retrain", 3 * 2), ("supernet", 1)]
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_commands_come_in_their_order(runs: Path) -> None:
    manifest = read_json(runs / "retrain" / "manifest.json")
    for stage, name in (("supernet", "train-supernet"), ("search", "search"), ("retrain",) * 2):
        found = read_json(runs / stage / "manifest.json")
        found["command"] = ["/opt/evobit/__main__.py", name, "tiny.yaml"]
        (runs / stage / "manifest.json").write_text(json.dumps(found))
    export = f"evobit export {Path('runs/search').resolve()} -o best.json"
    typed = ["evobit train-supernet tiny.yaml", "evobit search tiny.yaml"]
    assert collect(runs / "retrain")["commands"] == [*typed, export, "evobit retrain tiny.yaml"]
    best = read_json(Path("best.json"))
    best["provenance"]["limits"]["max_ops"] = 54700.5
    Path("limited.json").write_text(json.dumps(best))
    manifest["inputs"]["architecture 1"] = {
        "path": "limited.json",
        "sha256": sha256_file("limited.json"),
    }
    manifest["command"] = ["evobit", "retrain"]
    (runs / "again").mkdir()
    (runs / "again" / "manifest.json").write_text(json.dumps(manifest))
    again = collect(runs / "again")["commands"]
    assert again[2].endswith("-o limited.json --limit max_ops=54700.5")


def test_the_page_agrees_with_the_command(runs: Path, capsys: CapSys) -> None:
    assert run(["report", "runs/retrain", "--html", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    text = (runs / "retrain" / "report.html").read_text()
    assert printed.pop("written") == {"runs/retrain/report.html": len(text.encode())}
    carried = Reader(text).report["report"]
    for one in carried["networks"]:
        assert one.pop("half_width") is None  # of two seeds
    assert carried == printed == read_json(runs / "retrain" / "report.json")
    assert f"{printed['networks'][0]['top1_mean']:.2f}" in text


def test_the_page_loads_nothing(runs: Path) -> None:
    text = page(collect(runs / "retrain"))
    tags = Reader(text).tags
    for tag, attributes in tags:
        for name in ("src", "href", "srcset", "action", "data"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:,")), (tag, target)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert "default-src 'none'" in text
    assert [a for tag, a in tags if tag == "script"] == [
        {"type": "application/json", "id": "report"},
        {},
    ]
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for tag, a in tags if tag == "a"} <= {f"#{id_}" for id_ in ids}
    plots_in = [a for tag, a in tags if tag == "svg"]
    assert plots_in and all(a["aria-labelledby"].split()[0] in ids for a in plots_in)
    assert sum(tag == "h1" for tag, _ in tags) == 1


def test_a_search_alone(runs: Path, capsys: CapSys) -> None:
    assert run(["report", "runs/search", "--html", "-o", "search.html", "--svg", "plots"]) == 0
    assert "search.html" in capsys.readouterr().out
    facts = Reader(Path("search.html").read_text()).report
    assert facts["report"] is None and not facts["winner"]["is_retrained"]
    assert facts["winner"]["choices"] == read_json(runs / "search" / "best.json")["choices"]
    written = {path.stem for path in Path("plots").iterdir()}
    assert {"progress", "generations", "top1-ops", "top1-latency-ms", "blocks"} <= written
    assert not (runs / "search" / "report.md").exists()
    for file in Path("plots").iterdir():
        assert "<style>" in file.read_text() and "xmlns=" in file.read_text()
    assert run(["report", "runs/search"]) == 2, "the table is a retraining's"


def test_a_search_says_how_sure_its_scores_are(runs: Path) -> None:
    summary = read_json(runs / "search" / "manifest.json")["summary"]
    provenance = read_json(Path("best.json"))["provenance"]
    assert provenance["top1_error"] == summary["search_error"]
    assert provenance == read_json(runs / "search" / "best.json")["provenance"]
    facts = collect(runs / "search")
    assert facts["winner"]["search_error"] == summary["search_error"]
    near = f"{summary['within_noise']} of 12 candidates"
    assert near in page(facts) and facts["search"]["surrogate"] is None


def test_the_table_is_seen_where_it_cannot_be_kept(
    runs: Path, tmp_path: Path, capsys: CapSys
) -> None:
    shutil.copytree(runs / "retrain", tmp_path / "retrain")
    (tmp_path / "retrain" / "report.json").unlink(missing_ok=True)
    (tmp_path / "retrain" / "report.json" / "in the way").mkdir(parents=True)
    assert run(["report", str(tmp_path / "retrain")]) != 0
    printed = capsys.readouterr()
    assert "| finalist |" in printed.out and "report.json" in printed.err.splitlines()[-1]


def test_what_is_gone_or_changed_is_said(runs: Path, tmp_path: Path) -> None:
    moved = tmp_path / "all"
    shutil.copytree(runs.parent, moved)
    alone = collect(moved / "runs" / "retrain")
    assert alone["missing"] == [], "relative paths are found beside the run"
    assert Path(alone["provenance"][-1]["run"]) == moved / "runs" / "supernet"
    weights = moved / "runs" / "supernet" / "supernet.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    changed = collect(moved / "runs" / "retrain")
    assert "runs/supernet has changed since, left out" in changed["missing"][0]
    assert [one["stage"] for one in changed["provenance"]] == ["retrain", "search"]
    shutil.copytree(runs / "retrain", tmp_path / "far" / "retrain")
    manifest = read_json(tmp_path / "far" / "retrain" / "manifest.json")
    manifest["inputs"]["architecture 1"]["path"] = "elsewhere.json"
    (tmp_path / "far" / "retrain" / "manifest.json").write_text(json.dumps(manifest))
    lost = collect(tmp_path / "far" / "retrain")
    assert "elsewhere.json is not there" in lost["missing"][0]
    assert lost["search"] is None and lost["winner"]["is_retrained"]
    assert "elsewhere.json is not there" in page(lost)


def test_a_search_that_lies_elsewhere_is_named(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "retrain", tmp_path / "retrain")
    shutil.copy("best.json", tmp_path)
    manifest = (tmp_path / "retrain" / "manifest.json").read_text()
    moved = manifest.replace('"path": "best.json"', f'"path": "{tmp_path}/best.json"')
    (tmp_path / "retrain" / "manifest.json").write_text(moved)
    without = collect(tmp_path / "retrain")
    assert without["search"] is None and "--search" in without["missing"][0]
    assert collect(tmp_path / "retrain", runs / "search")["search"]["num_candidates"] == 12
    with pytest.raises(UserError, match="no search whose history holds a finalist"):
        collect(tmp_path / "retrain", runs / "supernet")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("runs/supernet --html", "holds a run of stage 'supernet'; a page is made of retrain or"),
        ("runs/none --html", "runs/none: not a run folder"),
        ("runs/retrain -o x.html", "--output is for --html"),
        ("runs/retrain --search runs/search", "are for --html, --svg and --png"),
        ("runs/retrain --html -o runs", "runs: is a folder"),
        ("runs/retrain --svg tiny.yaml", "tiny.yaml: is a file, expected a folder"),
    ],
)
def test_refusals(runs: Path, capsys: CapSys, arguments: str, complaint: str) -> None:
    assert run(["report", *arguments.split()]) == 2
    assert complaint in capsys.readouterr().err


def test_a_space_of_ones_own_is_drawn_once_it_is_named(
    tmp_path: Path, tiny_space: MobileNetGroups
) -> None:
    lines = [
        "from dataclasses import dataclass",
        "from supernet.spaces.mobilenet_groups import MobileNetGroups",
        "@dataclass(frozen=True)",
        "class Mine(MobileNetGroups): pass",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    name = f"{tmp_path}/mine.py:Mine"
    made = make_search(
        tmp_path / "run", [candidate(0, 70.0, 9.0, choices=dict(tiny_space.first()))]
    )
    manifest = made.manifest
    manifest["config"]["space"] = {**tiny_space.describe(), "name": name}
    (made.path / "manifest.json").write_text(json.dumps(manifest))
    assert "give a config that names it too" in collect(made.path)["missing"][0]
    drawn = collect(made.path, space=name)
    assert drawn["missing"] == [] and len(drawn["network"]["blocks"]) == 2 + 2 * 3


def test_a_manifest_of_long_ago(tmp_path: Path) -> None:
    made = make_search(tmp_path / "run", [candidate(0, 70.0, 9.0), candidate(1, 71.0, 10.0)])
    manifest = made.manifest
    manifest["data"] = {"name": "old", "splits": {"train": {"num_images": 3}}}
    (made.path / "manifest.json").write_text(json.dumps(manifest))
    facts = collect(made.path)
    assert facts["data"]["splits"] == {"train": 3} and facts["provenance"][0]["splits"] == {}
    assert "of old" in page(facts) and "blocks" in facts["missing"][0]
    del manifest["inputs"]
    (made.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="manifest.json: field 'inputs' is None: damaged"):
        collect(made.path)


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'\""


def test_names_that_are_html_stay_names(tmp_path: Path) -> None:
    found = [
        candidate(0, 70.0, 100.0, origin=EVIL, choices={EVIL: EVIL, "b": 1}),
        candidate(
            1, None, 200.0, failure=EVIL, choices={EVIL: "x", "b": 2}, costs={"ops": 1.0, EVIL: 2.0}
        ),
        candidate(2, 71.0, 300.0, choices={EVIL: "y", "b": 3}),
    ]
    where = make_search(tmp_path / "a <script>run", found, objectives=[EVIL], budget=EVIL)
    facts = collect(where.path)
    assert "is named by a file" in facts["missing"][0], "no code is run for a run folder"
    text = page(facts)
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in reader.tags]
    assert reader.report["search"]["candidates"]["rows"][0][2] == EVIL
    for file in write_plots(facts, tmp_path / "plots"):
        assert "<script" not in file.read_text()


def test_embedded_json_cannot_be_left() -> None:
    text = embedded({"name": EVIL})
    assert not set("<>&") & set(text) and json.loads(text) == {"name": EVIL}
    assert plain({"a": float("nan"), "b": (float("inf"), Path("x"))}) == {
        "a": None,
        "b": [None, "x"],
    }


@pytest.mark.parametrize("top1", [[], [None], [None, None], [60.0]])
def test_a_search_that_has_hardly_begun(tmp_path: Path, top1: list[float | None]) -> None:
    found = [candidate(k, one, 100.0 + k) for k, one in enumerate(top1)]
    facts = collect(make_search(tmp_path / "run", found).path)
    headings = Reader(page(facts)).texts["h1"]
    scored = any(one is not None for one in top1)
    assert ("nothing scored yet" in headings[0]) == (not scored)
    assert bool(plots(facts)["search"]) == bool(found)


def test_five_thousand_candidates_stay_small(tmp_path: Path) -> None:
    names = [f"block{k}.spatial" for k in range(13)]
    costs = ("ops", "flops", "bops", "bitops", "parameters", "binary_parameters", "bits")
    found = [
        candidate(
            k,
            50 + (k * 37 % 4001) / 100,
            0.0,
            choices={name: 2 ** ((k + i) % 6) for i, name in enumerate(names)},
            costs={name: 1_000_000 + (k * (61 + i) % 9973) * 977 for i, name in enumerate(costs)},
        )
        for k in range(5000)
    ]
    text = page(collect(make_search(tmp_path / "run", found).path))
    assert len(text.encode()) < 2_000_000
    assert "of 5,000 candidates are drawn" in text
    assert len(Reader(text).report["search"]["candidates"]["rows"]) == 5000


def test_histories_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = [candidate(0, 50.0, 1.5), candidate(1, None, 2.0), candidate(2, 60.0, 3.0, images=9)]
    path = tmp_path / "history.jsonl"
    path.write_text(history_lines(found) + '{"index": 3, "arch')
    assert read_without_space(path) == found
    assert read_without_space(tmp_path / "none.jsonl") == []
    for damage in ('{"index": 0}', "[]", history_lines(found[1:2]).strip()):
        path.write_text(history_lines(found[:1]) + history_lines(found[1:2]) + damage + "\n")
        with pytest.raises(UserError, match=r"history.jsonl, line 3: not a candidate"):
            read_without_space(path)


def test_commands_can_be_typed_again() -> None:
    argv = ["/opt/x/evobit/__main__.py", "search", "my config.yaml", "--set", "a=b c"]
    assert command(argv) == "evobit search 'my config.yaml' --set 'a=b c'"
    assert command([]) == ""


def test_every_class_of_a_plot_has_a_style(runs: Path) -> None:
    text = page(collect(runs / "retrain"))
    style = text[text.index("<style>") : text.index("</style>")]
    drawn = {
        name
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)
        for names in re.findall(r'class="([^"]*)"', svg)
        for name in names.split()
    }
    unstyled = {"points", "point", "row", "uniform", "random", "k0", "name", "key"}
    assert {one for one in drawn - unstyled if f".{one}" not in style} == set()
