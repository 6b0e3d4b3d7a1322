"""The task of each system, under the name that recipes and model directories use."""

from qkv.systems.classifier.task import ClassificationTask
from qkv.systems.codes.task import ImageCodesTask
from qkv.systems.painter.task import TextToImageTask
from qkv.systems.scorer.task import ContrastiveTask
from qkv.systems.translator.task import TranslationTask

TASKS = {
    "translator": TranslationTask,
    "vit": ClassificationTask,
    "dvae": ImageCodesTask,
    "dalle": TextToImageTask,
    "clip": ContrastiveTask,
}
