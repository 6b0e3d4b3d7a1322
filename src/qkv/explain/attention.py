"""Attention as data: the weights of every layer and head for one translation, by name, with the words they link."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qkv.errors import QkvError
from qkv.explain.words import Token, group_words, merge
from qkv.runtime.engine import Engine

Stack = Literal["encoder", "decoder"]
Kind = Literal["self", "cross"]
Name = tuple[Stack, int, Kind]
"""Which attention: stack, layer (the first is 1), kind."""


@dataclass(frozen=True)
class Link:
    """How much one word attends to another."""

    query: Token
    key: Token
    weight: float


@dataclass(frozen=True)
class AttentionMap:
    """One table of attention weights: how much each of T queries attends to each of S keys; every row sums to 1.

    Attributes:
        weights: how much each of T queries attends to each of S keys.
        queries: what the rows stand for.
        keys: what the columns stand for.
    """

    weights: Float[Tensor, "T S"]
    queries: tuple[Token, ...]
    keys: tuple[Token, ...]

    def top(self, row: int, n: int) -> list[Link]:
        """The n strongest links of one row, special tokens left out: attention rests there when it has no use."""
        return _strongest((link for link in self._links(row) if not link.key.special), n)

    def strongest(self, n: int) -> list[Link]:
        """The n strongest links between words that differ; special tokens and punctuation left out."""
        links = (link for row in range(len(self.queries)) for link in self._links(row))
        told = (link for link in links if link.query.is_word and link.key.is_word and link.query != link.key)
        return _strongest(told, n)

    def _links(self, row: int) -> Iterator[Link]:
        for key, weight in zip(self.keys, self.weights[row].tolist(), strict=True):
            yield Link(self.queries[row], key, weight)


@dataclass(frozen=True)
class AttentionRecord:
    """Every attention weight of one sentence and its translation. Layers and heads count from 1, as in the paper.

    Attributes:
        source: what the encoder reads: language tag if the model has tags, tokens, end.
        target_input: what the decoder reads: begin, tokens.
        target_output: what the decoder writes at the same positions: tokens, end. The rows of decoder attention are
            named after these: a row is where the model looked while it chose that token.
        weights: [H, T, S] for each attention.
    """

    source: tuple[Token, ...]
    target_input: tuple[Token, ...]
    target_output: tuple[Token, ...]
    weights: Mapping[Name, Float[Tensor, "H T S"]]

    def tokens(self, stack: Stack, kind: Kind) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        """What rows and columns of such an attention stand for."""
        if stack == "encoder":
            return self.source, self.source
        return self.target_output, self.target_input if kind == "self" else self.source

    def has(self, stack: Stack, kind: Kind) -> bool:
        """Whether the model has such an attention; a recurrent one may have cross-attention alone."""
        return any((s, k) == (stack, kind) for s, _, k in self.weights)

    def map(self, stack: Stack, kind: Kind, layer: int | None = None, head: int | None = None) -> AttentionMap:
        """One attention as a table.

        Args:
            stack: "encoder" or "decoder".
            kind: "self", or "cross" (decoder only).
            layer: from 1; None is the mean over all layers.
            head: from 1; None is the mean over all heads.

        Raises:
            QkvError: there is no such attention, layer or head.
        """
        weights = self.stacked(stack, kind)
        weights = weights.mean(dim=0) if layer is None else weights[index_of(layer, len(weights), f"{stack} layer")]
        weights = weights.mean(dim=0) if head is None else weights[index_of(head, len(weights), "attention head")]
        return AttentionMap(weights, *self.tokens(stack, kind))

    def stacked(self, stack: Stack, kind: Kind) -> Float[Tensor, "L H T S"]:
        """Such an attention in all layers; QkvError if there is none."""
        if not self.has(stack, kind):
            raise QkvError(f"there is no {kind}-attention in the {stack}")
        return torch.stack([weights for (s, _, k), weights in self.weights.items() if (s, k) == (stack, kind)])

    def top(
        self,
        word: str | int,
        n: int = 3,
        *,
        stack: Stack = "encoder",
        kind: Kind = "self",
        layer: int | None = None,
        head: int | None = None,
    ) -> list[Link]:
        """The n links of a word that are strongest: `record.words().top("it", layer=2)`.

        `word` is the text of a row, its first occurrence, or the row's index; the rest is as for `map`.

        Raises:
            QkvError: there is no such word, attention, layer or head.
        """
        table = self.map(stack, kind, layer, head)
        texts = [token.text for token in table.queries]
        if isinstance(word, int):
            if not 0 <= word < len(texts):
                raise QkvError(f"there is no word {word}: the sentence has words 0 to {len(texts) - 1}")
            return table.top(word, n)
        if word not in texts:
            raise QkvError(f"there is no word {word!r} here: choose from {', '.join(dict.fromkeys(texts))}")
        return table.top(texts.index(word), n)

    def words(self) -> "AttentionRecord":
        """The same record with sub-word pieces merged into words.

        What goes to a word is the sum over its pieces, and what comes from it the mean, so rows still sum to 1.
        """

        def merged(name: Name, weights: Tensor) -> Tensor:
            rows, columns = (_membership(group_words(side)) for side in self.tokens(name[0], name[2]))
            return rows / rows.sum(dim=1, keepdim=True) @ weights @ columns.T

        sides = (self.source, self.target_input, self.target_output)
        words = (tuple(merge(side, group) for group in group_words(side)) for side in sides)
        return AttentionRecord(*words, weights={name: merged(name, weights) for name, weights in self.weights.items()})

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers: the three token lists, and each attention's weights as `[H][T][S]`."""
        sides = {"source": self.source, "target_input": self.target_input, "target_output": self.target_output}
        attention = [
            {"stack": stack, "layer": layer, "kind": kind, "weights": rounded(weights.tolist())}
            for (stack, layer, kind), weights in self.weights.items()
        ]
        return {name: [token.text for token in side] for name, side in sides.items()} | {"attention": attention}


