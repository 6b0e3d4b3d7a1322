"""What a source of captioned pictures is like, from a look at a few hundred of them."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionSource
from qkv.data.pictures.measure import Measure, measure_pictures, some_of
from qkv.errors import QkvError
from qkv.reporter import Reporter

_SAMPLE = 500


@dataclass(frozen=True)
class CaptionMeasure(Measure):
    """What a source is like: its pictures and their captions."""

    longest: int  # bytes of the longest caption


def measure_captions(source: CaptionSource, reporter: Reporter) -> CaptionMeasure:
    """Look at a few hundred pictures of a source and their captions; one at least of each must be readable."""
    longest, fault = 0, ""
    with tempfile.TemporaryDirectory() as cache:
        found = open_source(source, Path(cache), reporter)
        for index in some_of(len(found), _SAMPLE):
            try:
                longest = max(longest, *(len(text.encode()) for _, text in found.texts(index)), 0)
            except QkvError as error:
                fault = f"; the last tried: {error}"
        if not longest:
            raise QkvError(f"{source.path}: no picture has a caption{fault}")
        return CaptionMeasure(**asdict(measure_pictures(found.pictures)), longest=longest)
