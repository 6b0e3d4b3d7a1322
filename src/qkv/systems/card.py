"""The model card that training writes beside the weights."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qkv.data.parallel.vocabulary import Codec, format_direction
from qkv.metrics.classification import ClassScore

if TYPE_CHECKING:
    from qkv.models.dvae import DVAEConfig
    from qkv.systems.classifier.task import ClassificationConfig
    from qkv.systems.codes.task import ImageCodesConfig
    from qkv.systems.painter.task import TextToImageConfig
    from qkv.systems.scorer.task import ContrastiveConfig
    from qkv.systems.translator.task import TranslationConfig


def translator_card(config: "TranslationConfig", codec: Codec, facts: Mapping[str, Any], parameters: int) -> str:
    """What is known of a freshly trained translator, in Markdown; licence and limits are for its owner to add."""
    directions = ", ".join(format_direction(direction) for direction in codec.directions)
    sources = [name for corpus in config.data.train for name in (corpus.table, *(corpus.files or {}).values()) if name]
    scores = "\n".join(f"| {name} | {value:.3f} |" for name, value in facts["validation"].items())
    model = config.model
    return f"""# Translator {directions}

A Transformer (Vaswani et al. 2017) trained with qkv.

- Directions: {directions}
- Parameters: {parameters:,}; {model.n_layers}+{model.n_layers} layers, width {model.d_model},
  feed-forward {model.d_ff}, {model.n_heads} heads, vocabulary {codec.vocabulary:,}
- Trained for {facts["step"]:,} steps, {facts["hours"]:.2f} hours, batches of up to {config.data.batch_tokens:,} tokens
- Data: {", ".join(sources)}

| validation | value |
|---|---|
{scores}
"""


def classifier_card(
    config: "ClassificationConfig",
    scores: Sequence[ClassScore],
    facts: Mapping[str, Any],
    parameters: int,
    pictures: int,
) -> str:
    """What is known of a freshly trained classifier, in Markdown; licence and limits are for its owner to add."""
    model = config.model
    sources = [source.path for source in config.data.train]
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in facts["validation"].items())
    classes = "\n".join(
        f"| {score.name} | {score.precision:.1%} | {score.recall:.1%} | {score.f1:.1%} | {score.count:,} |"
        for score in scores
    )
    return f"""# Classifier of {len(scores)} classes

A Vision Transformer (Dosovitskiy et al. 2020) trained with qkv.

- Parameters: {parameters:,}; {model.n_layers} layers, width {model.d_model}, feed-forward {model.d_ff},
  {model.n_heads} heads, patches of {model.cell} pixels, pictures of {model.image_size} x {model.image_size} pixels
- Trained for {facts["step"]:,} steps, {facts["hours"]:.2f} hours, on {pictures:,} pictures
- Data: {", ".join(map(str, sources))}

| validation | value |
|---|---|
{metrics}

| class | precision | recall | F1 | pictures |
|---|---|---|---|---|
{classes}

![What each class is taken for](confusion.png)
"""


def codes_card(config: "ImageCodesConfig", facts: Mapping[str, Any], parameters: int, pictures: int) -> str:
    """What is known of a freshly trained discrete VAE, in Markdown; licence and limits are for its owner to add."""
    model = config.model
    sources = [source.path for source in config.data.train]
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in facts["validation"].items())
    return f"""# Codes of pictures

A discrete VAE (Ramesh et al. 2021, section 2.1) trained with qkv.

- {model.image_size} x {model.image_size} pixels become {model.grid} x {model.grid} codes of {model.codes:,}
- Parameters: {parameters:,}; {model.downsamplings} halvings with {model.blocks} blocks each, widths from {model.width}
  to {model.widths[-1]}; quantiser {model.quantiser}, reconstruction {model.reconstruction}
- Trained for {facts["step"]:,} steps, {facts["hours"]:.2f} hours, on {pictures:,} pictures
- Data: {", ".join(map(str, sources))}

| validation | value |
|---|---|
{metrics}

![Pictures over what comes back from their codes](reconstructions.png)
"""


def painter_card(
    config: "TextToImageConfig", codes: "DVAEConfig", facts: Mapping[str, Any], parameters: int, pictures: int
) -> str:
    """What is known of a freshly trained painter, in Markdown; licence and limits are for its owner to add."""
    model = config.model
    sources = [source.path for source in config.data.train]
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in facts["validation"].items())
    return f"""# Painter

DALL-E (Ramesh et al. 2021) trained with qkv: for a caption it draws pictures of {codes.image_size} x
{codes.image_size} pixels.

- Parameters: {parameters:,}, with those of the discrete VAE; {model.n_layers} layers, width {model.d_model},
  feed-forward {model.d_ff}, {model.n_heads} heads; captions of up to {model.text_length} tokens, then
  {model.grid} x {model.grid} codes of {codes.codes:,}
- Trained for {facts["step"]:,} steps, {facts["hours"]:.2f} hours, on {pictures:,} pictures
- Data: {", ".join(map(str, sources))}

| validation | value |
|---|---|
{metrics}

![Pictures drawn for validation captions](drawings.png)
"""


def scorer_card(config: "ContrastiveConfig", facts: Mapping[str, Any], parameters: int, pictures: int) -> str:
    """What is known of a freshly trained scorer, in Markdown; licence and limits are for its owner to add."""
    image, text = config.model.image, config.model.text
    sources = [source.path for source in config.data.train]
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in facts["validation"].items())
    return f"""# Scorer

CLIP (Radford et al. 2021) trained with qkv: how well a picture of {image.image_size} x {image.image_size} pixels and a
caption go together.

- Parameters: {parameters:,}; pictures: {image.n_layers} layers, width {image.d_model}; captions of up to
  {text.text_length} tokens: {text.n_layers} layers, width {text.d_model}; shared space of {config.model.d_shared}
- Trained for {facts["step"]:,} steps, {facts["hours"]:.2f} hours, on {pictures:,} pictures
- Data: {", ".join(map(str, sources))}

| validation | value |
|---|---|
{metrics}

`image_to_text` and `text_to_image` are percentages of right answers among {config.candidates} candidates, or among all
pairs if there are fewer.
"""
