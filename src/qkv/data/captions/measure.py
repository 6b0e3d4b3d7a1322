"""What a source of captioned pictures is like, from a look at a few hundred of them."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionSource
from qkv.data.pictures.measure import Measure, measure_pictures, some_of
from qkv.data.text.tokenizer import needed_vocabulary
from qkv.errors import QkvError
from qkv.reporter import Reporter

_SAMPLE = 500


@dataclass(frozen=True)
class CaptionMeasure(Measure):
    """What a source is like: its pictures and their captions."""

    longest: int  # bytes of the longest caption
    vocabulary: int = 0  # what the characters of the captions need


def measure_captions(source: CaptionSource, reporter: Reporter) -> CaptionMeasure:
    """Look at a few hundred pictures of a source and their captions; one at least of each must be readable."""
    longest, fault, seen = 0, "", list[str]()
    with tempfile.TemporaryDirectory() as cache:
        found = open_source(source, Path(cache), reporter)
        for index in some_of(len(found), _SAMPLE):
            try:
                texts = [text for _, text in found.texts(index)]
                longest = max(longest, *(len(text.encode()) for text in texts), 0)
                seen += texts
            except QkvError as error:
                fault = f"; the last tried: {error}"
        if not longest:
            raise QkvError(f"{source.path}: no picture has a caption{fault}")
        sizes = asdict(measure_pictures(found.pictures))
        return CaptionMeasure(**sizes, longest=longest, vocabulary=needed_vocabulary(seen))
