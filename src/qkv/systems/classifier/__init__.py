"""Pictures to classes: the Vision Transformer."""

from qkv.systems.system import System, Verb

SYSTEM = System(
    name="classifier",
    alias="vit",
    called="a classifier",
    does="says what is on pictures",
    use="use `qkv classify`",
    trained_on="a folder of class folders, a table with a label column, or an IDX file",
    verbs={
        "classify": Verb("Say what is on pictures: the most probable classes of each."),
        "eval": Verb("Accuracy, calibration, and precision, recall and F1 of each class."),
        "explain": Verb("Draw where the model looks on a picture."),
        "export": Verb("One file with labels and preprocessing, for ONNX or torch.export."),
    },
    imports="ViTForImageClassification of Hugging Face, and vit_* and deit_* of timm",
)
