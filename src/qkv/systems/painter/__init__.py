"""Captions to pictures: DALL-E."""

from qkv.systems.system import System, TrainingOption, Verb

SYSTEM = System(
    name="painter",
    alias="dalle",
    called="a painter",
    does="draws pictures for captions",
    use="use `qkv draw`",
    trained_on="a folder of pictures with a .txt of captions beside each, a table or a shard of them, with --codes",
    verbs={
        "draw": Verb(
            "Draw pictures for captions: a picture is written like a sentence, code by code.", needs_model=False
        ),
        "eval": Verb("Whether pictures show what captions say, how varied they are, and whether they are copies."),
    },
    options=(TrainingOption("--codes", "MODEL", "The codes that a painter draws with: a model folder or a run."),),
)
