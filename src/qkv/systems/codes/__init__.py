"""Pictures to codes and back: the discrete VAE."""

from qkv.systems.system import System, Verb

SYSTEM = System(
    name="codes",
    alias="dvae",
    called="a discrete VAE",
    does="makes codes of pictures, which a painter draws with",
    use="use `qkv train --system painter --codes`",
    trained_on="any folder of pictures, a table, an IDX file or a shard",
    verbs={"eval": Verb("How well pictures come back from their codes.")},
)
