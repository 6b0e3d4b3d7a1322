"""Every kind of picture to 8 bits, and one line for what is none."""

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qkv.data.pictures.decode import find_pictures, open_picture
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(source: object, channels: int = 3) -> np.ndarray:
    return np.asarray(open_picture(source, channels))  # type: ignore[arg-type]


def png_header(width: int, height: int) -> bytes:
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")]
    parts = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_files_bytes_pictures_and_arrays_are_the_same_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    image = Image.fromarray(COLOUR)
    file.write_bytes(encoded(image))
    for source in (file, str(file), file.read_bytes(), image, COLOUR, COLOUR / 255):
        np.testing.assert_array_equal(opened(source), COLOUR)
        np.testing.assert_array_equal(opened(source, 1), np.asarray(image.convert("L")))


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = RNG.integers(0, 2**16, (6, 4), dtype=np.uint16)
    np.testing.assert_array_equal(opened(encoded(Image.fromarray(values)), 1), np.round(values / 257).astype(np.uint8))


def test_what_is_transparent_is_put_on_white() -> None:
    alpha = RNG.integers(0, 256, (5, 7, 1), dtype=np.uint8)
    share = alpha / 255
    expected = COLOUR * share + 255 * (1 - share)
    assert np.abs(opened(encoded(Image.fromarray(np.concatenate([COLOUR, alpha], 2)))) - expected).max() <= 1
    grey = np.concatenate([COLOUR[..., :1], alpha], 2)
    expected = (COLOUR[..., :1] * share + 255 * (1 - share))[..., 0]
    assert np.abs(opened(encoded(Image.fromarray(grey, "LA")), 1) - expected).max() <= 1


def test_palettes_with_transparency_black_and_white_and_cmyk() -> None:
    palette = Image.new("P", (3, 2), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 1), 1)
    pixels = opened(encoded(palette, transparency=1))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[1, 1].tolist() == [255, 255, 255]
    assert opened(encoded(Image.new("1", (2, 2), 1))).min() == 255
    assert np.abs(opened(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG")) - [0, 255, 255]).max() <= 2


def test_pictures_are_turned_upright_and_animations_give_their_first_frame() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    np.testing.assert_array_equal(opened(encoded(Image.fromarray(COLOUR), exif=exif)), np.rot90(COLOUR, -1))
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(animation)[0, 0].tolist() == [255, 0, 0]


def test_the_smallest_picture() -> None:
    assert opened(encoded(Image.new("L", (1, 1), 7))).tolist() == [[[7, 7, 7]]]


@pytest.mark.parametrize(("side", "said"), [(40_000, "pixels"), (12_000, r"12,000 x 12,000 .* 100,000,000")])
def test_bombs_are_refused_from_their_header(tmp_path: Path, side: int, said: str) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png_header(side, side))
    with pytest.raises(QkvError, match=rf"bomb\.png .*{said}"):
        open_picture(file, 3)


@pytest.mark.parametrize("content", [b"", b"no picture at all\n", encoded(Image.fromarray(COLOUR))[:-30]])
def test_what_is_no_picture_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.jpg"
    file.write_bytes(content)
    for source, name in ((file, r"bad\.jpg"), (content, "^the picture")):
        with pytest.raises(QkvError, match=name) as raised:
            open_picture(source, 3)
        assert "\n" not in str(raised.value)


def test_missing_files_folders_and_damaged_pil_images(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match=r"none\.png does not exist"):
        open_picture(tmp_path / "none.png", 3)
    with pytest.raises(QkvError, match="is a folder"):
        open_picture(tmp_path, 3)
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    with pytest.raises(QkvError, match=r"^the picture is damaged"):
        open_picture(Image.open(io.BytesIO(encoded(noise, "JPEG")[:1500])), 3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3),
        np.zeros((2, 2, 2)),
        np.full((2, 2), 1.5),
        np.zeros((2, 2), int),
        np.zeros((0, 2)),
        np.full((2, 2), np.nan),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(QkvError, match="no picture"):
        open_picture(array, 3)


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    content = encoded(Image.fromarray(COLOUR))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: open_picture(content, 3), range(200)))
    assert list(warnings.filters) == before


