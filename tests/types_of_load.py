"""What a type checker knows of `qkv.load`: read by pyright, which fails where an assertion does not hold; never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from pathlib import Path
from typing import Any, assert_type

import qkv
from qkv.systems.classifier.pipeline import Classification, Classifier
from qkv.systems.painter.pipeline import Painter
from qkv.systems.showing import Pictures
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.result import Translation

translator, classifier = qkv.load("multi30k"), qkv.load("fashion-mnist", device="cpu")
assert_type(translator, Translator)
assert_type(translator.translate("a dog", to="de"), Translation)
assert_type(translator.translate(["a dog"], to="de"), list[Translation])
assert_type(translator.translate((text for text in ["a dog"]), to="de"), list[Translation])
assert_type(classifier, Classifier)
assert_type(classifier.classify("a.png"), Classification)
assert_type(classifier.classify(["a.png"]), list[Classification])
assert_type(qkv.load("emoji"), Painter)
assert_type(qkv.load("fashion-draw").draw("a shirt"), Pictures)
assert_type(qkv.load("emoji").draw(["a cat"], n=2), list[Pictures])
assert_type(qkv.load("runs/mine"), Any)
assert_type(qkv.load(Path("runs/mine")), Any)

translator.translate("a dog", to="de", beam=3)  # pyright: ignore[reportCallIssue] (a checker knows the options)

try:
    qkv.load("runs/mine")
except qkv.QkvError as error:
    print(error)
