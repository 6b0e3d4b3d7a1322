"""What the command line does with a translator. What `qkv translate` has no use for is imported where it is needed."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import qkv
from qkv.data.lines import read_lines
from qkv.data.text.tokenizer import without_surrogates
from qkv.errors import QkvError
from qkv.files import atomic_file
from qkv.model_directory import local_model
from qkv.reporter import Table
from qkv.systems.options import (
    AsJson,
    BatchSize,
    Device,
    Force,
    Model,
    Quiet,
    Threads,
    Weights,
    complete_model,
    load,
    refuse_files,
)
from qkv.systems.registry import check_system, names_model
from qkv.systems.translator import SYSTEM
from qkv.systems.translator.decoding import Decoding
from qkv.systems.translator.file_job import partials, translate_file
from qkv.systems.translator.lines import Work, check_lines, file_blocks, formatter, stream_blocks
from qkv.systems.translator.pipeline import Translator
from qkv.terminal.output import (
    STANDARD_INPUT,
    STANDARD_OUTPUT,
    Target,
    check_files,
    is_read,
    name_written,
    print_json,
    print_table,
    write_json,
)
from qkv.terminal.reporter import TerminalReporter
from qkv.terminal.text import show

if TYPE_CHECKING:
    from qkv.systems.translator.report import TranslatorReport

DEFAULT_MODEL = "multi30k"

BeamSize = Annotated[int | None, typer.Option(help="Hypotheses that go on, 5 unless given; 1 is greedy.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL] [TEXT]...",
        autocompletion=complete_model,
        help="The first word is the model if it is a bundled model's name (or nearly), a folder of a model or run, "
        f"or has a '/' but no space in it; otherwise the model is {DEFAULT_MODEL}. All others are texts. Without a "
        "text, standard input is read.",
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="File to write; appears when it is whole. Give the command again to go on.")
]
To = Annotated[str, typer.Option(help="Language to translate into.")]


def translate(
    to: To,
    words: Words = None,
    from_: Annotated[str | None, typer.Option("--from", help="Language of the text; checked if given.")] = None,
    input_: Annotated[Path | None, typer.Option("--input", help="UTF-8 text file; .gz is unpacked.")] = None,
    out: Out = None,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: text, score, flags, n_best.")] = False,
    beam_size: BeamSize = None,
    n_best: Annotated[int, typer.Option(help="Alternatives to give; needs --json.")] = 1,
    length_penalty: Annotated[float | None, typer.Option(help="Exponent of length in scores, 1 unless given.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sample; below 1 is bolder.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k most probable tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample from the tokens that hold this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Sample; another seed, another translation.")] = None,
    min_length: Annotated[int, typer.Option(help="Least tokens of a sentence's translation.")] = 0,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of a sentence's translation.")] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="Let no n tokens in a row occur twice.")] = None,
    prefix: Annotated[str, typer.Option(help="The translation begins with this text.")] = "",
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Translate texts, a file, or standard input: one line in, one line out."""
    decoding = Decoding(  # refuses contradictions before a model is loaded or input awaited
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=length_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        min_length=min_length,
        max_length=max_length,
        no_repeat_ngram=no_repeat_ngram,
        prefix=prefix,
    )
    refuse_files(words or [], "did you mean --input {}?")
    model, texts = model_and_texts(words or [])
    _check_places(model, texts, input_, out, force)
    if n_best > 1 and not as_json:
        raise QkvError("--n-best gives several translations of a line: add --json, which puts them on one line")
    with _told(model, named=bool(words) and words[0] == model):
        check_system(model, SYSTEM, "translate")
        translator = load(Translator, model, device, threads, batch_size)
    to, from_ = translator.languages(to, from_)
    options = {"to": to, "from_": from_, **vars(decoding)}
    work = formatter(translator, as_json, options)
    if input_ is not None and out is not None:
        with TerminalReporter(silent=quiet) as reporter:
            translate_file(work, input_, out, {"model": model, "json": as_json, **options}, reporter, force)
    else:
        _write(work, _blocks(texts, input_, quiet), out)


def model_and_texts(words: Sequence[str]) -> tuple[str, list[str]]:
    """Tell the model's name from the texts behind it, by the rule that `--help` states."""
    return (words[0], list(words[1:])) if words and names_model(words[0]) else (DEFAULT_MODEL, list(words))


def _check_places(model: str, texts: Sequence[str], input_: Path | None, out: Path | None, force: bool) -> None:
    if texts and input_ is not None:
        raise QkvError("give texts or --input, not both")
    if out is not None and (out.is_dir() or out.suffix == ".gz"):
        raise QkvError(f"--out {out}: must be a plain text file, not {'a folder' if out.is_dir() else '.gz'}")
    source = None if texts else input_ or STANDARD_INPUT
    going_on = out is not None and input_ is not None and any(partials(out))  # `translate_file` looks closer
    check_files(Target("--out", out), reads=[source, local_model(model)], force=force or going_on)
    if out is None and input_ is not None and input_.is_file() and is_read(STANDARD_OUTPUT, input_):
        raise QkvError(f"--input {input_} is where the shell puts what is written, too: name another file behind >")


@contextmanager
def _told(model: str, named: bool) -> Iterator[None]:
    """Have the error of a model that is not there say that its name may have been meant as a text."""
    try:
        yield
    except QkvError as error:
        if named and local_model(model) is None:
            raise QkvError(f"{error} (to translate {model!r} as a text, name a model before it)") from None
        raise


