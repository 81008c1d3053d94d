"""Images of every kind become RGB, or are refused with a reason."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image

from toolkit_recipes.dbnet import images
from toolkit_recipes.dbnet.images import ImageError
from toolkit_recipes.dbnet.images import load_image
from toolkit_recipes.dbnet.images import read_header

WIDTH, HEIGHT = 24, 16

TO_STORED = {
    1: lambda page: page,
    2: lambda page: page[:, ::-1],
    3: lambda page: page[::-1, ::-1],
    4: lambda page: page[::-1],
    5: lambda page: page.swapaxes(0, 1),
    6: lambda page: np.rot90(page, 1),
    7: lambda page: np.rot90(page, 2).swapaxes(0, 1),
    8: lambda page: np.rot90(page, -1),
}
"""How a camera stores an upright page, for each EXIF orientation."""


def page() -> np.ndarray:
    """Four different corners, so that any turn shows."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (250, 0, 0)
    pixels[: HEIGHT // 2, WIDTH // 2 :] = (0, 250, 0)
    pixels[HEIGHT // 2 :, WIDTH // 2 :] = (0, 0, 250)
    return pixels


def orientation(value: int) -> bytes:
    """Return EXIF that says only this."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif.tobytes()


def refusal(path: Path) -> str:
    """Return the reason for which an image is refused."""
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("value", TO_STORED)
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_exif_turns_the_page_upright(tmp_path: Path, value: int, suffix: str) -> None:
    """A page stored in any of the eight orientations is loaded as it was seen."""
    path = tmp_path / f"photo{suffix}"
    stored = Image.fromarray(np.ascontiguousarray(TO_STORED[value](page())))
    stored.save(path, exif=orientation(value), lossless=True)
    assert np.array_equal(load_image(path), page())
    header = read_header(path)
    assert (header.width, header.height, header.turned) == (WIDTH, HEIGHT, value != 1)


def test_without_exif_the_page_is_as_stored(tmp_path: Path) -> None:
    """With the option off, pixels and size are those of the file."""
    path = tmp_path / "photo.png"
    stored = np.ascontiguousarray(TO_STORED[6](page()))
    Image.fromarray(stored).save(path, exif=orientation(6))
    assert np.array_equal(load_image(path, exif=False), stored)
    header = read_header(path, exif=False)
    assert (header.width, header.height, header.turned) == (HEIGHT, WIDTH, False)


@pytest.mark.parametrize("exif", [True, False])
def test_a_tiff_is_turned_as_it_says(tmp_path: Path, exif: bool) -> None:
    """A TIFF's orientation is part of its pixels; the header says so as well."""
    path = tmp_path / "scan.tif"
    stored = Image.fromarray(np.ascontiguousarray(TO_STORED[6](page())))
    stored.save(path, tiffinfo={int(ExifTags.Base.Orientation): 6})
    assert np.array_equal(load_image(path, exif=exif), page())
    header = read_header(path, exif=exif)
    assert (header.width, header.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00nonsense", orientation(9), orientation(0)])
def test_exif_that_makes_no_sense_counts_as_none(tmp_path: Path, exif: bytes) -> None:
    """The page is loaded as it is stored."""
    path = tmp_path / "photo.png"
    Image.fromarray(page()).save(path, exif=exif)
    assert np.array_equal(load_image(path), page())


def test_exif_behind_the_pixels_is_refused(tmp_path: Path) -> None:
    """The size of a PNG is known from its beginning; an EXIF at its end would turn it later."""
    path = tmp_path / "photo.png"
    stream = io.BytesIO()
    Image.fromarray(page()).save(stream, "PNG")
    content = b"eXIf" + orientation(6).removeprefix(b"Exif\x00\x00")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    path.write_bytes(stream.getvalue()[:-12] + chunk + stream.getvalue()[-12:])
    assert "EXIF stands behind its pixels" in refusal(path)
    assert np.array_equal(load_image(path, exif=False), page())


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "CMYK", "RGB"])
def test_other_colours_become_rgb(tmp_path: Path, mode: str) -> None:
    """Black, gray, palette, print and video colours: white stays white, black stays black."""
    path = tmp_path / ("page.tif" if mode in ("YCbCr", "CMYK") else "page.png")
    pixels = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    pixels[:, :5] = 0
    Image.fromarray(pixels).convert(mode).save(path)
    loaded = load_image(path)
    assert loaded.dtype == np.uint8
    assert loaded.flags.writeable
    assert np.array_equal(loaded, pixels)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_white_paper(tmp_path: Path, mode: str) -> None:
    """Black text on a transparent background stays readable."""
    path = tmp_path / "page.png"
    pixels = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    pixels[4:8, :, 3] = 255
    Image.fromarray(pixels).convert(mode).save(path)
    loaded = load_image(path)
    assert (loaded[4:8] == 0).all()
    assert (loaded[:4] == 255).all()
    assert (loaded[8:] == 255).all()


def test_a_transparent_colour_of_a_palette_is_white_paper(tmp_path: Path) -> None:
    """A palette can make one of its colours transparent."""
    path = tmp_path / "page.png"
    image = Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.uint8)).convert("P")
    image.save(path, transparency=image.getpixel((0, 0)))
    assert (load_image(path) == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    """A 16-bit scan keeps its grays; they aren't clipped to white."""
    path = tmp_path / f"scan{suffix}"
    values = np.array([[0, 257, 32768, 65278, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(path)
    loaded = load_image(path)
    assert loaded[0, :, 0].tolist() == [0, 1, 128, 254, 255]
    assert (loaded == loaded[..., :1]).all()


def jpeg2000(path: Path, values: np.ndarray, bits: int) -> Path:
    """Write colours of so many bits, given in blue, green and red.

    OpenCV knows 16 bits only. Colours are stored around 0, so that others are moved to the middle.
    """
    middle = (values.astype(np.int64) + (1 << 15) - (1 << (bits - 1))).astype(np.uint16)
    assert cv2.imwrite(str(path), middle)
    content = bytearray(path.read_bytes())
    for channel in range(values.shape[2]):
        content[content.index(b"\xff\x4f\xff\x51") + 42 + 3 * channel] = bits - 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("bits", [16, 12, 10])
@pytest.mark.parametrize("channels", [3, 4])
def test_jpeg2000_of_many_bits_is_scaled(tmp_path: Path, bits: int, channels: int) -> None:
    """White stays white and ink dark, each colour in its place."""
    largest = (1 << bits) - 1
    values = np.full((40, 60, channels), largest, dtype=np.uint16)
    values[20:, :, :3] = [largest // 20, largest // 5, largest // 2]
    loaded = load_image(jpeg2000(tmp_path / "page.jp2", values, bits))
    assert (loaded[:20] == 255).all()
    assert np.abs(loaded[20:].astype(int) - [127, 51, 13]).max() <= 1


def test_jpeg2000_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    """Colours of different numbers of bits; the advice is another kind of file."""
    path = tmp_path / "page.jp2"
    jpeg2000(path, np.full((40, 60, 3), 65535, dtype=np.uint16), 16)
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 12 - 1
    path.write_bytes(content)
    assert "save it as PNG or TIFF" in refusal(path)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_of_32_bits_are_refused(tmp_path: Path, dtype: type) -> None:
    """Nobody knows what is white among 32-bit numbers."""
    path = tmp_path / "scan.tif"
    Image.fromarray(np.array([[0, 70_000]], dtype=dtype)).save(path)
    assert "save it with 8 or 16 bits" in refusal(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    """Half an image isn't loaded as one with a gray lower half."""
    path = tmp_path / f"page{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "can't be read" in refusal(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """The message says that there is nothing in it."""
    (tmp_path / "page.jpg").touch()
    assert refusal(tmp_path / "page.jpg") == "empty, 0 bytes"


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    """The message names the kinds of image that are read."""
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    assert "not an image" in refusal(tmp_path / "page.jpg")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message is the system's."""
    assert "No such file" in refusal(tmp_path / "page.jpg")


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_an_enormous_image_is_refused(tmp_path: Path, side: int) -> None:
    """Size is checked before any pixel is decoded, and without Pillow's warning."""
    path = tmp_path / "page.bmp"
    Image.new("L", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<ii", side, side)
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"{images.MAX_PIXELS:,}" in refusal(path)
        with pytest.raises(ImageError):
            read_header(path)


def test_an_error_travels_between_processes(tmp_path: Path) -> None:
    """A data loader's worker can hand it to the process that reports it."""
    error = pickle.loads(pickle.dumps(ImageError(tmp_path / "a.jpg", "torn")))  # noqa: S301
    assert (error.path, error.reason) == (tmp_path / "a.jpg", "torn")
    assert str(error) == f"{tmp_path / 'a.jpg'}: torn"


def encoded(kind: str) -> bytes:
    """Return a sound file of a kind."""
    stream = io.BytesIO()
    Image.fromarray(page()).save(stream, kind)
    return stream.getvalue()


SAMPLES = [
    encoded(kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw an image file with bytes changed, cut off or put in."""
    content = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(content) - 1))
        content[place] = draw(st.integers(0, 255))
    kept = draw(st.integers(0, len(content)) | st.just(len(content)))
    return bytes(content[:kept]) + draw(st.binary(max_size=8))


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=damaged() | st.binary(max_size=64), exif=st.booleans())
def test_any_bytes_are_an_image_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, exif: bool
) -> None:
    """No file ends the program; what is loaded has the size that its header said."""
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        loaded = load_image(path, exif=exif)
    except ImageError:
        return
    header = read_header(path, exif=exif)
    assert loaded.dtype == np.uint8
    assert loaded.shape == (header.height, header.width, 3)
