"""`qkv translate`: arguments, standard input or files; one line in, one line out."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.systems.translator.lines import Work
    from qkv.systems.translator.pipeline import Translator

DEFAULT_MODEL = "multi30k"


def translate(
    to: Annotated[str, typer.Option(help="Language to translate into.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [TEXT]...",
            help="The first word is the model if it is a bundled model's name (or nearly), a folder of a model or run, "
            f"or has a '/' but no space in it; otherwise the model is {DEFAULT_MODEL}. All others are texts. Without a "
            "text, standard input is read.",
        ),
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Language of the text; checked if given.")] = None,
    input_: Annotated[Path | None, typer.Option("--input", help="UTF-8 text file; .gz is unpacked.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; appears when it is whole. Give the command again to go on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: text, score, flags, n_best.")] = False,
    beam_size: Annotated[int | None, typer.Option(help="Hypotheses that go on, 5 unless given; 1 is greedy.")] = None,
    n_best: Annotated[int, typer.Option(help="Alternatives to give; needs --json.")] = 1,
    length_penalty: Annotated[
        float | None, typer.Option(help="Exponent of the length in scores, 1 unless given.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Sample; below 1 is bolder.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k most probable tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample from the tokens that hold this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Sample; another seed, another translation.")] = None,
    min_length: Annotated[int, typer.Option(help="Least tokens of a sentence's translation.")] = 0,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of a sentence's translation.")] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="Let no n tokens in a row occur twice.")] = None,
    prefix: Annotated[str, typer.Option(help="The translation begins with this text.")] = "",
) -> None:
    """Translate texts, a file, or standard input: one line in, one line out."""
    options: dict[str, Any] = {
        "beam_size": beam_size,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "min_length": min_length,
        "max_length": max_length,
        "no_repeat_ngram": no_repeat_ngram,
        "prefix": prefix,
    }
    model, texts = model_and_texts(words or [])
    if texts and input_ is not None:
        raise QkvError("give texts or --input, not both")
    if n_best > 1 and not as_json:
        raise QkvError("--n-best gives several translations of a line: add --json, which puts them on one line")
    if output is not None and (output.is_dir() or output.suffix == ".gz"):
        raise QkvError(f"--output {output}: must be a plain text file, not {'a folder' if output.is_dir() else '.gz'}")
    translator = _load(model, bool(words) and words[0] == model, to, from_, options)
    _run(translator, model, texts, input_, output, as_json, {"to": to, "from_": from_, **options})


def model_and_texts(words: Sequence[str]) -> tuple[str, list[str]]:
    """Tell the model's name from the texts behind it, by the rule that `--help` states."""
    from qkv.cli.naming import names_model

    return (words[0], list(words[1:])) if words and names_model(words[0]) else (DEFAULT_MODEL, list(words))


def _load(model: str, named: bool, to: str, from_: str | None, options: dict[str, Any]) -> "Translator":
    from qkv.cli.naming import check_system
    from qkv.model_directory import local_model
    from qkv.systems.loading import load
    from qkv.systems.translator.decoding import Decoding

    Decoding(**options)  # refuses contradictions before a model is loaded or input awaited
    try:
        check_system(model, "translator", "translate")
        translator = load(model)
    except QkvError as error:
        if named and local_model(model) is None:
            raise QkvError(f"{error} (to translate {model!r} as a text, name a model before it)") from None
        raise
    translator.check_languages(to, from_)
    return translator


def _run(
    translator: "Translator",
    model: str,
    texts: list[str],
    input_: Path | None,
    output: Path | None,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    from qkv.files import atomic_file
    from qkv.systems.translator.file_job import translate_file
    from qkv.systems.translator.lines import check_lines, file_blocks, formatter, stream_blocks

    work: Work = formatter(translator, as_json, options)
    if input_ is not None and output is not None:
        translate_file(work, input_, output, key={"model": model, "json": as_json, **options})
        return
    if texts:
        blocks: Iterable[list[str]] = [texts]
    elif input_ is not None:
        check_lines(input_)
        blocks = file_blocks(input_)
    else:
        if sys.stdin.isatty():
            print("reading lines from the terminal; Ctrl-D ends", file=sys.stderr)
        blocks = stream_blocks(sys.stdin.buffer)
    if output is None:
        for block in blocks:
            sys.stdout.buffer.write(work(block, None))
            sys.stdout.buffer.flush()
    else:
        with atomic_file(output) as temporary, temporary.open("wb") as file:
            file.writelines(work(block, None) for block in blocks)
