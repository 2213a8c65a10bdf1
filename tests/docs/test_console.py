"""The way pages are run: what is taken from them, and what counts as equal output."""

from pathlib import Path

import pytest

from tests.docs.console import Command, WrittenFile, first_missing, run_page, shape, steps

PAGE = """
```python title="say.py"
print("7 images")
```
Text, and a block that is not run:
```sh
false
```
```console
$ python say.py
6 images
$ NAME=a; echo \\
  "$NAME" \\
  b
a b
$ echo $NAME
a
```
"""


def test_files_and_commands_in_order() -> None:
    assert list(steps(PAGE)) == [
        WrittenFile("say.py", 'print("7 images")\n'),
        Command("python say.py\n", ("6 images",)),
        Command('NAME=a; echo \\\n  "$NAME" \\\n  b\n', ("a b",)),
        Command("echo $NAME\n", ("a",)),
    ]


def test_a_page_is_run_in_one_shell(tmp_path: Path) -> None:
    run_page(PAGE, tmp_path)
    assert (tmp_path / "work" / "say.py").exists()


@pytest.mark.parametrize(
    "command, message",
    [
        ("$ false", "failed: false"),
        ("$ echo one two\none three", "did not print: one three"),
        ("$ printf 'b\\na\\n'\na\nb", "did not print: b"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, command: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run_page(f"```console\n{command}\n```\n", tmp_path)


def test_numbers_hashes_and_widths_do_not_count() -> None:
    assert shape("│ top1  │ 84.25 │") == shape("│ top1 │ 7 │") == "top1 #"
    assert shape('"top1":96.66666666666667') == shape('"top1":100.0')
    assert shape("networks/0f1e2d3c4b5a-seed0") == shape("networks/ffffffffffff-seed0")
    assert first_missing(("x 1", "...", "y 2"), ["x 3", "z", "y 4"]) is None
    assert first_missing(("y 2", "x 1"), ["x 3", "z", "y 4"]) == "x 1"
