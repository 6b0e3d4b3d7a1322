"""Where a translator looks, on the words of both sentences."""

from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.tokenizer import BEGIN
from qkv.errors import QkvError
from qkv.explain.attention import AttentionRecord, record_attention
from qkv.explain.words import Token
from qkv.figures.text import printable
from qkv.reporter import Table
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.result import Translation
from qkv.systems.translator.saved import Model

_LINKS = 8
_FAINT = 0.05
"""A second link below this weight says nothing."""


def explain(
    translator: Translator, text: str, to: str, from_: str | None = None
) -> tuple[Translation, AttentionRecord]:
    """Translate a sentence and record where the model looks at each piece; `.words()` of the record is by words.

    Raises:
        QkvError: the text is empty, has several sentences or is longer than the model takes at once, or the model lacks
            the language or has no attention.
    """
    to, from_ = translator.languages(to, from_)
    translation = translator.translate(text, to, from_)
    if "empty" in translation.flags:
        raise QkvError("there is nothing to explain: the sentence is empty")
    if "split" in translation.flags:
        longest = f"one longer than the {translator.max_source_tokens} pieces that the model takes at once"
        raise QkvError(f"the text is translated in parts: it has several sentences, or {longest}; explain one sentence")
    return translation, record_translation(translator.model, translator.codec, text, translation.text, to)


def record_translation(model: Model, codec: Codec, text: str, translation: str, to: str) -> AttentionRecord:
    """The attention in one teacher-forced pass over a sentence and any translation of it, the model's own or another.

    Raises:
        QkvError: the model has no attention, does not translate into `to`, or has too few positions for a sentence.
    """
    source, target = codec.encode_source([text], to)[0], codec.encode_target([translation])[0]
    longest = max(len(source), len(target) + 1)
    if model.config.longest is not None and longest > model.config.longest:
        raise QkvError(f"the sentence has {longest} pieces, the model has {model.config.longest} positions")
    weights = record_attention(model, source, [BEGIN, *target])
    if not weights:
        raise QkvError("the model has no attention, so there is nothing to show: explain one that has")
    pieces = [Token(piece) for piece in codec.target.pieces(target)]
    begin, end = Token("<begin>", special=True), Token("<end>", special=True)
    tag = [Token(f"<2{to}>", special=True)] if codec.target_tags else []
    bare = source[len(tag) : -1]  # without tag and END
    return AttentionRecord(
        source=(*tag, *(Token(piece) for piece in codec.source.pieces(bare)), end),
        target_input=(begin, *pieces),
        target_output=(*pieces, end),
        weights=weights,
    )


def cross_attention(record: AttentionRecord, layer: int | None) -> Table:
    """The source words behind each word of the translation."""
    cross, rows = record.map("decoder", "cross", layer), []
    for row, token in enumerate(cross.queries):
        if token.is_word:
            links = [link for rank, link in enumerate(cross.top(row, 2)) if rank == 0 or link.weight >= _FAINT]
            looked = ", ".join(f"{link.key.text} {link.weight:.0%}" for link in links)
            rows.append((printable(token.text), printable(looked)))
    return Table(("translation", "looked at"), rows)


def strongest_links(record: AttentionRecord, layer: int | None, head: int) -> Table:
    """The strongest links in one head of the encoder."""
    links = record.map("encoder", "self", layer, head).strongest(_LINKS)
    rows = [(printable(link.query.text), printable(f"{link.key.text} {link.weight:.0%}")) for link in links]
    return Table(("word", "looked at"), rows)
