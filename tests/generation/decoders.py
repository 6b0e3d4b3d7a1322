"""Models of a few lines, so that a test knows the exact probability of every sequence."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

END = 0


class TreeState:
    """Remembers every token of every row by itself, and how many rows each step had."""

    def __init__(self, sentences: Sequence[int]) -> None:
        self.sentences = torch.tensor(sentences)
        self.past = torch.empty(len(self.sentences), 0, dtype=torch.long)
        self.rows: list[int] = []
        self.reorders = 0

    def reorder(self, rows: Tensor) -> None:
        self.sentences, self.past = self.sentences[rows], self.past[rows]
        self.reorders += 1


class Tree:
    """Logits are a random function of (seed, sentence, all tokens so far): any mistake in a row's past changes them."""

    def __init__(self, vocabulary: int, seed: int = 0, *, end_bias: float = 0.0, spread: float = 1.0) -> None:
        self.vocabulary, self.seed, self.end_bias, self.spread = vocabulary, seed, end_bias, spread
        self.known: dict[tuple[int, ...], Tensor] = {}

    def logits(self, sentence: int, past: Sequence[int]) -> Tensor:
        key = (self.seed, sentence, *past)
        if key not in self.known:
            generator = torch.Generator().manual_seed(hash(key) % 2**63)
            logits = torch.randn(self.vocabulary, generator=generator) * self.spread
            logits[END] += self.end_bias
            self.known[key] = logits
        return self.known[key]

    def decode(self, tokens: Tensor, state: TreeState) -> Tensor:
        state.past = torch.cat([state.past, tokens], dim=1)
        state.rows.append(len(tokens))
        rows = zip(state.sentences.tolist(), state.past.tolist(), strict=True)
        return torch.stack([self.logits(sentence, past) for sentence, past in rows])

    def log_probs(self, sentence: int, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        return self.logits(sentence, [*prompt, *tokens]).log_softmax(dim=-1).tolist()

    def complete(
        self, sentence: int, prompt: Sequence[int], max_length: int, alpha: float
    ) -> list[tuple[float, tuple[int, ...], float]]:
        """Every finished sequence with its score and log-probability, best first."""
        found = []

        def visit(tokens: tuple[int, ...], log_probability: float) -> None:
            for token, value in enumerate(self.log_probs(sentence, prompt, tokens)):
                total, length = log_probability + value, len(tokens) + 1
                if token == END:
                    found.append((total / length**alpha, tokens, total))
                elif length < max_length:
                    visit((*tokens, token), total)

        visit((), 0.0)
        return sorted(found, reverse=True)

    def beam(
        self, sentence: int, prompt: Sequence[int], max_length: int, alpha: float, size: int, n_best: int
    ) -> tuple[list[tuple[float, tuple[int, ...], float]], int]:
        """Beam search to the very end, written plainly, and the number of steps after which nothing could change."""
        live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        found: list[tuple[float, tuple[int, ...], float]] = []
        needed = max_length
        for length in range(1, max_length + 1):
            grown = [
                (total + value, tokens, token)
                for total, tokens in live
                for token, value in enumerate(self.log_probs(sentence, prompt, tokens))
            ]
            grown.sort(reverse=True)
            found += [(total / length**alpha, tokens, total) for total, tokens, token in grown[:size] if token == END]
            live = [(total, (*tokens, token)) for total, tokens, token in grown if token != END][:size]
            found = sorted(found, reverse=True)[:n_best]
            # A log-probability only falls, so the best that can come is today's at the best length still possible.
            lengths = range(length + 1, max_length + 1)
            reach = max((total / later**alpha for total, _ in live for later in lengths), default=-math.inf)
            if len(found) == n_best and reach <= found[-1][0]:
                needed = min(needed, length)
        return found, needed
