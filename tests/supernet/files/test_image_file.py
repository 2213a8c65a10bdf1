"""What is read from image files of every kind."""

import numpy as np
import pytest
from PIL import Image

from supernet.files import UserError
from supernet.files.image_file import list_images
from supernet.files.image_view import View

LEVELS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def test_grey_and_colour(tmp_path):
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    grey = View(8, 8, 1).read_square(tmp_path / "a.png")
    np.testing.assert_array_equal(grey, LEVELS[None])
    np.testing.assert_array_equal(
        View(8, 8, 3).read_square(tmp_path / "a.png"), grey.repeat(3, axis=0)
    )


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, kind):
    Image.fromarray(LEVELS.astype(kind) * 257).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(View(8, 8, 1).read_square(tmp_path / "a.tiff"), LEVELS[None])


@pytest.mark.parametrize("wrong", [LEVELS.astype(np.float32), LEVELS.astype(np.int32) * 5000])
def test_levels_of_unknown_meaning_are_refused(tmp_path, wrong):
    Image.fromarray(wrong).save(tmp_path / "a.tiff")
    with pytest.raises(UserError, match="expected an image of 8 or 16 bits"):
        View(8, 8, 1).read_square(tmp_path / "a.tiff")


def test_a_photograph_is_turned_as_it_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    Image.fromarray(LEVELS).save(tmp_path / "a.png", exif=exif)
    turned = np.rot90(LEVELS, -1)
    np.testing.assert_array_equal(View(8, 8, 1).read_square(tmp_path / "a.png"), turned[None])


def test_small_images_get_a_border_and_large_ones_the_centre(tmp_path):
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    bordered = View.usual(12, 1).read(tmp_path / "a.png")
    np.testing.assert_array_equal(bordered[0, 2:10, 2:10], LEVELS)
    assert bordered.sum() == LEVELS.sum()
    whole = np.zeros((256, 256), np.uint8)
    whole[16:240, 16:240] = 255  # 224 is 256 less 16 on each side
    Image.fromarray(whole).save(tmp_path / "b.png")
    assert (View.usual(224, 3).read(tmp_path / "b.png") == 255).all()


def test_what_is_no_image(tmp_path):
    with pytest.raises(UserError, match="none.png: no such file"):
        View(8, 8, 1).read_square(tmp_path / "none.png")
    (tmp_path / "a.png").write_bytes(b"\x89PNG and then nothing")
    with pytest.raises(UserError, match="a.png: cannot be decoded"):
        View(8, 8, 1).read_square(tmp_path / "a.png")


def test_images_anywhere_below_a_folder(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a.gif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)]
    assert found == ["a.gif", "b/1.jpg", "b/2.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="expected a folder with images"):
        list_images(tmp_path / "empty")
