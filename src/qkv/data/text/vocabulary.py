"""Vocabularies, learnt once and kept: the weights of a model belong to one."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from qkv.data.cache import digest
from qkv.data.text.tokenizer import TokenizerConfig, seconds_to_learn
from qkv.files import atomic_folder, refuse_damage
from qkv.reporter import Reporter, duration

_LONG, _TRIED = 100_000, 20  # lines that take a while, of which one in so many are tried first

_log = logging.getLogger(__name__)


def keep_vocabulary(
    cache: Path,
    name: str,
    config: TokenizerConfig,
    origin: Sequence[object],
    state: str,
    text: str,
    learn: Callable[[], Mapping[str, bytes]],
) -> Path:
    """The folder of a vocabulary, made unless it is there. It stays when the text changes, which a warning tells.

    It is known by `name`, `config` and `origin`, where its text comes from; `state` is that of the text. `text` begins
    the warning, such as "the captions have". `learn` gives its files by name.
    """
    learning = {key: value for key, value in asdict(config).items() if key not in ("sampling", "sample_target")}
    folder = cache / f"{name}-{digest(learning, *origin)}"
    record = folder / "learnt_from"
    if not folder.exists():
        files = learn()
        with atomic_folder(folder, sealed=True) as temporary:
            for file, content in {**files, record.name: state.encode()}.items():
                (temporary / file).write_bytes(content)
    else:
        refuse_damage(folder)
    if record.exists() and record.read_text(encoding="utf-8") != state:
        _log.warning("%s changed since the vocabulary was learnt; the vocabulary is kept", text)
    return folder


def tell_of_learning(lines: Iterable[str], size: int, config: TokenizerConfig, reporter: Reporter) -> None:
    """Tell that a vocabulary is learnt, of so many lines, and how long that takes where it takes a while."""
    what = "learning the vocabulary"
    reporter.progress(what, 0)
    if size >= _LONG and (tried := seconds_to_learn(islice(lines, size // _TRIED), config)) is not None:
        reporter.progress(what, 0, status=f"takes about {duration(_TRIED * tried)}")
