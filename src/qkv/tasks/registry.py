"""The task of each system, under the name that recipes and model directories use."""

from qkv.tasks.classification import ClassificationTask
from qkv.tasks.contrastive import ContrastiveTask
from qkv.tasks.image_codes import ImageCodesTask
from qkv.tasks.text_to_image import TextToImageTask
from qkv.tasks.translation import TranslationTask

TASKS = {
    "translator": TranslationTask,
    "vit": ClassificationTask,
    "dvae": ImageCodesTask,
    "dalle": TextToImageTask,
    "clip": ContrastiveTask,
}
