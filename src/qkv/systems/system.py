"""What the rest of the house knows of a system: its names, its verbs, where its parts are. Imports nothing heavy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FUNCTIONS = {"eval": "evaluate"}
"""Verbs whose functions have another name, since Python has taken theirs."""


@dataclass(frozen=True)
class Verb:
    """What a system does for a word of the command line; the function of that name in its `verbs` does it."""

    help: str  # one line
    needs_model: bool = True  # whether the first word behind the verb must be a model


@dataclass(frozen=True)
class TrainingOption:
    """An option of `qkv train` that only one system has."""

    flag: str  # such as "--codes"
    metavar: str  # what its value is called
    help: str  # one line
    tells_data: bool = False  # whether it says what the data is, which may not be known for the system's without it

    @property
    def name(self) -> str:
        """The flag without its dashes, by which `Asked.options` holds its value."""
        return self.flag.lstrip("-")


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """One system.

    Attributes:
        name: the user's word, in recipes, config.json and messages; its folder, where a dash is an underscore.
        alias: the name in its paper, which recipes and `--system` take too, as models of older versions have it.
        called: a model of it in a sentence, such as "a classifier".
        does: what it is for, in a few words.
        use: what to do with a model of it, for who asked for something else.
        trained_on: what `qkv train` takes for it without a recipe.
        verbs: by their words.
        options: of `qkv train`.
        imports: checkpoints of other libraries that `qkv import` makes such a model of.
    """

    name: str
    alias: str
    called: str
    does: str
    use: str
    trained_on: str
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    options: Sequence[TrainingOption] = ()
    imports: str = ""

    def part(self, file: str) -> ModuleType:
        """One of its files, such as "task" (`PARTS` of the registry says which there are)."""
        return import_module(f"qkv.systems.{self.name.replace('-', '_')}.{file}")

    def function(self, verb: str) -> Callable[..., Any]:
        """The function behind a verb."""
        return getattr(self.part("verbs"), FUNCTIONS.get(verb, verb))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `qkv train` is asked for without a recipe.

    Attributes:
        data: files and folders to train on.
        assignments: `section.field=value` of the recipe to come; some say more of the data.
        options: values of the system's own options, by name.
        on_accelerator: whether a GPU trains.
        initial: the `Saved` of the model to start from, of the same system; None for new weights.
        out: the run's folder, as far as the user has named it.
    """

    data: Sequence[Path]
    assignments: Sequence[str] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    on_accelerator: bool = False
    initial: Any = None
    out: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """A recipe for data."""

    sections: Mapping[str, Any]  # all of it but the system and the initial model
    reason: Callable[[Any, Any], str]  # why these sizes, in one line, of the task's configuration and the loop's
    name: str  # of the run, unless the user names it
    next_step: str = ""  # what comes when the run is done, with {run} for its folder; nothing if empty
