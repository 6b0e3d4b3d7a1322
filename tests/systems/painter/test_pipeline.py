"""Drawing: against the model's own probabilities worked out in one pass, and what a caption or an option may not be."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.data.pictures.preprocessing import to_pixels
from qkv.data.text.padding import pad_captions
from qkv.errors import QkvError
from qkv.systems.painter.pipeline import Painter
from tiny_painter import CAPTIONS, SIZES, tiny_painter


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Painter:
    return qkv.load(tiny_painter(tmp_path_factory.mktemp("painter") / "model"), device="cpu")


def logits(tiny: Painter, caption: str, codes: torch.Tensor, *, shown: bool = True) -> torch.Tensor:
    """Of all codes of a picture, in one pass and without a cache."""
    tokens, lengths = pad_captions(tiny.tokenizer.encode([caption]), SIZES.text_length)
    with torch.no_grad():
        return tiny.model(tokens, lengths * shown, codes[None])[1][0]


def pixels(images: Iterable[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image) for image in images])


@pytest.mark.parametrize("guidance", [1.0, 2.5, 0.0])
def test_each_code_is_the_likeliest_after_those_before_it(tiny: Painter, guidance: float) -> None:
    for caption, row in zip(CAPTIONS, tiny.drawings(CAPTIONS, top_k=1, guidance=guidance), strict=True):
        (drawing,) = row
        with_caption, without = (logits(tiny, caption, drawing.codes, shown=shown) for shown in (True, False))
        assert drawing.codes.tolist() == (without + guidance * (with_caption - without)).argmax(1).tolist()
        with torch.no_grad():
            expected = tiny.codes.model.decode(drawing.codes.view(1, 4, 4))[0].permute(1, 2, 0)
        assert np.abs(np.asarray(drawing.image) / 255 - expected.numpy()).max() <= 0.5 / 255 + 1e-6


def test_a_picture_depends_on_its_caption_and_seed_alone(tiny: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    many = tiny.draw(CAPTIONS, n=5, seed=3)
    for caption, row in zip(CAPTIONS, many, strict=True):
        assert (pixels(tiny.draw(caption, n=2, seed=3)) == pixels(row[:2])).all()
    monkeypatch.setattr(tiny, "batch_size", 2)  # in parts
    for row, other in zip(tiny.draw(CAPTIONS, n=5, seed=3), many, strict=True):
        assert (pixels(row) == pixels(other)).all()
    assert len({image.tobytes() for image in many[0]}) == 5
    assert tiny.draw([], n=5) == []
    assert (pixels(tiny.draw(CAPTIONS[0], n=5, seed=4)) != pixels(many[0])).any()


def test_candidates_are_ranked_by_what_the_caption_explains(tiny: Painter) -> None:
    caption = CAPTIONS[1]
    plain, (ranked,) = tiny.draw(caption, n=6), tiny.drawings([caption], n=6, rerank=True)
    gains = []
    for drawing in ranked:
        both = [logits(tiny, caption, drawing.codes, shown=shown).log_softmax(1) for shown in (True, False)]
        told, untold = (table.gather(1, drawing.codes[:, None]).sum().item() for table in both)
        gains.append(told - untold)
    assert [drawing.score for drawing in ranked] == pytest.approx(gains, abs=1e-4)
    assert gains == sorted(gains, reverse=True)
    assert {drawing.image.tobytes() for drawing in ranked} == {image.tobytes() for image in plain}


def test_a_prime_is_completed(tiny: Painter) -> None:
    prime = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8))
    with torch.no_grad():
        given = tiny.codes.model.encode(to_pixels(prime)[None] / 255)[0]
    for rows in (1, 3):
        for drawing in tiny.drawings(CAPTIONS[:1], n=3, prime=prime, keep_rows=rows, guidance=2.0)[0]:
            assert drawing.codes.view(4, 4)[:rows].tolist() == given[:rows].tolist()
    steps: list[tuple[int, int]] = []
    tiny.draw(CAPTIONS, n=2, prime=prime, keep_rows=3, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(8 * (i + 1), 32) for i in range(4)]


def test_a_picture_forms_code_by_code(tiny: Painter) -> None:
    with pytest.raises(QkvError, match="takes a list of captions"):
        tiny.drawings("a red bird")
    drawing = tiny.drawings(["a red bird"])[0][0]
    frames = pixels(tiny.frames(drawing))
    assert len(frames) == 17
    assert (frames[0] == 127).all()
    assert (frames[-1] == np.asarray(drawing.image)).all()
    for place, (before, after) in enumerate(pairwise(frames)):
        changed = np.argwhere((before != after).any(axis=2))
        assert {(row // 2, column // 2) for row, column in changed.tolist()} <= {divmod(place, 4)}
    few = pixels(tiny.frames(drawing, every=6))
    assert (few == frames[[0, 6, 12, 16]]).all()


@pytest.mark.parametrize(
    ("caption", "options", "said"),
    [
        ("", {}, "the caption '' is empty: say what the picture shows"),
        ("   ", {}, "is empty"),
        ("bird " * 2000, {}, r"tokens, the model reads 12: shorten it"),
        ("bird", {"temperature": 0.0}, "temperature must be a number above 0"),
        ("bird", {"top_k": 1, "top_p": 0.5}, "drop one of the two"),
        ("bird", {"n": 0}, "n must be at least 1"),
        ("bird", {"guidance": -1.0}, "guidance must be a number from 0 up"),
        ("bird", {"keep_rows": 2}, "prime and keep_rows belong together"),
        ("bird", {"prime": Image.new("RGB", (8, 8))}, "prime and keep_rows belong together"),
        ("bird", {"prime": Image.new("RGB", (8, 8)), "keep_rows": 4}, "keep_rows must be from 1 to 3"),
        ("bird", {"prime": Image.new("RGB", (9, 8)), "keep_rows": 1}, "9 x 8 pixels, the model draws 8 x 8"),
    ],
)
def test_what_cannot_be_drawn(tiny: Painter, caption: str, options: dict, said: str) -> None:
    with pytest.raises(QkvError, match=said):
        tiny.draw(caption, **options)


def test_a_painter_has_a_guidance_of_its_own(tiny: Painter, tmp_path: Path) -> None:
    folder = tiny_painter(tmp_path / "model")
    config = folder / "config.json"
    fields = json.loads(config.read_text())
    del fields["guidance"], fields["languages"]
    config.write_text(json.dumps(fields))
    assert qkv.load(folder).guidance == 1  # as those have that were made before painters had one
    config.write_text(json.dumps({**fields, "guidance": 4}))
    own, plain, four = (
        pixels(one.draw(CAPTIONS[0], n=5, **how))
        for one, how in ((qkv.load(folder), {}), (tiny, {}), (tiny, {"guidance": 4.0}))
    )
    assert (own == four).all() and (own != plain).any()
    assert (pixels(qkv.load(folder).draw(CAPTIONS[0], n=5, guidance=1.0)) == plain).all()


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny_painter(tmp_path / "model")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"guidance": 1.0', '"guidance": "much"'))
    with pytest.raises(QkvError, match=r"config\.json: guidance: .* a valid number.*'much'; restore the file"):
        qkv.load(folder)
    (folder / "config.json").write_text(config.replace('"guidance": 1.0', '"guidance": -1.0'))
    with pytest.raises(QkvError, match=r"guidance must be at least 0, not -1\.0; restore"):
        qkv.load(folder)
    (folder / "config.json").write_text(config.replace('"grid": 4', '"grid": 5'))
    with pytest.raises(QkvError, match=r"model\.grid is 5, but the discrete VAE's is 4; restore"):
        qkv.load(folder)
    (folder / "config.json").write_text(config.replace('"dvae":', '"other":'))
    with pytest.raises(QkvError, match=r"config\.json: unknown field 'other'"):
        qkv.load(folder)
    (folder / "config.json").write_text(config.replace('"vocabulary": ', '"vocabulary": 9'))
    with pytest.raises(QkvError, match=r"vocabulary is 9\d+, but tokenizer.model has \d+ tokens; restore the folder"):
        qkv.load(folder)
