"""What damaged files once brought to light, each as small as it can be."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from deploy import packed_file
from evobit.config import load_stage
from evobit.main import run
from evobit.watch.watching import Watch
from latency_tables.exchange import export_layers, import_table
from latency_tables.table import load_table
from search.coverage.coverage import cover_run, supernet_of
from search.limits.latency import LatencyConfig, open_latency
from search.results.export import export_best
from supernet.architecture_file import load_architecture, save_architecture
from supernet.costs.limits import limits_from
from supernet.files import (
    UserError,
    as_written,
    check_names_and_shapes,
    load_weights,
    read_json,
    save_weights,
)
from supernet.files.image_view import View
from supernet.history_file import read_history
from supernet.spaces import space_from_description
from tests.fuzz.documents import YAML_TEXTS
from tests.latency_tables.group_table import save_group_table
from training.run_files.checkpoint import load_checkpoint, save_checkpoint
from training.run_files.folder import RunFolder
from training.supernet_stage import SupernetStage

DEEP = "[" * 100_000
TOO_LARGE_FOR_A_FLOAT = 10**400


@pytest.mark.parametrize("text", [DEEP, '{"x":' * 100_000, "9" * 5000])
def test_json_that_python_gives_up(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="a.json: not complete, valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "value",
    [
        *("2001-99-99", "0x_", "!!int x", "!!timestamp x", "{? [a, b] : c}", "&a [*a]"),
        *("[" * 5000, YAML_TEXTS[0]),
    ],
)
def test_yaml_that_no_config_holds(tmp_path, stages, value):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(stages))
    with pytest.raises(UserError, match="--set"):
        load_stage(tmp_path / "tiny.yaml", SupernetStage, [f"data.name={value}"])


@pytest.mark.parametrize(
    ("costs", "expected"),
    [({"ops": TOO_LARGE_FOR_A_FLOAT}, "'costs' is not an object of numbers"), (DEEP, "not valid")],
)
def test_a_line_of_a_history(tmp_path, tiny_space, costs, expected):
    document = {
        **{"index": 0, "architecture": dict(tiny_space.first().choices), "costs": costs},
        **{"top1": 1.0, "generation": 0, "origin": "random"},
    }
    line = costs if isinstance(costs, str) else json.dumps(document)
    (tmp_path / "history.jsonl").write_text(f"{line}\n{line}\n")
    with pytest.raises(UserError, match=f"history.jsonl, line 1: .*{expected}"):
        read_history(tmp_path / "history.jsonl", tiny_space)


def test_numbers_that_no_network_can_have(tmp_path, tiny_space):
    with pytest.raises(UserError, match="expected a finite number"):
        limits_from({"max_ops": TOO_LARGE_FOR_A_FLOAT})
    path = tmp_path / "a.json"
    for field, value in (("classes", 2**31 + 1), ("blocks", [[TOO_LARGE_FOR_A_FLOAT, 1]])):
        save_architecture(path, tiny_space, tiny_space.first())
        document = json.loads(path.read_text())
        document["space"][field] = value
        path.write_text(json.dumps(document))
        with pytest.raises(UserError, match=f"a.json: .*{field}: expected numbers up to"):
            load_architecture(path)


def test_tables_of_latency(tmp_path, tiny_space):
    path = save_group_table(tmp_path / "t.csv", tiny_space, references=3)
    with pytest.raises(UserError, match="t.csv: incomplete header .references"):
        open_latency(LatencyConfig(latency_table=path), tiny_space)
    path = save_group_table(tmp_path / "t.csv", tiny_space, references=[{"choices": {}}])
    with pytest.raises(UserError, match="t.csv: .*no choice for position"):
        open_latency(LatencyConfig(latency_table=path), tiny_space)
    export_layers(tiny_space, tmp_path / "layers.csv")
    head, *rows = (tmp_path / "layers.csv").read_text().splitlines()
    filled = (row.replace(",,", ",1.5,", 1) for row in rows)
    (tmp_path / "layers.csv").write_text("\n".join([head, *filled]))
    layers, networks, new = (tmp_path / f"{name}.csv" for name in ("layers", "networks", "new"))
    for row, expected in (
        ("{},1", ", line 2: .*no choice for position"),
        ("x" * 200_000, ": is no readable CSV"),
    ):
        networks.write_text(f"choices,latency_ms\n{row}\n")
        with pytest.raises(UserError, match=f"networks.csv{expected}"):
            import_table(tiny_space, layers, new, device="x", networks=networks)


def test_a_table_whose_header_is_deep(tmp_path, tiny_space):
    path = save_group_table(tmp_path / "t.csv", tiny_space, device="DEEP")
    path.write_text(path.read_text().replace('"DEEP"', "[" * 700 + "]" * 700))
    with pytest.raises(UserError, match="t.csv: incomplete header"):
        load_table(path)


@pytest.mark.parametrize("name", ["null", "NaN", "NA", ""])
def test_a_layer_whose_name_pandas_takes_for_none(tmp_path, tiny_space, capsys, name):
    path = save_group_table(tmp_path / "t.csv", tiny_space)
    head, columns, row, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, columns, name + row[row.index(",") :], *rows]) + "\n")
    assert run(["latency-table", "show", str(path)]) == (0 if name else 2)
    printed = capsys.readouterr()
    assert name in printed.out and ("t.csv: row 1 has no layer" in printed.err) == (name == "")


def test_numbers_that_numpy_does_not_have(tmp_path):
    content = packed_file.find_model("zoo:fashion-mnist-groups").read_bytes()
    (tmp_path / "m.evobit").write_bytes(content.replace(b'"U8"', b'"F8_E5M2"'))
    length = int.from_bytes(content[:8], "little") + len('"F8_E5M2"') - len('"U8"')
    changed = (tmp_path / "m.evobit").read_bytes()
    (tmp_path / "m.evobit").write_bytes(length.to_bytes(8, "little") + changed[8:])
    with pytest.raises(UserError, match="m.evobit: cannot be read .*float8_e5m2"):
        packed_file.load(tmp_path / "m.evobit")


def test_a_line_for_an_image(tmp_path):
    # At 96 pixels 1 x 60,000 would grow to 96 x 5,760,000; its middle 1 x 100 is seen.
    Image.new("L", (1, 60_000), 200).save(tmp_path / "line.png")
    pixels = View(96, 96, 3).read_square(tmp_path / "line.png")
    assert pixels.shape == (3, 96, 96) and (pixels == 200).all()


def test_weights_of_another_type():
    weights = {"bias": torch.zeros(2)}
    check_names_and_shapes({"bias": torch.zeros(2, dtype=torch.float16)}, weights, "w")
    for wrong in (torch.int32, torch.complex64):
        with pytest.raises(UserError, match="wrong type: bias is"):
            check_names_and_shapes({"bias": torch.zeros(2, dtype=wrong)}, weights, "w")


def test_what_was_written_otherwise_names_its_file():
    for error in (KeyError("x"), TypeError("x"), UserError("x"), OverflowError("x")):
        with pytest.raises(UserError, match="some.json: .*x"), as_written("some.json"):
            raise error
    with pytest.raises(UserError, match="^some.json, line 3$"), as_written("some.json"):
        raise UserError("some.json, line 3")


def test_a_network_of_infinite_weights(tmp_path, monkeypatch, stages, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    space = space_from_description(stages["space"])
    save_architecture("a.json", space, space.first())
    short = ["retrain.epochs=1", "retrain.seeds=1", "retrain.uniform=0", "retrain.random=0"]
    changes = [word for change in (*short, "retrain.compile=off") for word in ("--set", change)]
    assert run(["retrain", "tiny.yaml", "a.json", "--run", "r", *changes]) == 0
    (path,) = Path("r").rglob("*.safetensors")
    tensors, metadata = load_weights(path)
    tensors["head.linear.bias"][0] = torch.inf
    save_weights("net.safetensors", tensors, metadata)
    capsys.readouterr()
    assert run(["pack", "net.safetensors", "-o", "m.evobit"]) == 2
    assert "net.safetensors: " in capsys.readouterr().err and not Path("m.evobit").exists()


def damaged_manifest(path: Path, **fields: object) -> Path:
    """A search's run folder whose manifest has other fields."""
    folder = RunFolder.open(path, "search", {"seed": 1, "space": {}})
    document = {**folder.manifest, **fields}
    (path / "manifest.json").write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "fields",
    [{"config": None}, {"inputs": []}, {"inputs": {"supernet": {}}}, {"stage": 1}, {"summary": 1}],
)
def test_a_manifest_of_other_kinds(tmp_path, fields):
    run_folder = damaged_manifest(tmp_path / "r", **fields)
    with pytest.raises(UserError, match=f"manifest.json: field '{next(iter(fields))}"):
        _ = RunFolder(run_folder, "search").manifest


