"""Building a model around weights, whatever its sizes are said to be."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from qkv.errors import QkvError
from qkv.models.clip import CLIP, CLIPConfig, TextConfig
from qkv.models.dalle import Dalle, DalleConfig
from qkv.models.dvae import DVAE, DVAEConfig, DVAEOutput
from qkv.models.recurrent import RecurrentConfig, RecurrentModel
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import build, get_weights, set_weights, sketch

TINY = {"d_model": 8, "n_heads": 2, "n_layers": 2, "d_ff": 8}
IMAGE = ViTConfig(**TINY, image_size=8, patch_size=4)
TOKENS, LENGTHS = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([3, 2])
PIXELS = torch.linspace(0, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)

MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "translator": (lambda: TranslatorModel(TranslatorConfig(**TINY), 20), (TOKENS, LENGTHS, TOKENS)),
    "learned positions": (
        lambda: TranslatorModel(TranslatorConfig(**TINY, positions="learned", tie_embeddings=False), 20, 30),
        (TOKENS, LENGTHS, TOKENS),
    ),
    "lstm": (lambda: RecurrentModel(RecurrentConfig(d_model=8), 20), (TOKENS, LENGTHS, TOKENS)),
    "gru": (
        lambda: RecurrentModel(RecurrentConfig(kind="gru", d_model=8, attention=False), 20),
        (TOKENS, LENGTHS, TOKENS),
    ),
    "vit": (lambda: ViT(IMAGE, 3), (PIXELS,)),
    "sinusoidal vit": (
        lambda: ViT(
            ViTConfig(**TINY, image_size=8, patch_size=2, stem=(4,), pool="sequence", positions="sinusoidal"), 3
        ),
        (PIXELS,),
    ),
    "clip": (
        lambda: CLIP(CLIPConfig(image=IMAGE, text=TextConfig(**TINY, text_length=3), d_shared=4), 20),
        (PIXELS, TOKENS, LENGTHS),
    ),
    "dalle": (
        lambda: Dalle(DalleConfig(**TINY, text_length=3, grid=2, attention=("row", "column"), kernel=3), 20, 9),
        (TOKENS, LENGTHS, torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])),
    ),
    "gumbel": (lambda: DVAE(DVAEConfig(image_size=8, width=4, codes=5, d_code=4)), (PIXELS,)),
    "vq": (
        lambda: DVAE(DVAEConfig(image_size=8, width=4, codes=5, d_code=4, quantiser="vq", reconstruction="l1")),
        (PIXELS,),
    ),
}


def _numbers(outputs: object) -> list[Tensor]:
    if isinstance(outputs, DVAEOutput):
        outputs = tuple(vars(outputs).values())
    return [part for part in (outputs if isinstance(outputs, tuple) else (outputs,)) if isinstance(part, Tensor)]


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_model_built_around_weights_is_the_one_that_they_are_copied_into(name: str) -> None:
    make, inputs = MODELS[name]
    torch.manual_seed(1)
    weights = get_weights(make())
    copied = make()
    set_weights(copied, weights)
    built = build(make, copy.deepcopy(weights), "here")
    assert not any(tensor.is_meta for tensor in (*built.parameters(), *built.buffers()))
    ours, theirs = (
        [(name, tensor.requires_grad) for name, tensor in model.named_parameters()] for model in (built, copied)
    )
    assert ours == theirs
    expected, found = (_numbers(model.eval()(*inputs)) for model in (copied, built))
    assert expected and all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_a_sketch_has_the_shapes_and_no_memory(name: str) -> None:
    make, _ = MODELS[name]
    shapes = {name: weight.shape for name, weight in get_weights(make()).items()}
    sketched = get_weights(sketch(make))
    assert {name: weight.shape for name, weight in sketched.items()} == shapes
    assert all(weight.is_meta for weight in sketched.values())


HUGE = {"d_model": 2**17, "d_ff": 2**17, "n_heads": 2}


@pytest.mark.parametrize(
    "make",
    [
        lambda: TranslatorModel(TranslatorConfig(**HUGE), 2**20),
        lambda: TranslatorModel(TranslatorConfig(n_layers=32), 20),
        lambda: RecurrentModel(RecurrentConfig(d_model=2**17), 2**20),
        lambda: ViT(ViTConfig(**HUGE, image_size=4096, patch_size=1), 3),
        lambda: Dalle(DalleConfig(**HUGE, text_length=2**10, grid=120, attention=("row",)), 2**20, 2**20),
        lambda: DVAE(DVAEConfig(width=2**17, image_size=4096, downsamplings=12)),
        lambda: nn.Embedding(2**40, 2**40),
    ],
)
def test_sizes_that_the_weights_have_not_cost_nothing(make: Callable[[], nn.Module]) -> None:
    """They would take terabytes."""
    with pytest.raises(QkvError, match=r"^config\.json: ") as caught:
        build(make, {"a": torch.zeros(2)}, "config.json")
    assert "\n" not in str(caught.value)


def test_names_of_weights_are_shown_plainly() -> None:
    with pytest.raises(QkvError) as caught:
        build(lambda: nn.Linear(2, 2), {"weight": torch.zeros(2, 2), "\x1b[31m\nbias": torch.zeros(2)}, "here")
    assert str(caught.value) == "here: \\x1b[31m\\nbias is not part of this model"
    with pytest.raises(QkvError, match=r"here: bias is \[3\], the model needs \[2\]"):
        build(lambda: nn.Linear(2, 2), {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, "here")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TranslatorConfig(n_layers=10**9), "n_layers must be at most 256, not 1000000000"),
        (lambda: TranslatorConfig(d_model=10**9, n_heads=1), "d_model must be at most 131,072"),
        (lambda: TranslatorConfig(n_heads=10**9, d_key=1, d_value=1), "n_heads must be at most"),
        (lambda: TranslatorConfig(norm_eps=math.nan), "norm_eps must be positive"),
        (lambda: RecurrentConfig(n_layers=10**9), "n_layers must be at most 256"),
        (lambda: ViTConfig(image_size=10**9), "image_size must be at most 4,096"),
        (lambda: ViTConfig(stem=(8,) * 10**6), "stem must hold up to 12 positive numbers"),
        (lambda: ViTConfig(stem_depth=10**9), "stem_depth must be at most 256"),
        (lambda: DVAEConfig(downsamplings=10**9), "downsamplings must be at most 12"),
        (lambda: DVAEConfig(blocks=10**9), "blocks must be at most 256"),
        (lambda: DVAEConfig(codes=10**9), "codes must be at most"),
        (lambda: DalleConfig(grid=10**9), "grid must be at most 128"),
        (lambda: DalleConfig(grid=128, text_length=1), "16,385 positions together, above 16,384"),
        (lambda: TextConfig(text_length=10**9), "text_length must be at most"),
        (lambda: CLIPConfig(d_shared=10**9), "d_shared must be at most"),
    ],
)
def test_sizes_have_bounds(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
