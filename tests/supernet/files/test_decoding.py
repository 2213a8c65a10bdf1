"""What of an image file is decoded, how, and what is refused: one rule for every stage."""

import struct
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernet.files import UserError
from supernet.files.image_file import BACKGROUND, list_images
from supernet.files.image_formats import image_formats, image_suffixes
from supernet.files.image_listing import list_below
from supernet.files.image_view import View


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_shows_the_background_whatever_lies_under_it(
    tmp_path: Path, mode: str
) -> None:
    """Two files that look alike are alike: all but the right half is transparent."""
    found = []
    for hidden in ((0, 255, 0), (0, 0, 0)):
        image = Image.new("RGBA", (64, 64), (*hidden, 0))
        image.paste((200, 10, 30, 255), (32, 0, 64, 64))
        path = tmp_path / f"{mode}{hidden[1]}.png"
        if mode in ("RGBA", "LA"):
            image.convert(mode).save(path)
        elif mode == "P":
            image.quantize(16, method=Image.Quantize.FASTOCTREE).save(path)
        else:
            plain = Image.new("RGBA", (64, 64), (1, 2, 3, 255))
            plain.paste(image, mask=image)
            key = (1, 2, 3) if mode == "RGB" else plain.convert("L").getpixel((0, 0))
            plain.convert(mode).save(path, transparency=key)
        found.append(View(32, 32, 3).read_square(path))
    assert np.array_equal(found[0], found[1])
    assert tuple(found[0][:, 0, 0]) == BACKGROUND
    assert tuple(found[0][:, 16, 31]) != BACKGROUND


def test_a_bad_number_beside_the_orientation_is_no_matter(tmp_path: Path) -> None:
    """Orientation 6 with an XResolution of -1/0."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 5, 1, 38)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + b"\0\0\0\0"
    exif += struct.pack("<iI", -1, 0)
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (0, 0, 64, 8))  # a bright top becomes a bright right
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = View(64, 64, 1).read_square(tmp_path / "a.jpg")[0]
    assert pixels[:, -4].min() > 200 and pixels[:, 4].max() < 50


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as file:
        expected = np.asarray(ImageOps.exif_transpose(file)).transpose(2, 0, 1)
    assert np.array_equal(View(32, 32, 3).read_square(tmp_path / "a.png"), expected)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n0 0 32 32 rectfill\nshowpage\n"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.eps"])
def test_no_file_is_handed_to_another_program(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *words, **_: started.append(words))
    monkeypatch.setattr("subprocess.check_call", lambda *words, **_: started.append(words))
    (tmp_path / name).write_bytes(POSTSCRIPT)
    for channels in (1, 3):
        with pytest.raises(UserError, match="no format that is decoded here"):
            View.usual(32, channels).read(tmp_path / name)
    assert started == []


def test_a_wrong_suffix_is_no_matter(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), (9, 8, 7))
    image.save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").rename(tmp_path / "a.png")
    assert tuple(View(32, 32, 3).read_square(tmp_path / "a.png")[:, 0, 0]) == (9, 8, 7)


def test_a_bomb_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    """16 bits, 13,000 pixels a side: 329 kB in the file, 3.6 GiB once decoded as numbers."""
    side = 13_000
    header = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (tmp_path / "a.png").write_bytes(png(header, b""))
        with pytest.raises(UserError, match=r"13,000 x 13,000 pixels; expected at most .* smaller"):
            View(32, 32, 1).read_square(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes(
            png(struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0), b"")
        )
        with pytest.raises(UserError, match=r"b.png: is too large; expected at most .* smaller"):
            View(32, 32, 1).read_square(tmp_path / "b.png")


def png(header: bytes, data: bytes) -> bytes:
    """A PNG of these chunks."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("levels", "expected"), [(65535, 255), (128, 0), (129, 1), (0, 0)])
def test_sixteen_bits_are_rounded(tmp_path: Path, levels: int, expected: int) -> None:
    Image.fromarray(np.full((32, 32), levels, np.uint16)).save(tmp_path / "a.png")
    assert set(View(32, 32, 1).read_square(tmp_path / "a.png").flat) == {expected}


@pytest.mark.parametrize("value", [-1.0, 0.5, 1e6])
def test_floats_are_refused_with_what_to_do(tmp_path: Path, value: float) -> None:
    Image.fromarray(np.full((32, 32), value, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match="8 or 16 bits a channel: convert it"):
        View(32, 32, 3).read_square(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr", "LAB", "1", "P"])
def test_every_mode_is_taken_in_colour_and_in_grey(tmp_path: Path, mode: str) -> None:
    if mode == "LAB":
        image = Image.new("LAB", (32, 32), (128, 20, 20))
    else:
        image = Image.new("RGB", (32, 32), (250, 40, 40)).convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "LAB") else "a.png")
    image.save(path)
    colour, grey = (View(32, 32, channels).read_square(path) for channels in (3, 1))
    expected = Image.fromarray(colour.transpose(1, 2, 0)).convert("L")
    assert np.array_equal(grey[0], np.asarray(expected))


def test_formats_are_those_that_pillow_decodes_itself() -> None:
    formats = image_formats()
    assert {"PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"} <= set(formats)
    assert not {"EPS", "WMF", "MPEG", "GRIB", "BUFR", "HDF5"} & set(formats)
    assert {".jfif", ".jpe", ".jpg", ".png", ".webp"} <= set(image_suffixes())
    assert not {".eps", ".ps", ".mpg"} & set(image_suffixes())


def photo() -> bytes:
    """A small PNG."""
    file = BytesIO()
    Image.new("L", (8, 8)).save(file, "png")
    return file.getvalue()


def test_one_rule_says_what_is_an_image(tmp_path: Path) -> None:
    for name in ("a.PNG", "b.jfif", "sub/c.jpeg", "é.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(photo())
    for name in (
        ".DS_Store", "._a.png", "@eaDir/a.png", "__MACOSX/a.png", ".ipynb_checkpoints/a-c.png",
        "Thumbs.db", "notes.txt", "README", "d.cr2", "e.cr2",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(photo())
    found = list_below(tmp_path)
    assert [name for name, _ in found.files] == ["a.PNG", "b.jfif", "sub/c.jpeg", "é.png"]
    assert found.left_out == {"hidden or of the system": 3, ".txt": 1, "no suffix": 1, ".cr2": 2}
    assert [path.name for path in list_images(tmp_path)] == ["a.PNG", "b.jfif", "c.jpeg", "é.png"]


def test_links_are_followed_once_and_broken_ones_named(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(photo())
    (tmp_path / "class" / "again").symlink_to(tmp_path / "class", target_is_directory=True)
    (tmp_path / "class" / "b.png").symlink_to(tmp_path / "class" / "a.png")
    assert [name for name, _ in list_below(tmp_path / "class").files] == ["a.png", "b.png"]
    (tmp_path / "class" / "c.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"c.png: a link to .*gone.png, which is not there"):
        list_below(tmp_path / "class")


def test_a_folder_of_other_files_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.heic9", "b.heic9", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"expected a folder with images .*2 .heic9, 1 .txt"):
        list_images(tmp_path)
