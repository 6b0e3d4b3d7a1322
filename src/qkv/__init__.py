"""One Transformer, whole: load a trained model and use it with raw text.

import qkv

translator = qkv.load("multi30k")
print(translator.translate("Two dogs are playing in the snow.", to="de"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qkv.runtime.threads import wait_without_spinning

if TYPE_CHECKING:
    from qkv.errors import QkvError
    from qkv.systems.registry import load

__all__ = ["QkvError", "__version__", "load"]

__version__: str

wait_without_spinning()  # PyTorch, which reads it when it is loaded, comes later


def __getattr__(name: str) -> Any:
    # PyTorch is slow to import; `import qkv` and `qkv --help` do without it.
    if name == "load":
        return import_module("qkv.systems.registry").load
    if name == "QkvError":
        return import_module("qkv.errors").QkvError
    if name == "__version__":
        return import_module("importlib.metadata").version("qkv")
    raise AttributeError(f"module 'qkv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
