"""Pictures with captions: from files to batches of pixels, or of codes, and tokens.

1. `sources` says where they are: a folder with .txt files beside the pictures, a table, shards, or pictures whose
   classes templates make captions of. `measure` looks at a few of them.
2. `readers` opens a source and finds its pictures, as `qkv.data.pictures` has them, and what their captions are.
   A source, opened, is `CaptionedPictures`.
3. `corpus` joins the sources: each picture and its captions are read once to see that they can be, each is used once
   though it comes up in several, and is for training or held out for validation. Pictures are numbered here.
4. `store` copies all captions into the cache, and their tokens, once.
5. `vocabulary` learns these tokens from the captions of training pictures; a run keeps it.
6. `schedule` chooses which of its captions a picture shows in which epoch; `report` counts them.
7. `code_cache` encodes all pictures into the cache, once, for a model that reads codes instead of pixels.

`data` is all of this as one class, for training. A batch is a pure function of files, configuration and (seed,
epoch, index). `evaluation` gives pictures and captions to measure a model on.
"""
