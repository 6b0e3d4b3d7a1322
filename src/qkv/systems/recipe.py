"""A recipe: one YAML file that says everything about a training run."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from qkv.config import assign, parse, read_yaml
from qkv.errors import QkvError, shown
from qkv.files import atomic_file, is_utf8
from qkv.systems.registry import find_system
from qkv.systems.system import System
from qkv.train.config import TrainingConfig

_SEEDS = 2**32  # a step's randomness is made of the seed and, in the other half of 64 bits, the step


@dataclass(frozen=True)
class Recipe:
    """What to train and how.

    Attributes:
        system: whose task and model.
        seed: of new weights, data order, dropout and subword sampling.
        initial: a bundled model's name, a model folder or a run to start from; None starts from new weights.
        task: the task's own configuration: data, tokenizer, model, loss.
        training: the loop's configuration.
    """

    system: System
    seed: int
    initial: str | None
    task: Any
    training: TrainingConfig

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], where: str, assignments: Iterable[str] = ()) -> "Recipe":
        """Check and complete a recipe: `system`, `seed`, `initial`, `training`, and fields of the task's configuration.

        Each assignment, `section.field=value`, replaces or adds one field. `where` is the origin of `data`, for errors.
        """
        data = assign(data, assignments)
        system = find_system(data.pop("system", None), where)
        seed = data.pop("seed", 1)
        if type(seed) is not int or not 0 <= seed < _SEEDS:  # True is an int, too
            raise QkvError(f"{where}: seed must be a whole number from 0 to {_SEEDS - 1}, not {shown(seed)}")
        initial = data.pop("initial", None)
        if not isinstance(initial, str | None):
            raise QkvError(f"{where}: initial must name a model or a folder, not {shown(initial)}")
        training = parse(TrainingConfig, data.pop("training", {}), f"{where}: training")
        task = parse(system.part("task").TASK.Config, data, where)
        _refuse_bytes([initial, asdict(task)], where)
        return cls(system, seed, initial, task, training)

    @classmethod
    def suggested(cls, data: Mapping[str, Any], assignments: Iterable[str]) -> "Recipe":
        """A recipe that the user did not write; see `from_mapping`."""
        return cls.from_mapping(data, "the suggestion", assignments)

    @classmethod
    def read(cls, path: Path, assignments: Iterable[str] = ()) -> "Recipe":
        """Read a recipe file; see `from_mapping`. Relative data paths count from the current folder."""
        return cls.from_mapping(read_yaml(path), str(path), assignments)

    def write(self, path: Path) -> None:
        """Write the complete recipe, every default spelled out."""
        about = {"system": self.system.name, "seed": self.seed, "initial": self.initial}
        data = {**about, **asdict(self.task), "training": asdict(self.training)}
        with atomic_file(path) as temporary:
            temporary.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _refuse_bytes(value: object, where: str) -> None:
    """Refuse names, as of files and columns, that are no UTF-8: recipes and model cards could not hold them."""
    if isinstance(value, str) and not is_utf8(value):
        raise QkvError(f"{where}: {value} is not UTF-8, which a name in a recipe must be: rename it")
    if isinstance(value, Mapping | list):
        for part in [*value, *(value.values() if isinstance(value, Mapping) else ())]:
            _refuse_bytes(part, where)