def _blocks(texts: list[str], input_: Path | None, quiet: bool) -> Iterable[list[str]]:
    """The lines to translate, as many at a time as there are or have come."""
    if texts:
        return [texts]
    if input_ is not None:
        check_lines(input_)
        return file_blocks(input_)
    if sys.stdin.isatty() and not quiet:
        show("reading lines from the terminal; Ctrl-D ends", to_stderr=True)
    return stream_blocks(sys.stdin.buffer)


def _write(work: Work, blocks: Iterable[list[str]], out: Path | None) -> None:
    if out is None:
        for block in blocks:
            sys.stdout.buffer.write(work(block, None))
            sys.stdout.buffer.flush()
    else:
        with atomic_file(out) as temporary, temporary.open("wb") as file:
            file.writelines(work(block, None) for block in blocks)


def evaluate(
    model: Model,
    src: Annotated[Path | None, typer.Option(help="Text, a sentence a line; .gz is unpacked.")] = None,
    ref: Annotated[Path | None, typer.Option(help="Its translation by a person, line by line.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Language of --src.")] = None,
    to: Annotated[str | None, typer.Option(help="Language of --ref.")] = None,
    beam_size: BeamSize = None,
    as_json: AsJson = False,
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Measure a translator on a test set: BLEU, chrF and TER, with signatures and 95 % confidence intervals."""
    import sacrebleu
    import torch

    from qkv.systems.translator.report import report

    if src is None or ref is None or from_ is None or to is None:
        given = {"--src": src, "--ref": ref, "--from": from_, "--to": to}
        missing = " and ".join(name for name, value in given.items() if value is None)
        raise QkvError(f"{model} is {SYSTEM.called}: to measure it, {missing} must be given too")
    Decoding(beam_size=beam_size)  # refuses what is no beam before a model is loaded
    sources, references = list(read_lines(src, streams=True)), list(read_lines(ref, streams=True))
    if len(sources) != len(references):
        raise QkvError(f"{src} has {len(sources):,} lines, {ref} has {len(references):,}: line n must belong to line n")
    translator = load(Translator, model, device, threads, batch_size)
    to, known = translator.languages(to, from_)
    from_ = known or from_
    with TerminalReporter(silent=quiet) as reporter:
        progress = partial(reporter.progress, f"tokens of {src.name}")
        found = report(translator, sources, references, (from_, to), beam_size, progress)
    if as_json:
        versions = {"qkv": qkv.__version__, "sacrebleu": sacrebleu.__version__, "torch": torch.__version__}
        print_json({"model": model, "from": from_, "to": to, **found.to_json(), "versions": versions})
    else:
        _print_report(f"{model} {from_}-{to}, {found.lines:,} lines, beam {found.beam_size}", found)


def _print_report(title: str, found: "TranslatorReport") -> None:
    show(title)
    rows = [(one.name, f"{one.score:.2f}", f"{one.mean:.2f} ± {one.interval:.2f}") for one in found.metrics]
    print_table(Table(("metric", "score", "95 % interval"), rows))
    for metric in found.metrics:
        show(f"{metric.name}|{metric.signature}")
    for note in found.notes:
        show(f"note: {note}")
    if found.flags:
        show("flags: " + ", ".join(f"{name} {count:,}" for name, count in Counter(found.flags).most_common()))


def explain(
    model: Model,
    sentence: Annotated[str, typer.Argument(help="What to translate.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture.")] = Path("attention.png"),
    to: Annotated[str | None, typer.Option(help="Language to translate into.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Language of the sentence.")] = None,
    layer: Annotated[int | None, typer.Option(help="Show this layer, from 1. [default: what says most]")] = None,
    head: Annotated[int | None, typer.Option(help="Show this encoder head, from 1. [default: the clearest]")] = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="Keep sub-word pieces apart, not merged to words.")] = False,
    weights: Weights = None,
    force: Force = False,
    device: Device = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Draw where a translator looks while it translates a sentence."""
    from qkv.explain.picture import draw_translation
    from qkv.systems.translator import explain as explaining

    if to is None:
        raise QkvError(f"{model} is {SYSTEM.called}: say which language to translate into with --to")
    refuse_files([sentence], "give a sentence of it")
    check_files(Target("--out", out, ".png"), Target("--json", weights), reads=[local_model(model)], force=force)
    sentence = without_surrogates(sentence)
    translator = load(Translator, model, device, threads)
    to, from_ = translator.languages(to, from_)
    translation, record = explaining.explain(translator, sentence, to, from_)
    record = record if pieces else record.words()
    drawing = draw_translation(record, out, layer=layer, head=head, heading=(sentence, translation.text))
    if weights is not None:
        write_json(weights, {"text": sentence, "translation": translation.text, "to": to, **record.to_json()})
    show(translation.text)
    show(f"\nCross-attention, mean of all {'layers and heads' if layer is None else f'heads of layer {layer}'}")
    print_table(explaining.cross_attention(record, layer))
    if drawing.head is not None:
        show(f"\nEncoder self-attention, layer {drawing.layer}, head {drawing.head}: the strongest links")
        print_table(explaining.strongest_links(record, drawing.layer, drawing.head))
    if drawing.missing or not quiet:
        show()
    if drawing.missing:
        show(f"no installed font has {' '.join(sorted(drawing.missing))}: the picture shows boxes for them")
    if not quiet:
        name_written({"the picture": out, "the weights": weights})
