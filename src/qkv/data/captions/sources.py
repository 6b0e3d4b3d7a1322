"""Where captioned pictures are, and what every source of them offers, whatever its files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qkv.data.cache import digest, file_state
from qkv.data.pictures.shards import Places, first_place
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.data.table import Where
from qkv.data.text.tokenizer import without_surrogates
from qkv.errors import QkvError

TABLES = (".csv", ".jsonl", ".parquet")
LABEL = "{label}"
UNDETERMINED = "und"  # BCP 47's code for a language that nobody named

Caption = tuple[str, str]
"""Language and text."""


@dataclass(frozen=True, kw_only=True)
class CaptionSource:
    """Where captioned pictures are: a folder, a table, shards, or labelled pictures.

    Attributes:
        folder: holds pictures, in folders below it too, and beside each its captions, one a line: `cat.png`, `cat.txt`.
        table: a .csv, .jsonl or .parquet file. A Parquet file may hold the pictures themselves; paths count from the
            table's folder, and rows with the same path are one picture with several captions.
        shards: .tar files, uncompressed (WebDataset): a file, a folder of them, a pattern such as `train-*.tar`, or a
            list of these. Files with the same stem are a sample: a picture, and a .txt (a caption a line) or a .json.
        labelled: pictures with classes, which `templates` make captions of.
        image_column: the table's column of paths or pictures.
        captions: the columns of a table, or the keys of the shards' .json files, that hold captions: one, several, or
            one or several for each language. A cell may hold a list of captions. "caption" if not given.
        where: column to value, or to several: only rows of a table that have it, or one of them, are taken. A text
            may be a pattern, such as "* skin tone".
        repeat: how often an epoch of training shows each picture: more than once for what is rare and must be learnt.
        templates: captions with {label} where the class goes; a list, or a list for each language.
        names: what is put in for {label}, by class, such as {"Ankle boot": "an ankle boot"}; by language and class if
            the templates are. The class itself where there is none.
        language: of captions that do not name theirs.
    """

    folder: str | None = None
    table: str | None = None
    shards: Places | None = None
    labelled: PictureSource | None = None
    image_column: str = "image"
    captions: str | list[str] | dict[str, str | list[str]] | None = None
    where: Where | None = None
    repeat: int = 1
    templates: list[str] | dict[str, list[str]] | None = None
    names: dict[str, str] | dict[str, dict[str, str]] | None = None
    language: str = UNDETERMINED

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.folder, self.table, self.shards, self.labelled)) != 1:
            raise ValueError("captioned pictures come from either a folder, a table, shards or labelled pictures")
        if self.table is not None and Path(self.table).suffix.lower() not in TABLES:
            raise ValueError(f"table {self.table} must be a file that ends in {', '.join(TABLES)}")
        if self.captions is not None and self.table is None and self.shards is None:
            raise ValueError("captions name columns of a table or keys in shards")
        if self.where is not None and self.table is None:
            raise ValueError("where chooses rows of a table")
        if self.repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {self.repeat}")
        if (self.templates is not None or self.names is not None) and self.labelled is None:
            raise ValueError("templates and names belong to labelled pictures")
        for template in (template for templates in self.templates_by_language.values() for template in templates):
            if LABEL not in template:
                raise ValueError(f"template {template!r} lacks {LABEL}, the place of the class")
        for key, name in (self.names or {}).items():
            if isinstance(name, str) == isinstance(self.templates, dict):
                raise ValueError("names are by class, or by language and class if the templates are by language")
            if isinstance(self.templates, dict) and key not in self.templates:
                raise ValueError(f"names are given in {key}, but no templates")
        for by_language in (self.columns, self.templates_by_language):
            if not by_language or not all(by_language.values()):
                raise ValueError("a language needs a column or template at least, and there must be one language")

    @classmethod
    def of(cls, path: Path) -> "CaptionSource":
        """The source that a path means: a folder, a table or a shard."""
        if path.is_dir():
            return cls(folder=str(path))
        if path.suffix.lower() in TABLES:
            return cls(table=str(path))
        if path.suffix.lower() == ".tar":
            return cls(shards=str(path))
        raise QkvError(f"{path} holds no captioned pictures: give a folder of pictures with .txt files beside them, "
                       f"a table ({', '.join(TABLES)}), or a .tar of WebDataset")  # fmt: skip

    @property
    def path(self) -> Path:
        """Its folder or first file, for messages."""
        place = self.folder or self.table or first_place(self.shards or "")
        return self.labelled.path if self.labelled else Path(place)

    @property
    def columns(self) -> dict[str, list[str]]:
        """Language to the columns or keys of its captions."""
        given = "caption" if self.captions is None else self.captions
        by_language = given if isinstance(given, dict) else {self.language: given}
        return {language: [names] if isinstance(names, str) else names for language, names in by_language.items()}

    @property
    def templates_by_language(self) -> dict[str, list[str]]:
        """Language to templates."""
        given = [LABEL] if self.templates is None else self.templates
        return given if isinstance(given, dict) else {self.language: given}


@dataclass(frozen=True)
class CaptionedPictures:
    """The pictures of one source with their captions, as they are stored; safe in threads and in forked processes."""

    source: CaptionSource
    pictures: Pictures
    captions: Callable[[int], Sequence[Caption]]  # of a picture, by its number
    files: Sequence[str] = ()  # all that captions are read from, besides those of the pictures
    notes: Sequence[str] = ()  # what is odd about the source as a whole, a line each

    def __len__(self) -> int:
        return len(self.pictures)

    def texts(self, index: int) -> list[Caption]:
        """The captions of a picture, stripped, and without what UTF-8 cannot hold; some may be empty."""
        return [(language, without_surrogates(text).strip()) for language, text in self.captions(index)]

    def check(self, index: int) -> int:
        """As that of `Pictures`; QkvError also if a caption of the picture cannot be read, or it has none."""
        content = self.pictures.check(index)
        if not any(text for _, text in self.texts(index)):
            raise QkvError(f"{self.pictures.name(index)} has no caption: give it one, or take it out")
        return content

    @cached_property
    def state(self) -> str:
        """A digest of the source and of the state of its files, taken when first asked for."""
        return digest(repr(self.source), self.pictures.state, *([file, file_state(Path(file))] for file in self.files))
