"""Checkpoints of other libraries in, programs for other runtimes out, each compared with what it came from."""

from qkv.interop.exporting import ExportReport, export_classifier
from qkv.interop.importing import ImportReport, import_model

__all__ = ["ExportReport", "ImportReport", "export_classifier", "import_model"]