def test_pictures_are_found_under_files_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b.PNG", "sub/a.jpg", "notes.txt", ".hidden.png", ".cache/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "gone.png").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    names = ["notes.txt", ".", "*.PNG", "none.png", "*.gif", "empty"]
    found, wrong = find_pictures([tmp_path / name for name in names])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "notes.txt", "b.PNG", "sub/a.jpg", "sub/gone.png", "b.PNG", "none.png"
    ]  # fmt: skip
    says = [str(error) for error in wrong.values()]
    assert list(wrong) == [str(tmp_path / name) for name in ("*.gif", "empty")]
    assert "no file matches" in says[0]
    assert "empty holds no pictures" in says[1]
    with pytest.raises(QkvError, match=r"none\.png does not exist"):
        open_picture(found[-1], 3)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:  # permissions do not hold back the superuser, who may run the tests
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, wrong = find_pictures([tmp_path])
    assert found == []
    assert "locked cannot be read (Permission denied)" in str(wrong[str(tmp_path)])


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "avif", "webp", "jp2", "tga", "mpo", "pbm"])
def test_whatever_pillow_reads_is_found_and_opened(tmp_path: Path, suffix: str) -> None:
    Image.init()
    kind = {"mpo": "JPEG"}.get(suffix, Image.registered_extensions().get(f".{suffix.lower()}"))
    if kind not in Image.SAVE:
        pytest.skip("this Pillow is built without it")
    file = tmp_path / f"a.{suffix}"
    Image.new("1" if suffix == "pbm" else "RGB", (8, 8), 0).save(file, kind)
    assert find_pictures([tmp_path]) == ([file], {})
    assert opened(file).max() <= 8


def test_what_would_run_another_program_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", run)
    file = tmp_path / "a.jpg"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(QkvError, match=r"a\.jpg is not a picture"):
        open_picture(file, 3)
    file.rename(tmp_path / "a.eps")
    assert "holds no pictures" in str(find_pictures([tmp_path])[1][str(tmp_path)])


def photo(width: int, height: int) -> Image.Image:
    """Smooth with edges, as photos are."""
    y, x = np.mgrid[:height, :width] / height
    waves = [np.sin(9 * x + phase) * np.cos(7 * y) + (np.sin(40 * (x + y)) > 0.9) for phase in (0, 1, 2)]
    return Image.fromarray((127 + 60 * np.stack(waves, 2)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("enough", "size"), [(400, (1001, 801)), (201, (1001, 801)), (200, (501, 401)), (50, (126, 101)), (1, (126, 101))]
)
def test_large_jpegs_are_decoded_no_larger_than_they_need_be(enough: int, size: tuple[int, int]) -> None:
    content = encoded(photo(1001, 801), "JPEG")
    assert open_picture(content, 3, enough).size == size  # never below twice as many, unless there are fewer
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_picture(encoded(photo(1001, 801), "JPEG", exif=exif), 3, enough).size == size[::-1]
    assert open_picture(content, 1, enough).mode == "L"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_kinds_are_decoded_in_full(kind: str) -> None:
    content = encoded(photo(101, 81), kind)
    np.testing.assert_array_equal(np.asarray(open_picture(content, 3, 5)), opened(content))


def test_what_comes_of_a_large_jpeg_is_as_good() -> None:
    content = encoded(photo(1024, 768), "JPEG", quality=90)
    preprocessing = Preprocessing(size=96, mean=(0.5,) * 3, std=(0.5,) * 3)

    def fitted(image: Image.Image) -> np.ndarray:
        return np.asarray(preprocessing.fit(image)).astype(float)

    whole = fitted(open_picture(content, 3))
    quick = open_picture(content, 3, preprocessing.shorter_side)
    assert min(quick.size) == 192
    assert np.abs(fitted(quick) - whole).mean() < 1
    # Without that reserve, Pillow would be asked for the smallest size that is still large enough.
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (96, 96))
        assert np.abs(fitted(image) - whole).mean() > 1.5 * np.abs(fitted(quick) - whole).mean()


def test_damage_shows_in_a_small_copy_too() -> None:
    content = encoded(photo(640, 480), "JPEG")
    for part in (content[: len(content) // 2], content[:-200]):
        for enough in (None, 1):
            with pytest.raises(QkvError, match="is damaged"):
                open_picture(part, 3, enough)
