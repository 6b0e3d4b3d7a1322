"""The task of each system, under the name that recipes and model directories use."""

from qkv.tasks.task import Task
from qkv.tasks.translation import TranslationTask

TASKS: dict[str, type[Task]] = {"translator": TranslationTask}
