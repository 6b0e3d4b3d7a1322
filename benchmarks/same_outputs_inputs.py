"""What `same_outputs` gives both checkouts to work on: small files, written once from Multi30k and Fashion-MNIST."""

import gzip
import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

CAPTIONS, PICTURES, DRAWINGS, FOLDER = 1000, 1000, 20, 200  # at most
GARMENTS = ("a T-shirt", "a pair of trousers", "a pullover", "a dress", "a coat", "a sandal", "a shirt", "a sneaker",
            "a bag", "an ankle boot")  # fmt: skip
TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "draw {}", "{}, from a shop")
EMOJI = (
    "woman firefighter medium skin tone", "person kneeling light skin tone", "grinning face", "red heart",
    "man cook dark skin tone", "dog face", "rainbow", "rocket", "여자 소방관 갈색 피부", "웃는 얼굴", "고양이", "나무",
    "feuerwehrfrau mittlere hautfarbe", "grinsendes gesicht", "apfel", "flugzeug",
    "pompier femme peau légèrement mate", "visage rieur", "poisson", "étoile",
)  # fmt: skip


def write_inputs(data: Path, painter: Path, folder: Path, limit: int | None) -> None:
    """Write all of them.

    Args:
        data: holds multi30k/test_2016_flickr.{en,de}.gz and fashion_mnist/t10k-*.gz.
        painter: the model folder of fashion-draw.
        folder: where to write.
        limit: of lines, pictures and captions of each.
    """
    texts = {language: _lines(data / f"multi30k/test_2016_flickr.{language}.gz")[:limit] for language in ("en", "de")}
    garments = [template.format(garment) for template in TEMPLATES[:2] for garment in GARMENTS]
    texts |= {"captions": texts["en"][:CAPTIONS], "fashion-draw": garments[:DRAWINGS][:limit]}
    texts["emoji"] = list(EMOJI[:DRAWINGS][:limit])
    for name, lines in texts.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    images = read_idx(data / "fashion_mnist/t10k-images-idx3-ubyte.gz")
    labels = read_idx(data / "fashion_mnist/t10k-labels-idx1-ubyte.gz")
    write_idx(folder / "t10k-images-idx3-ubyte.gz", images[:limit])
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", labels[:limit])
    np.save(folder / "pictures.npy", images[:PICTURES][:limit])
    _write_captioned(folder / "captioned", images, labels, min(FOLDER, limit or FOLDER))
    _write_codes(painter, folder / "codes")
    _write_classes(folder / "classes")


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an IDX file of MNIST's family."""
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write bytes as an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


def _write_captioned(folder: Path, images: np.ndarray, labels: np.ndarray, count: int) -> None:
    """Test pictures, each with a caption that the judge can judge by."""
    folder.mkdir()
    for number in range(count):
        Image.fromarray(images[number]).save(folder / f"{number:04}.png")
        caption = TEMPLATES[number % len(TEMPLATES)].format(GARMENTS[labels[number]])
        (folder / f"{number:04}.txt").write_text(f"{caption}\n")


def _write_codes(painter: Path, folder: Path) -> None:
    """The discrete VAE of a painter as a model folder of its own."""
    folder.mkdir()
    config = json.loads((painter / "config.json").read_text())
    kept = {"format": config["format"], "preprocessing": config["preprocessing"]}
    (folder / "config.json").write_text(json.dumps({**kept, "system": "dvae", "model": config["dvae"]}))
    weights = load_file(painter / "model.safetensors")
    part = {name.removeprefix("dvae."): weight for name, weight in weights.items() if name.startswith("dvae.")}
    save_file(part, folder / "model.safetensors")


def _write_classes(folder: Path) -> None:
    """A folder for each of two classes of noise, to train on."""
    noise = np.random.default_rng(0)
    for name, brightest in (("dark", 100), ("bright", 256)):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            Image.fromarray(noise.integers(0, brightest, (28, 28), np.uint8)).save(folder / name / f"{number}.png")