def test_a_manifest_of_no_space(tmp_path):
    run_folder = damaged_manifest(tmp_path / "r", config={"seed": 1, "space": 3})
    with pytest.raises(UserError, match="space was 3, now None"):
        RunFolder.open(run_folder, "search", {"seed": 1, "space": {}})


@pytest.mark.parametrize("read", [supernet_of, cover_run, lambda run: export_best(run, Path("x"))])
def test_a_search_that_recorded_nothing(tmp_path, read):
    with pytest.raises(UserError, match="manifest.json: "):
        read(damaged_manifest(tmp_path / "r"))


@pytest.mark.parametrize("summary", [{"networks": []}, {"limits": {}, "networks": [{}]}, {"x": 1}])
def test_a_retraining_that_recorded_no_networks(tmp_path, capsys, summary):
    run_folder = damaged_manifest(tmp_path / "r", stage="retrain", summary=summary)
    before = sorted(run_folder.iterdir())
    assert run(["report", str(run_folder)]) == 2
    assert "r/manifest.json: damaged" in capsys.readouterr().err
    assert sorted(run_folder.iterdir()) == before


def test_what_is_watched_may_be_damaged(tmp_path, capsys):
    damaged_manifest(tmp_path / "a", created=1)
    damaged_manifest(tmp_path / "b")
    progress = {"label": "x", "done": 1, "total": None, "numbers": {}, "updated": 0}
    (tmp_path / "a" / ".progress.json").write_text(json.dumps(progress))
    (tmp_path / "b" / ".progress.json").write_text(DEEP)
    line = {"top1": 1.0, "index": 0, "costs": {"ops": "x"}, "architecture": [1]}
    torn = json.dumps(line | {"top1": float("nan")})
    (tmp_path / "a" / "history.jsonl").write_text(f"{DEEP}\n{json.dumps(line)}\n{torn}\n")
    a, b = Watch(tmp_path).look()
    assert a.progress == b.progress == []
    assert a.best is None  # a cost that is text is no cost
    assert run(["watch", str(tmp_path), "--once"]) == 0
    assert "ops x" not in capsys.readouterr().out


def test_a_training_state_of_other_kinds(tmp_path, monkeypatch, stages, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    words = ["train-supernet", "tiny.yaml", "--run", "r", "--set", "supernet.epochs=1"]
    words += ["--set", "supernet.compile=off"]
    monkeypatch.setattr(RunFolder, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(words) == 1
    state = load_checkpoint(Path("r/checkpoint.pt"))
    for part, value in (("optimiser", 3), ("module", {0.5: 1}), ("step", "x"), ("extra", None)):
        save_checkpoint(Path("r/checkpoint.pt"), {**state, part: value})
        capsys.readouterr()
        assert run(words) == 2, part
        assert "checkpoint.pt: " in capsys.readouterr().err
