"""A model that a verb is not for is refused in one line: here that of a discrete VAE, which few of them are for."""

from dataclasses import asdict

import pytest

from qkv.model_directory import save_model
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import get_weights


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("classify", "MODEL", "x.png"), "is a discrete VAE, which cannot classify"),
        (("eval", "MODEL", "--src", "a", "--ref", "b", "--from", "en", "--to", "de"), "--src is for translators, and"),
        (("eval", "MODEL", "pictures", "--confusion", "x.png"), "--confusion is for classifiers, and"),
        (("explain", "MODEL", "x.png", "--out", "y.png"), "is a discrete VAE, which cannot be explained"),
        (("export", "MODEL", "--format", "onnx", "--out", "y"), "is a discrete VAE, which cannot be exported: only"),
    ],
)
def test_no_verb_takes_a_discrete_vae_for_something_else(qkv_command, tmp_path, arguments, said) -> None:
    config = DVAEConfig(image_size=4, codes=2, d_code=2, width=2, downsamplings=1, blocks=1)
    fields = {"model": asdict(config)}
    save_model(tmp_path / "codes", system="dvae", config=fields, weights=get_weights(DVAE(config)), files={})
    done = qkv_command(*(tmp_path / "codes" if word == "MODEL" else word for word in arguments))
    assert done.status == 1
    assert said in done.err
    assert done.err.count("\n") == 1
