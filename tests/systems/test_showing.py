"""What a person sees at a prompt and in a notebook: completion, one line for a model, pictures and escaped HTML."""

import io
import pydoc
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args, get_overloads, get_type_hints

import pytest
import torch
from PIL import Image

import qkv
from qkv.figures.grid import draw_side_by_side
from qkv.model_directory import bundled_models
from qkv.systems import registry
from qkv.systems.classifier.pipeline import Classification, Prediction
from qkv.systems.painter.pipeline import Drawing
from qkv.systems.showing import Pictures
from qkv.systems.translator.result import Translation
from tiny_codes import tiny_codes
from tiny_painter import CAPTIONS, tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import tiny_vit

HOSTILE = "<script>alert('&')</script>\"\x1b[31m"


class Cells(HTMLParser):
    """The tags of a piece of HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = set[str](), ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_all_public_names_are_completed_before_they_are_used() -> None:
    code = (
        "import qkv, sys; print(*dir(qkv)); [getattr(qkv, name) for name in qkv.__all__]; print('torch' in sys.modules)"
    )
    names, heavy = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"QkvError", "__version__", "load"} <= set(names.split())
    assert {name for name in names.split() if not name.startswith("__")} == {"QkvError", "load"}
    assert heavy == "False"
    assert all(hasattr(qkv, name) for name in dir(qkv))
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        qkv.laod  # type: ignore[attr-defined]  # noqa: B018
    assert "load" in pydoc.render_doc(qkv, renderer=pydoc.plaintext)


def test_types_of_load_name_every_bundled_model_with_what_it_is() -> None:
    told = {}
    for overload in get_overloads(registry.load):
        for name in get_args(overload.__annotations__["name_or_folder"]):
            if isinstance(name, str):
                told[name] = overload.__annotations__["return"]
    known = {name: registry.system_of(name).part("pipeline").Pipeline.__name__ for name in bundled_models()}
    assert told == known
    assert get_type_hints(registry.load)["name_or_folder"] == str | Path


def test_a_model_says_what_it_is_in_one_line(tmp_path: Path, model_folder: Path) -> None:
    folders = {
        make.__name__: make(tmp_path / make.__name__) for make in (tiny_vit, tiny_painter, tiny_codes, tiny_scorer)
    }
    knows = {"tiny_vit": "3 classes", "tiny_painter": "captions", "tiny_codes": "9 codes", "tiny_scorer": "captions"}
    for name, folder in {**folders, "tiny_translator": model_folder}.items():
        model = qkv.load(folder)
        number = sum(weight.numel() for weight in model.model.parameters())
        line = f"{knows.get(name, 'de, en, fr')}; {number:,} parameters, on cpu"
        assert repr(model) == f"<{type(model).__name__}: {line}>"
        assert Cells(model._repr_html_()).text == f"{type(model).__name__}{line}"


def test_html_is_escaped() -> None:
    best = Translation(HOSTILE, -0.5, ("split",))
    several = Translation(HOSTILE, -0.5, ("split",), n_best=(best, Translation("b", -1.0)))
    for shown in (best, several, Classification([Prediction(HOSTILE, 0.75)])):
        found = Cells(shown._repr_html_())
        assert HOSTILE in found.text and not {"script"} & found.tags
    assert "75.0%" in Classification([Prediction("a", 0.75)])._repr_html_()
    assert "split" in best._repr_html_() and "-1.00" in several._repr_html_()


def opened(png: bytes | None) -> Image.Image:
    assert png is not None
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_show_side_by_side(mode: str) -> None:
    colours = list(range(0, 250, 25))  # ten: a row of eight, and two
    sheet = opened(draw_side_by_side([Image.new("L", (12, 6), colour).convert(mode) for colour in colours]))
    assert (sheet.mode, sheet.size) == (mode, (8 * 12 * 8, 2 * 6 * 8))
    grey = sheet.convert("L")
    middles = [grey.getpixel((place % 8 * 96 + 48, place // 8 * 48 + 24)) for place in range(10)]
    assert middles == colours
    assert Pictures()._repr_png_() is None


def test_what_is_drawn_shows_itself(tmp_path: Path) -> None:
    painter = qkv.load(tiny_painter(tmp_path / "painter"))
    drawn = painter.draw(CAPTIONS[0], n=3)
    assert isinstance(drawn, Pictures) and opened(drawn._repr_png_()).size == (3 * 96, 96)
    [[drawing]] = painter.drawings([CAPTIONS[0]])
    assert repr(drawing) == "<Drawing: 8 x 8 pixels>"
    assert opened(drawing._repr_png_()).resize((8, 8), Image.Resampling.NEAREST).tobytes() == drawn[0].tobytes()
    assert repr(Drawing(drawn[0], torch.zeros(16), -0.256)) == "<Drawing: 8 x 8 pixels, score -0.26>"
    codes = qkv.load(tiny_codes(tmp_path / "codes"))
    assert isinstance(codes.decode(codes.encode(drawn)), Pictures)
