"""Pictures, with classes or without: from files to batches of pixels.

1. `sources` says where they are: a folder, a table, the files of MNIST, shards. `measure` looks at a few of them.
2. `readers` opens a source and finds its pictures, their names, and with `labels` their classes, without decoding
   any; `tables` reads rows, `shards` indexes .tar files.
3. `decode` makes an upright picture of 8 bits a channel of any file, or says in one line why it cannot.
4. `split` joins the sources: each picture is decoded once to see that it can be read, is used once though it comes up
   in several, and is for training or held out for validation.
5. `preprocessing` fits a picture to the size of a model, and scales its bytes.
6. `augmentation` draws random changes to training pictures; `transforms` makes them, and takes boxes along.
7. `listing` reads pictures in order and in batches, for measuring a model.

`data` is all of this as one class, for training. A batch is a pure function of files, configuration and (seed,
epoch, index).

Many types mean "some pictures": where they are, `PictureSource`; those of one source, opened, `Pictures`; of several,
in an order of their own, `PictureSet`; both are a `PictureList`. Two such sets are a `PictureSplit`.
"""
