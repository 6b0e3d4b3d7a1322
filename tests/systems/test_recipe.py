"""Recipes that the user did not write."""

from qkv.systems.recipe import Recipe

SUGGESTION = {
    "system": "dvae",
    "data": {"train": [{"folder": "pictures"}]},
    "model": {"quantiser": "vq", "reconstruction": "mse", "image_size": 64},
    "training": {"max_steps": 3000, "warmup": 300},
}


def test_a_shortened_suggestion_warms_up_in_fewer_steps() -> None:
    def warmup(*assignments: str) -> int:
        return Recipe.suggested(SUGGESTION, assignments).training.warmup

    assert warmup() == 300
    assert warmup("training.max_steps=20") == 2
    assert warmup("training.max_steps=20", "training.warmup=7") == 7
    assert warmup("training.max_steps=90000") == 300
