"""Where a checkpoint of another library comes from: a folder, or the Hugging Face Hub. Nothing is ever unpickled."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from qkv.config import parse
from qkv.errors import QkvError, one_line
from qkv.files import regular
from qkv.model_directory import CONFIG, WEIGHTS, fetch, is_hub_name

T = TypeVar("T")

PREPROCESSOR, README = "preprocessor_config.json", "README.md"


@dataclass(frozen=True)
class Source:
    """A checkpoint on disk."""

    name: str  # as the user gave it
    folder: Path
    config: Mapping[str, Any]  # config.json

    @classmethod
    def open(cls, name: str) -> "Source":
        """Find a checkpoint in a folder, or download it from the Hugging Face Hub ("owner/name").

        Raises:
            QkvError: there is none, or it lacks a configuration or weights that can be read without unpickling.
        """
        folder = Path(name)
        if not os.path.isdir(name):  # false, not an error, for what is no path
            if not is_hub_name(name):
                raise QkvError(
                    f"there is no folder {name[:80]!r}; give a checkpoint's folder or a hub name, owner/name"
                )
            folder = fetch(name, [CONFIG, PREPROCESSOR, WEIGHTS, README])
        if not (folder / CONFIG).is_file():
            raise QkvError(f"{name} is no checkpoint: it has no {CONFIG}")
        if not (folder / WEIGHTS).is_file():
            raise QkvError(
                f"{name} has no {WEIGHTS}, the one file that weights are read from; pickled ones (.bin, .pt, .pth) are "
                "never opened, since they can run code: save the model again as safetensors"
            )
        return cls(name, folder, _read_json(folder / CONFIG))

    def read(self, file: str) -> Mapping[str, Any]:
        """A JSON file of the checkpoint that tells how pictures are prepared; QkvError if it is missing or damaged."""
        if not (self.folder / file).is_file():
            raise QkvError(f"{self.name} has no {file}, which says how pictures are prepared for it")
        return _read_json(self.folder / file)

    def licence(self) -> str:
        """What the front matter of its README says, or where to look."""
        readme = self.folder / README
        text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
        front = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
        found = re.search(r"^license:[ \t]*[\"']?([\w.+-]+)", front, re.MULTILINE)
        return found[1] if found else f"see {self.name}"


def select(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """A dataclass of those fields that we read of a foreign configuration; whatever else it has is left alone.

    The defaults of `cls` are those of the other library, and null in `data` stands for them. QkvError names a field
    that is missing or of another type.
    """
    given = {name: data[name] for name in get_type_hints(cls) if data.get(name) is not None}
    return parse(cls, given, where)


def square(value: int | Sequence[int], what: str) -> int:
    """The side that a number, or two equal numbers, stand for; QkvError says `what` is no square."""
    if isinstance(value, int):
        return value
    if len(value) != 2:
        raise QkvError(f"{what} must be one number of pixels, or two, not {value!r}")
    if value[0] != value[1]:
        raise QkvError(f"{what} is {value[0]} x {value[1]}: a ViT of qkv is trained for squares only")
    return value[0]


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(regular(path).read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise QkvError(f"{path} cannot be read ({one_line(error)}); copy the checkpoint again") from None
    if not isinstance(data, dict):
        raise QkvError(f"{path} holds no mapping of fields to values; copy the checkpoint again")
    return data
