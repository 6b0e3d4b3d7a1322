"""The one exception that reaches a user: a single line that says what was wrong, where, and what to do."""

import reprlib


class QkvError(Exception):
    """Bad input. The command line prints it as `error: ...` and exits with status 1; no traceback."""


def one_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    return str(error).strip().partition("\n")[0].strip() or type(error).__name__


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, 80, 80
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 3

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"a number of {x.bit_length():,} bits"


def shown(value: object) -> str:
    """What a message shows of a value that may be anything: on one line, short, however large or nested it is."""
    return _Short().repr(value)


EXTRAS = {
    "matplotlib": ("drawing charts and attention", "explain"),
    "onnxruntime": ("running ONNX models", "export"),
    "onnxscript": ("writing ONNX models", "export"),
    "pyarrow": ("reading data to train or measure on", "train"),
    "sacrebleu": ("measuring translations", "train"),
    "tensorboard": ("writing TensorBoard events", "tensorboard"),
}
"""Packages that not every installation has: what needs them, and the extra of this one that brings them."""


def missing_extra(error: ImportError) -> QkvError:
    """What to tell of a package that only some work needs, and that is not installed.

    Raises:
        ImportError: the error itself; the package is none of these, or is there but broken.
    """
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package not in EXTRAS:
        raise error
    work, extra = EXTRAS[package]
    return QkvError(f"{work} needs {package}, which is not installed: pip install 'qkv[{extra}]'")
