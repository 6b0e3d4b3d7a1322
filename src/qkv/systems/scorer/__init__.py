"""How well captions and pictures go together: CLIP."""

from qkv.systems.system import System

SYSTEM = System(
    name="scorer",
    alias="clip",
    called="a scorer",
    does="says how well captions and pictures go together",
    use="use `qkv draw --scorer`",
    trained_on="a folder of pictures with a .txt of captions beside each, a table or a shard of them",
)
