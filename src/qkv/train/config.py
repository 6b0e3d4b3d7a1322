"""How to train: the `training` section of a recipe."""

import math
from dataclasses import dataclass
from typing import Literal

from qkv.config import check_range

Schedule = Literal["inverse_sqrt", "cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimisation, validation and what is kept.

    Attributes:
        max_steps: optimizer steps.
        accumulate: batches whose gradients make one step; the processes of a distributed run share them.
        learning_rate: its peak, reached after `warmup` steps.
        warmup: steps over which the learning rate grows from zero (section 5.3).
        schedule: what follows the warm-up: decay with the inverse square root of the step, as a half cosine to zero,
            or on a straight line to zero.
        weight_decay: of AdamW, on matrices only.
        beta1: decay of AdamW's first moment.
        beta2: and of its second.
        clip_norm: largest norm of the gradient; 0 leaves it alone.
        layer_decay: factor on the learning rate from each block to the one below it, for fine-tuning; 1 is none.
        workers: processes that prepare batches; 0 prepares them in a thread, which is enough for text.
        precision: of the forward pass; weights and optimizer stay in float32.
        compile: run the loss through torch.compile.
        ema: decay of a moving average of the weights, which is then what is validated and kept; 0 is none.
        validate_every: steps between validations, each followed by a checkpoint.
        patience: validations without a better score before training stops early; 0 never stops early.
        keep_best: checkpoints to keep; their average is tried at the end and kept when it scores better.
        log_every: steps between lines of metrics.jsonl.
        tensorboard: also write TensorBoard events.
        export_precision: of the weights in the exported model directory; it computes in float32 either way.
        device: `auto` takes a GPU where there is one.
    """

    max_steps: int = 10_000
    accumulate: int = 1
    learning_rate: float = 1e-3
    warmup: int = 1000
    schedule: Schedule = "inverse_sqrt"
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    clip_norm: float = 1.0
    layer_decay: float = 1.0
    workers: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    ema: float = 0.0
    validate_every: int = 500
    patience: int = 0
    keep_best: int = 5
    log_every: int = 10
    tensorboard: bool = False
    export_precision: Literal["float32", "float16"] = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_range(self, 1, 2**24 - 1, "max_steps")  # their number has a place in the seed of each
        check_range(self, 1, 2**16, "accumulate")
        check_range(self, 1, math.inf, "validate_every", "keep_best", "log_every")
        check_range(self, 0, math.inf, "warmup", "patience", "weight_decay", "clip_norm")
        check_range(self, 0, 1024, "workers")
        for name in ("beta1", "beta2", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.warmup >= self.max_steps and self.schedule != "inverse_sqrt":
            raise ValueError(f"warmup ({self.warmup}) leaves nothing of max_steps ({self.max_steps}) for the schedule")
