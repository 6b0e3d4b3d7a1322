"""Randomness as pure functions: seeds from numbers, and permutations that need no memory."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def derive_seed(*numbers: int | str) -> int:
    """A 63-bit seed from what it is for, such as (seed, epoch, index)."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def permute(positions: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Where a random permutation of range(size) takes these positions.

    A Feistel network over the next power of four, walked until it lands inside (Black and Rogaway 2002, "Ciphers with
    arbitrary finite domains"): a shuffle of any size, a window of which costs no more than the window.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    keys = [np.uint64(derive_seed(seed, round_)) for round_ in range(4)]
    result = positions.astype(np.uint64)
    outside = np.arange(len(result))
    while len(outside):
        x = result[outside]
        left, right = x >> shift, x & mask
        for key in keys:
            left, right = right, left ^ (mix(right ^ key) & mask)
        result[outside] = x = (left << shift) | right
        outside = outside[x >= size]
    return result.astype(np.int64)


def shuffled(size: int, batch_size: int, seed: int, epoch: int, index: int) -> NDArray[np.int64]:
    """A batch of an epoch, of a data set of this size in an order of the epoch's own; the last batch may be short."""
    start = index * batch_size
    return permute(np.arange(start, min(start + batch_size, size)), size, derive_seed(seed, "order", epoch))


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits so that each depends on all (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_text(text: str) -> int:
    """64 bits that tell texts apart, white space around them aside."""
    data = text.strip().encode("utf-8", "surrogatepass")  # names of files need not be UTF-8
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
