"""The one exception that reaches a user: a single line that says what was wrong, where, and what to do."""


class QkvError(Exception):
    """Bad input. The command line prints it as `error: ...` and exits with status 1; no traceback."""


def one_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
