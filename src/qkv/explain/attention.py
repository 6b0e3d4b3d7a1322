"""Attention as data: the weights of every layer and head for one translation, by name, with the words they link."""

import itertools
from collections.abc import Mapping, Sequence
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

_DIGITS = 6


@dataclass(frozen=True)
class Link:
    """How much one word attends to another."""

    query: Token
    key: Token
    weight: float


@dataclass(frozen=True)
class AttentionMap:
    """One table of attention weights; every row sums to 1.

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
        links = [
            Link(self.queries[row], key, float(weight))
            for key, weight in zip(self.keys, self.weights[row], strict=True)
            if not key.special
        ]
        return sorted(links, key=lambda link: -link.weight)[:n]

    def strongest(self, n: int) -> list[Link]:
        """The n strongest links between words that differ; special tokens and punctuation left out."""
        links = (
            Link(query, key, weight)
            for query, row in zip(self.queries, self.weights.tolist(), strict=True)
            for key, weight in zip(self.keys, row, strict=True)
            if query.is_word and key.is_word and query != key
        )
        return sorted(links, key=lambda link: -link.weight)[:n]


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
        weights = weights.mean(dim=0) if layer is None else weights[_index(layer, len(weights), f"{stack} layer")]
        weights = weights.mean(dim=0) if head is None else weights[_index(head, len(weights), "attention head")]
        return AttentionMap(weights, *self.tokens(stack, kind))

    def stacked(self, stack: Stack, kind: Kind) -> Float[Tensor, "L H T S"]:
        """Such an attention in all layers.

        Raises:
            QkvError: there is none.
        """
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
        """What a word attends to most: `record.words().top("it")`.

        Args:
            word: the text of a row, its first occurrence; or the row's index.
            n: how many links.
            stack: see `map`.
            kind: see `map`.
            layer: see `map`.
            head: see `map`.

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

        def words(side: tuple[Token, ...]) -> tuple[Token, ...]:
            return tuple(merge(side, group) for group in group_words(side))

        return AttentionRecord(
            words(self.source),
            words(self.target_input),
            words(self.target_output),
            {name: merged(name, weights) for name, weights in self.weights.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers: the three token lists, and each attention's weights as `[H][T][S]`."""
        sides = {"source": self.source, "target_input": self.target_input, "target_output": self.target_output}
        attention = [
            {"stack": stack, "layer": layer, "kind": kind, "weights": _rounded(weights)}
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

    training = model.training
    model.eval()
    try:
        lengths = torch.tensor([len(source)])
        Engine(model).forward(torch.tensor([source]), lengths, torch.tensor([target]), recorder)
    finally:
        model.train(training)
    return weights


def informative_head(record: AttentionRecord, layer: int | None = None, head: int | None = None) -> tuple[int, int]:
    """Layer and head (from 1) of the encoder's self-attention that says most about how words relate.

    Most heads look at the word itself or its neighbours, or rest on the same few tokens whoever asks (Clark et al.
    2019, section 3). So a head's score is the mean, over the words of the sentence, of its strongest link to a word
    more than one step away, where a link counts by how much it exceeds what that word gets from the average row.

    Args:
        record: best with words, not pieces.
        layer: search this layer only.
        head: search this head of each layer only.

    Raises:
        QkvError: there is no such layer or head, or no self-attention in the encoder.
    """
    weights = record.stacked("encoder", "self")
    layers = range(weights.shape[0]) if layer is None else [_index(layer, weights.shape[0], "encoder layer")]
    heads = range(weights.shape[1]) if head is None else [_index(head, weights.shape[1], "attention head")]
    is_word = torch.tensor([token.is_word for token in record.source])
    step = torch.arange(len(is_word))
    apart = ((step[:, None] - step).abs() > 1) & is_word[:, None] & is_word
    counted = (weights - weights.mean(dim=-2, keepdim=True)) * apart
    scores = counted.amax(dim=-1).sum(dim=-1)
    best = max(itertools.product(layers, heads), key=lambda place: float(scores[place]))
    return best[0] + 1, best[1] + 1


def _index(number: int, count: int, what: str) -> int:
    """A number that counts from 1 as an index."""
    if not 1 <= number <= count:
        raise QkvError(f"there is no {what} {number}: choose from 1 to {count}")
    return number - 1


def _membership(groups: Sequence[range]) -> Float[Tensor, "W P"]:
    member = torch.zeros(len(groups), groups[-1].stop)
    for row, group in enumerate(groups):
        member[row, group.start : group.stop] = 1.0
    return member


def _rounded(weights: Tensor) -> list[Any]:
    return [[[round(value, _DIGITS) for value in row] for row in head] for head in weights.tolist()]
