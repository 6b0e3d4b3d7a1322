"""Text in one language to text in another: the Transformer."""

from qkv.systems.system import System, TrainingOption, Verb

SYSTEM = System(
    name="translator",
    alias="transformer",
    called="a translator",
    does="translates text",
    use="use `qkv translate`",
    trained_on="a table of sentence pairs or two line-aligned text files, with --from and --to",
    verbs={
        "translate": Verb("Translate texts, a file, or standard input: one line in, one line out.", needs_model=False),
        "eval": Verb("BLEU, chrF and TER, with signatures and 95 % confidence intervals."),
        "explain": Verb("Draw where the model looks while it translates a sentence."),
    },
    options=(
        TrainingOption("--from", "LANGUAGE", "Of the first column or file of sentence pairs.", tells_data=True),
        TrainingOption("--to", "LANGUAGE", "Of the second column or file of sentence pairs.", tells_data=True),
    ),
)
