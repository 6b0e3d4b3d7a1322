"""Sensible sizes for an amount of text, for training without a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

from qkv import languages
from qkv.config import parse
from qkv.data.lines import read_lines
from qkv.data.parallel.config import CorpusConfig, directions_of
from qkv.data.parallel.readers import is_language, measure, read_languages, read_rows
from qkv.data.text.tokenizer import needed_vocabulary
from qkv.errors import QkvError
from qkv.models.recurrent import RecurrentKind
from qkv.reporter import Reporter
from qkv.systems import suggestion
from qkv.systems.system import Asked, Suggested
from qkv.systems.translator.saved import Saved
from qkv.train.config import TrainingConfig

STEP_TOKENS = 4096
_CHARACTERS_PER_TOKEN = 4
_LOOKED_AT = 200_000  # rows, for their characters
_TABLES = (".tsv", ".tab", ".txt", ".jsonl")


@dataclass(frozen=True)
class _Size:
    """What suits texts of up to `pairs` sentence pairs: less text, fewer weights, more dropout, more epochs."""

    pairs: float
    vocabulary: int
    d_model: int
    d_ff: int
    n_layers: int
    dropout: float
    epochs: int


_SIZES = (
    _Size(pairs=15_000, vocabulary=3_000, d_model=128, d_ff=256, n_layers=3, dropout=0.3, epochs=60),
    _Size(pairs=150_000, vocabulary=8_000, d_model=192, d_ff=768, n_layers=4, dropout=0.2, epochs=40),
    _Size(pairs=1_500_000, vocabulary=16_000, d_model=256, d_ff=1024, n_layers=6, dropout=0.1, epochs=20),
    _Size(pairs=float("inf"), vocabulary=32_000, d_model=512, d_ff=2048, n_layers=6, dropout=0.1, epochs=10),
)


def recognise(data: Sequence[Path], options: Mapping[str, str]) -> str | None:
    """What is there, if it is a translator's: text, and languages that it or the options name; in a few words."""
    if options.keys() - {"from", "to"} or not data or not all(map(_is_text, data)):
        return None
    named = {"from", "to"} <= options.keys()
    if len(data) > 1:
        return "line-aligned text files" if named else None
    if not named and (known := _named_languages(data[0])):
        return f"a table of sentences in {', '.join(known)}"
    is_table = Path(data[0].name.removesuffix(".gz")).suffix.lower() in _TABLES
    return "a table of sentence pairs" if named and is_table else None


def suggest(asked: Asked, reporter: Reporter) -> Suggested:
    """The recipe that suits parallel text; refuses text that cannot be read, or whose languages are not named."""
    named = asked.options.get("from", ""), asked.options.get("to", "")
    corpora = suggestion.corpora_of(CorpusConfig, asked) or [_corpus(asked.data, *named)]
    pairs, characters = map(sum, zip(*map(measure, corpora)))
    rows = chain.from_iterable(read_rows(corpus, read_languages(corpus)) for corpus in corpora)
    sections = sizes(
        pairs,
        characters,
        suggestion.assigned(asked, "model.kind"),
        on_accelerator=asked.on_accelerator,
        initial=asked.initial,
        needed=needed_vocabulary(chain.from_iterable(islice(rows, _LOOKED_AT))),
        steps=suggestion.steps_asked_for(asked),
    )
    train = [{name: value for name, value in asdict(corpus).items() if value is not None} for corpus in corpora]
    sections = {**sections, "data": {"train": train, **sections["data"]}}
    why = partial(reason, pairs, characters)
    return Suggested(sections=sections, reason=why, name=suggestion.name_of(asked.data[0]))


def reason(pairs: int, characters: int, config: Any, training: TrainingConfig) -> str:
    """What is trained on so many pairs, in one line, whoever chose it."""
    model, tokens = config.model, config.data.batch_tokens * training.accumulate
    read = training.max_steps * tokens * _CHARACTERS_PER_TOKEN
    return (
        f"{pairs:,} pairs: {model.n_layers}+{model.n_layers} layers of width {model.d_model}, a vocabulary of up to "
        f"{config.tokenizer.vocabulary:,}, dropout {model.dropout}, up to {training.max_steps:,} steps of {tokens:,} "
        f"tokens (about {suggestion.epochs(read / max(characters, 1))})"
    )