def record_attention(
    model: nn.Module, source: Sequence[int], target: Sequence[int]
) -> dict[Name, Float[Tensor, "H T S"]]:
    """Weights of every attention in one teacher-forced pass, on the CPU as float32.

    Args:
        model: of `models/`, that translates; it is run without dropout, whatever mode it is in.
        source: token ids that the encoder reads.
        target: token ids that the decoder reads, from the begin token on.
    """
    weights: dict[Name, Tensor] = {}

    def recorder(stack: Stack, layer: int, kind: Kind, recorded: Tensor) -> None:
        weights[stack, layer + 1, kind] = recorded[0].float().cpu()

    with without_dropout(model):
        lengths = torch.tensor([len(source)])
        Engine(model).forward(torch.tensor([source]), lengths, torch.tensor([target]), recorder)
    return weights


def informative_head(record: AttentionRecord, layer: int | None = None, head: int | None = None) -> tuple[int, int]:
    """Layer and head (from 1) of the encoder's self-attention that says most about how words relate.

    Most heads look at the word itself or its neighbours, or rest on the same few tokens whoever asks (Clark et al.
    2019, section 3). So a head's score is the mean, over the words of the sentence, of its strongest link to a word
    more than one step away, where a link counts by how much it exceeds what that word gets from the average row. The
    record should hold words, not pieces; with `layer` or `head` only that layer, or that head of each, is searched.

    Raises:
        QkvError: there is no such layer or head, or no self-attention in the encoder.
    """
    weights = record.stacked("encoder", "self")
    layers = range(weights.shape[0]) if layer is None else [index_of(layer, weights.shape[0], "encoder layer")]
    heads = range(weights.shape[1]) if head is None else [index_of(head, weights.shape[1], "attention head")]
    is_word = torch.tensor([token.is_word for token in record.source])
    step = torch.arange(len(is_word))
    apart = ((step[:, None] - step).abs() > 1) & is_word[:, None] & is_word
    counted = (weights - weights.mean(dim=-2, keepdim=True)) * apart
    scores = counted.amax(dim=-1).sum(dim=-1)
    best = max(itertools.product(layers, heads), key=lambda place: float(scores[place]))
    return best[0] + 1, best[1] + 1


def index_of(number: int, count: int, what: str) -> int:
    """A number that counts from 1 as an index; QkvError if `what` it counts has none like it."""
    if not 1 <= number <= count:
        raise QkvError(f"there is no {what} {number}: choose from 1 to {count}")
    return number - 1


def _membership(groups: Sequence[range]) -> Float[Tensor, "W P"]:
    member = torch.zeros(len(groups), groups[-1].stop)
    for row, group in enumerate(groups):
        member[row, group.start : group.stop] = 1.0
    return member


def rounded(value: Any) -> Any:
    """A number, or lists of numbers, with six digits, as it goes into a file."""
    return [rounded(item) for item in value] if isinstance(value, list) else round(value, 6)


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Run a block with a model in evaluation mode, whatever mode it is in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _strongest(links: Iterable[Link], n: int) -> list[Link]:
    return sorted(links, key=lambda link: -link.weight)[:n]
