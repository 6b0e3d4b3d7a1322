"""A model that a verb is not for is refused in one line: here that of a discrete VAE, which few of them are for."""

import pytest

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.model_directory import save_model
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import get_weights
from qkv.systems.codes.saved import Saved


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("classify", "MODEL", "x.png"), 1, "is a discrete VAE, which cannot classify"),
        (
            ("draw", "MODEL", "a bird"),
            1,
            "is a discrete VAE, which cannot draw: use `qkv train --system painter --codes`",
        ),
        (("eval", "MODEL", "--src", "a", "--ref", "b", "--from", "en", "--to", "de"), 2, "No such option: --src"),
        (("eval", "MODEL", "pictures", "--confusion", "x.png"), 2, "No such option: --confusion"),
        (("explain", "MODEL", "x.png", "--out", "y.png"), 1, "is a discrete VAE, which cannot be explained: use"),
        (("export", "MODEL", "--format", "onnx", "--out", "y"), 1, "is a discrete VAE, which cannot be exported: use"),
    ],
)
def test_no_verb_takes_a_discrete_vae_for_something_else(qkv_command, tmp_path, arguments, status, said) -> None:
    config = DVAEConfig(image_size=4, codes=2, d_code=2, width=2, downsamplings=1, blocks=1)
    saved = Saved(model=config, preprocessing=Preprocessing(size=4, mean=(0.0,) * 3, std=(1.0,) * 3))
    save_model(tmp_path / "codes", saved, get_weights(DVAE(config)), {})
    done = qkv_command(*(tmp_path / "codes" if word == "MODEL" else word for word in arguments))
    assert done.status == status
    assert said in done.err
    assert done.err.count("\n") == 1
