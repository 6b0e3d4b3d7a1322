"""Sentence pairs: from files of text to batches of tokens.

1. `config` says where the text lies: line-aligned files or tables, each for some directions.
2. `readers` reads it line by line, says where it is malformed, and counts it.
3. `store` copies the texts of each corpus into the cache, once; `text` holds those of all corpora together.
4. `text` learns a vocabulary from a fair sample of them, which a run keeps; `vocabulary` encodes with it.
5. `store` tokenizes the texts into the cache, once.
6. `holdout` sets lines aside for validation, unless there are corpora for that.
7. `examples` numbers the pairs of all directions of all corpora, and says which are used; `report` counts them.
8. `batches` draws pairs, puts those of like length together, and pads them into tensors.

`data` is all of this as one class. A batch is a pure function of files, configuration and (seed, epoch, index).
"""