def sizes(
    pairs: int,
    characters: int,
    kind: str | None = None,
    *,
    on_accelerator: bool = False,
    initial: Saved | None = None,
    needed: int = 0,
    steps: int | None = None,
) -> dict[str, Any]:
    """Sections of a recipe, without the corpus; for so many `steps` if they are given.

    The vocabulary has no fewer pieces than are `needed`. `characters` counts the longer side of the corpus. A CPU takes
    the tokens of a step in smaller batches, which suit its caches and which several processes can share. The sizes of
    an `initial` translator are kept, and its kind unless another is given; it needs fewer epochs and smaller steps than
    new weights.
    """
    size = next(size for size in _SIZES if pairs <= size.pairs)
    epochs = size.epochs if initial is None else size.epochs // 4
    steps_per_epoch = max(characters / _CHARACTERS_PER_TOKEN / STEP_TOKENS, 1)
    steps = steps or int(min(max(steps_per_epoch * epochs, 600), 200_000))
    parts = 1 if on_accelerator else 4
    model, peak = _new_model(size, kind), 2e-3 if size.d_model <= 256 else 7e-4
    vocabulary = suggestion.vocabulary(size.vocabulary, needed)
    if initial is not None:
        vocabulary, peak = initial.vocabulary, 5e-4
        if kind in (None, initial.model.kind):  # another kind's fields would be unknown; training refuses the kind
            model = asdict(initial.model)
    return {
        "tokenizer": {"vocabulary": vocabulary, "sampling": 0.1},
        "data": {"batch_tokens": STEP_TOKENS // parts},
        "model": {**model, "dropout": size.dropout},
        "training": {
            "max_steps": steps,
            "accumulate": parts,
            "warmup": min(steps // 8, 4000),
            "learning_rate": peak,
            "schedule": "cosine",
            "validate_every": max(steps // 20, 50),
            "patience": 6,
        },
    }


def _new_model(size: _Size, kind: str | None) -> dict[str, Any]:
    if kind in get_args(RecurrentKind):
        return {"kind": kind, "d_model": size.d_model, "n_layers": 2}
    return {"d_model": size.d_model, "d_ff": size.d_ff, "n_layers": size.n_layers, "n_heads": 4}


def _corpus(data: Sequence[Path], from_: str, to: str) -> CorpusConfig:
    """What the files hold, in the languages that the user or else a table itself names."""
    files = [str(path) for path in data]
    if len(files) > 2:
        raise QkvError(f"give one table or two line-aligned files, not {len(files)}; a recipe may name more")
    known = _named_languages(data[0]) if len(files) == 1 else ()
    from_, to = (_code(name, known) for name in (from_, to))
    if from_ and from_ == to:
        raise QkvError(f"--from and --to are both {from_}: a translator needs two languages, such as --from en --to ko")
    if not (from_ and to) and not (known and from_ == to == ""):
        raise QkvError(f"{files[0]} needs --from and --to, such as --from en --to ko")
    fields: dict[str, Any] = {"directions": [f"{from_}-{to}"]} if from_ else {}
    if len(files) == 2:
        fields["files"] = {from_: files[0], to: files[1]}
    else:
        fields["table"] = files[0]
        # The first line of a table is a header where it has a language that the user names, and otherwise a pair.
        is_header = not CorpusConfig(table=files[0]).is_jsonl and {from_, to} & set(known)
        if from_ and not is_header:
            fields["columns"] = [from_, to]
    corpus = parse(CorpusConfig, fields, " and ".join(files))
    directions_of(corpus, read_languages(corpus))  # refuses a language that the table has not
    return corpus


def _code(name: str, known: Sequence[str]) -> str:
    """What the data calls a language, or is to: the user may call it by its name."""
    try:
        return languages.find(name, known)
    except QkvError:
        return languages.code(name)


def _named_languages(path: Path) -> tuple[str, ...]:
    """Those that a table names itself, in a header or as keys of JSON; none where it does not."""
    try:
        languages = read_languages(CorpusConfig(table=str(path)))
    except QkvError:
        return ()
    return languages if all(map(is_language, languages)) else ()


def _is_text(path: Path) -> bool:
    try:
        next(read_lines(path), "")
    except QkvError:
        return False
    return True
