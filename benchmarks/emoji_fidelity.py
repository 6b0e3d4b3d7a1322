"""Does an emoji painter draw what it never saw: the skin tone and the base of unseen combinations of seen parts.

    python -m benchmarks.emoji_fidelity --data data/emoji/emoji.parquet --model MODEL [--languages en ko] [--json FILE]

The table's `val` rows are emoji such as "woman firefighter medium skin tone", of which training saw the base in other
skin tones and the skin tone on other bases. For each caption one picture is drawn, and judged without any network:

tone: the reference skin tone to which most of the pixels that are near to one at all are nearest.
base: that of the nearest picture of the table (root mean square over the pixels), whatever its skin tone; the emoji's
    own row is among them, and the second figure leaves all `val` rows out, so that only seen pictures can be nearest.

The same is done to the real pictures, and to what the discrete VAE makes of them: no drawing can be judged better.

And does it draw what it saw where no other is like it: the base again, for as many emoji whose base no other has.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import torch
from benchmarks.contest import machine, versions
from jaxtyping import Float, Int
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

import qkv
from qkv.data.pictures.decode import open_picture
from qkv.systems.painter.pipeline import Painter

MODIFIERS = {f"{0x1F3FB + tone:x}": tone for tone in range(5)}
# The colour that covers most of the emoji of each tone, from light to dark.
REFERENCE_TONES = ((249, 221, 189), (224, 187, 149), (186, 141, 104), (165, 108, 67), (112, 83, 74))
NEAR = 27.0  # half the least distance between two of them
PACKAGES = ("qkv", "torch", "pillow", "pyarrow")


@dataclass(frozen=True)
class Emoji:
    """A row of the table.

    Attributes:
        base: its code points but for skin tones.
        tone: 0 (light) to 4 (dark); None if it has none, or two.
        captions: by language.
        image: RGB.
        unseen: whether training leaves it out.
    """

    base: str
    tone: int | None
    captions: dict[str, str]
    image: Image.Image
    unseen: bool


@dataclass(frozen=True)
class Fidelity:
    """Shares of pictures, from 0 to 1, in which the judge finds what the caption says."""

    tone: float
    base: float
    base_among_seen: float
    both: float


def main() -> None:
    """Draw every `val` caption in every language, judge the pictures, print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--languages", nargs="+", default=["en", "ko", "de", "fr"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--guidance", type=float, help="the painter's own unless given")
    parser.add_argument("--json", type=Path, help="also write the shares here")
    options = parser.parse_args()
    painter = qkv.load(options.model)
    if not isinstance(painter, Painter):
        parser.error(f"{options.model} does not draw")
    emoji = read(options.data, painter.codes.preprocessing.size)
    judge, unseen = Judge(emoji), [one for one in emoji if one.unseen]
    alone = spread(without_kin(emoji), len(unseen))
    how = {name: getattr(options, name) for name in ("seed", "temperature", "top_k", "top_p", "guidance")}

    def judged(pictures: Callable[[Sequence[Emoji]], Sequence[Image.Image]]) -> dict[str, float]:
        return {**asdict(judge(unseen, pictures(unseen))), "base_alone": judge(alone, pictures(alone)).base}

    shares = {
        "real pictures": judged(images_of),
        "their codes": judged(lambda group: painter.codes.decode(painter.codes.encode(images_of(group)))),
    }
    with Progress(console=Console(stderr=True)) as bar:
        for language in options.languages:
            shares[f"drawn, {language}"] = judged(partial(draw, painter, language, how, bar))
    table = Table("pictures", "skin tone", "base", "base, nearest seen", "tone and base", "base of one without kin")
    for name, share in shares.items():
        table.add_row(name, *(f"{value:.1%}" for value in share.values()))
    Console().print(table)
    result = {
        "model": options.model,
        "captions": len(unseen),
        **how,
        "shares": shares,
        "versions": versions(PACKAGES),
        "machine": machine(),
    }
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def read(path: Path, size: int) -> list[Emoji]:
    """All emoji of the table, scaled to `size` pixels a side."""
    return [_emoji(row, size) for row in parquet.read_table(path).to_pylist()]


