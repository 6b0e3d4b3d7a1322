"""What a source of captioned pictures is like, from a look at a few hundred of them."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionedPictures, CaptionSource
from qkv.data.pictures.measure import Measure, measure_pictures, some_of
from qkv.errors import QkvError
from qkv.reporter import Reporter

_SAMPLE = 500


@dataclass(frozen=True)
class CaptionMeasure(Measure):
    """What a source is like: its pictures and their captions.

    Attributes:
        longest: bytes of the longest caption.
    """

    longest: int


def measure_captions(source: CaptionSource, reporter: Reporter) -> CaptionMeasure:
    """Look at a few hundred pictures of a source, and at as many captions.

    Raises:
        QkvError: the source cannot be used, or none of these captions or pictures can be read.
    """
    with tempfile.TemporaryDirectory() as cache:
        found = open_source(source, Path(cache), reporter)
        longest = _longest_caption(found)
        return CaptionMeasure(**asdict(measure_pictures(found.pictures)), longest=longest)


def _longest_caption(pictures: CaptionedPictures) -> int:
    """Its bytes, of a few hundred."""
    longest, fault = 0, ""
    for index in some_of(len(pictures), _SAMPLE):
        try:
            texts = pictures.texts(index)
        except QkvError as error:
            fault = str(error)
            continue
        longest = max(longest, *(len(text.encode()) for _, text in texts), 0)
    if not longest:
        raise QkvError(f"{pictures.source.path}: no picture has a caption{fault and f'; the last tried: {fault}'}")
    return longest
