"""Model + loss + metrics: all that training needs to know of a system. Knows nothing of devices or checkpoints."""

from qkv.tasks.task import Task
from qkv.tasks.translation import TranslationTask

TASKS: dict[str, type[Task]] = {"translator": TranslationTask}
"""The task of each system, under the name that recipes and model directories use."""

__all__ = ["TASKS", "Task", "TranslationTask"]