def images_of(emoji: Sequence[Emoji]) -> list[Image.Image]:
    """The real pictures."""
    return [one.image for one in emoji]


def draw(
    painter: Painter, language: str, how: dict[str, Any], bar: Progress, emoji: Sequence[Emoji]
) -> list[Image.Image]:
    """A picture after each caption."""
    task = bar.add_task(language, total=None)
    captions = [one.captions[language] for one in emoji]
    drawn = painter.draw(captions, **how, progress=lambda done, total: bar.update(task, completed=done, total=total))
    return [images[0] for images in drawn]


def without_kin(emoji: Sequence[Emoji]) -> list[Emoji]:
    """Those of training whose base no other has."""
    count = Counter(one.base for one in emoji)
    return [one for one in emoji if count[one.base] == 1 and not one.unseen]


def spread(emoji: Sequence[Emoji], count: int) -> list[Emoji]:
    """So many of them, evenly chosen."""
    return [emoji[number * len(emoji) // count] for number in range(count)]


def _emoji(row: dict[str, Any], size: int) -> Emoji:
    points = row["codepoints"].split("_")
    tones = {MODIFIERS[point] for point in points if point in MODIFIERS}
    image = open_picture(row["image"], 3).resize((size, size), Image.Resampling.BOX)
    captions = {name.removeprefix("caption_"): text for name, text in row.items() if name.startswith("caption_")}
    base = "_".join(point for point in points if point not in MODIFIERS)
    return Emoji(base, tones.pop() if len(tones) == 1 else None, captions, image, row["split"] == "val")


class Judge:
    """Tells tone and base of pictures, by comparison with all emoji."""

    def __init__(self, emoji: Sequence[Emoji]) -> None:
        self._emoji = emoji
        self._pixels = pixels([one.image for one in emoji]).flatten(1)
        self._seen = torch.tensor([not one.unseen for one in emoji])

    def __call__(self, wanted: Sequence[Emoji], images: Sequence[Image.Image]) -> Fidelity:
        """Shares of the pictures that show what is wanted."""
        shown = pixels(images)
        distances = torch.cdist(shown.flatten(1), self._pixels)
        found = {
            "base": self._bases(distances),
            "base_among_seen": self._bases(distances.masked_fill(~self._seen, torch.inf)),
        }
        tones = [tone == one.tone for tone, one in zip(tone_of(shown).tolist(), wanted, strict=True)]
        bases = {
            name: [base == one.base for base, one in zip(names, wanted, strict=True)] for name, names in found.items()
        }
        both = [tone and base for tone, base in zip(tones, bases["base"], strict=True)]
        return Fidelity(tone=share(tones), **{name: share(right) for name, right in bases.items()}, both=share(both))

    def _bases(self, distances: Float[Tensor, "B N"]) -> list[str]:
        return [self._emoji[row].base for row in distances.argmin(1).tolist()]


def share(right: Sequence[bool]) -> float:
    """Of what is true."""
    return sum(right) / len(right)


def pixels(images: Sequence[Image.Image]) -> Float[Tensor, "B 3 H W"]:
    """Colours from 0 to 255."""
    return torch.stack([torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) for image in images]).float()


def tone_of(images: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B"]:
    """The reference tone that most pixels are near to; -1 where none is near to any."""
    colours = images.flatten(2).transpose(1, 2)
    distance, nearest = torch.cdist(colours, torch.tensor(REFERENCE_TONES).float().expand(len(images), -1, -1)).min(2)
    counts = torch.stack([((nearest == tone) & (distance < NEAR)).sum(1) for tone in range(5)], dim=1)
    return counts.argmax(1).where(counts.sum(1) > 0, -1)


if __name__ == "__main__":
    main()
