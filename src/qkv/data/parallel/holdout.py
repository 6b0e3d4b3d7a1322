"""Setting pairs aside for validation when the user has none, or those that are in it when the user has some."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qkv.data.parallel.examples import Corpus, Indices, View, blocks, hash_pairs
from qkv.data.randomness import derive_seed, permute
from qkv.errors import QkvError

_CHOICE = 4  # candidates for each line that is to be held out


def hold_out(
    corpora: Sequence[Corpus], sources: Sequence[str], *, most: int, max_length: int, seed: int
) -> list[tuple[Indices, Indices]]:
    """Choose lines for validation, and find the lines that would give them away.

    Each corpus gives its share of `most` lines, or of 5 % of all if that is fewer. Lines whose texts in the languages
    `sources` occur only once are preferred, so that little is lost. Gives for each corpus the sorted lines held out,
    and the sorted other lines that share a source text with any of them.
    """
    total = sum(corpus.text.rows for corpus in corpora)
    wanted = max(1, min(most, int(total * 0.05)))
    shares = [max(1, round(wanted * corpus.text.rows / total)) for corpus in corpora]
    candidates = [
        _candidates(corpus, share, max_length, derive_seed(seed, number))
        for number, (corpus, share) in enumerate(zip(corpora, shares))
    ]
    held_out = []
    for corpus, share, rows, count in zip(corpora, shares, candidates, _occurrences(corpora, candidates, sources)):
        rarest = rows[np.argsort(count, kind="stable")]
        held_out.append(np.sort(rarest[: min(share, corpus.text.rows - 1)]))
    if not sum(map(len, held_out)):
        fault = "too few pairs to hold one out for validation, not counting those that are empty or longer than"
        advice = f"max_length ({max_length} tokens); add pairs, or name validation files"
        raise QkvError(f"{corpora[0].text.corpus.name}: {fault} {advice}")
    return list(zip(held_out, _shadowed(corpora, held_out, sources)))


def in_validation(view: View, validation: Sequence[View]) -> Indices:
    """The lines of a view that are pairs, equal on both sides, of those to validate on in the same direction."""
    same = [_pairs(other, np.arange(len(other))) for other in validation if other.direction == view.direction]
    known = np.unique(np.concatenate([np.empty(0, np.uint64), *same]))
    there = (block[_find(known, _pairs(view, block)) < len(known)] for block in blocks(0, len(view)))
    return np.concatenate([np.empty(0, np.int64), *there])


def _pairs(view: View, rows: Indices) -> NDArray[np.uint64]:
    source, target = view.corpus.text.hashes[rows][:, view.columns].T
    return hash_pairs(source, target)


def _candidates(corpus: Corpus, size: int, max_length: int, seed: int) -> Indices:
    """A few times `size` random lines without empty or over-long text."""
    found = np.empty(0, np.int64)
    for block in blocks(0, corpus.text.rows):
        order = permute(block, corpus.text.rows, seed)
        lengths = corpus.tokens.lengths[order]
        found = np.append(found, order[(lengths.min(1) > 0) & (lengths.max(1) <= max_length)])
        if len(found) >= _CHOICE * size:
            break
    return found[: _CHOICE * size]


def _occurrences(corpora: Sequence[Corpus], rows: Sequence[Indices], sources: Sequence[str]) -> list[Indices]:
    """How often the source texts of each of these lines occur in all corpora."""
    found = [np.zeros(len(chosen), np.int64) for chosen in rows]
    for language in sources:
        hashes = [_hashes(corpus, chosen, language) for corpus, chosen in zip(corpora, rows)]
        known = np.unique(np.concatenate(hashes))
        counts = np.zeros(len(known) + 1, np.int64)
        for corpus in corpora:
            for block in blocks(0, corpus.text.rows):
                counts += np.bincount(_find(known, _hashes(corpus, block, language)), minlength=len(counts))
        found = [count + counts[_find(known, own)] if len(own) else count for count, own in zip(found, hashes)]
    return found


def _shadowed(corpora: Sequence[Corpus], held_out: Sequence[Indices], sources: Sequence[str]) -> Iterator[Indices]:
    """The other lines of each corpus that share a source text with a line held out of any."""
    known = {
        language: np.unique(np.concatenate([_hashes(*of, language) for of in zip(corpora, held_out)]))
        for language in sources
    }
    for corpus, rows in zip(corpora, held_out):
        found = [np.empty(0, np.int64)]
        for block in blocks(0, corpus.text.rows):
            shared = np.zeros(len(block), bool)
            for language in known.keys() & {*corpus.text.languages}:
                shared |= _find(known[language], _hashes(corpus, block, language)) < len(known[language])
            found.append(block[shared])
        yield np.setdiff1d(np.concatenate(found), rows)


def _hashes(corpus: Corpus, rows: Indices, language: str) -> NDArray[np.uint64]:
    if language not in corpus.text.languages:
        return np.empty(0, np.uint64)
    return np.asarray(corpus.text.hashes[rows, corpus.text.languages.index(language)])


def _find(known: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places of the values in the sorted `known`; its length where one is not there."""
    place = np.searchsorted(known, values)
    there = np.append(known, 0)[place] == values
    return np.where(there & (place < len(known)), place, len(known))
