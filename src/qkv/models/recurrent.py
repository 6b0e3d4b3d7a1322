"""The encoder-decoders before the Transformer: LSTM or GRU, with attention (Bahdanau et al. 2015) or without."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from qkv.config import DEEPEST, WIDEST, check_range
from qkv.models.weights import initialise
from qkv.nn import Recorder, padding_mask

RecurrentKind = Literal["lstm", "gru"]
Layers = nn.LSTM | nn.GRU
States = tuple[Float[Tensor, "L B D"], ...]
"""Where each of L layers stands: the hidden states, and of an LSTM the cells."""


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Sizes and choices of encoder and decoder, which are equally deep.

    Attributes:
        kind: of every layer; `lstm` as in Sutskever et al. 2014, `gru` as in Bahdanau et al. 2015.
        d_model: width of embeddings and of every layer's state, in each direction.
        n_layers: of the encoder, and of the decoder.
        attention: the encoder reads in both directions, and each step of the decoder looks back at all of it (Bahdanau
            et al. 2015). Without, the encoder reads the source backwards, and its last states are all that the decoder
            begins from (Sutskever et al. 2014, sections 2 and 3.3).
        dropout: on embeddings, between layers and before the output, never from step to step (Zaremba et al. 2014).
        tie_embeddings: one matrix for target embedding and output projection, and for the source embedding too where
            the vocabulary is shared.
    """

    kind: RecurrentKind = "lstm"
    d_model: int = 256
    n_layers: int = 2
    attention: bool = True
    dropout: float = 0.1
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(RecurrentKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(RecurrentKind))}, not {self.kind!r}")
        check_range(self, 1, WIDEST, "d_model")
        check_range(self, 1, DEEPEST, "n_layers")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")

    @property
    def longest(self) -> int | None:
        """Most positions that the model can tell apart; None is no limit."""
        return None


@dataclass(frozen=True)
class Memory:
    """What attention reads: each row's encoded source.

    Attributes:
        values: annotations h_j, the states of the encoder's last layer in both directions.
        keys: U_a h_j, the same at every step.
        mask: True at real tokens.
    """

    values: Float[Tensor, "B S E"]
    keys: Float[Tensor, "B S D"]
    mask: Bool[Tensor, "B S"]


@dataclass
class RecurrentState:
    """What decoding carries from step to step. Rows are sentences, or their beams.

    Attributes:
        states: of the decoder's layers.
        memory: what attention reads; None without attention.
        sentence: which sentence each row belongs to.
    """

    states: States
    memory: Memory | None
    sentence: Int[Tensor, "B"]

    def reorder(self, rows: Int[Tensor, "M"]) -> None:
        """Keep these rows, in this order; a row may be repeated or left out."""
        self.states = tuple(x[:, rows] for x in self.states)
        sentence = self.sentence[rows]
        # Beams mostly trade places within their sentence: what belongs to the sentence then stays where it is.
        if self.memory is not None and not torch.equal(sentence, self.sentence):
            self.memory = Memory(self.memory.values[rows], self.memory.keys[rows], self.memory.mask[rows])
        self.sentence = sentence


class AdditiveAttention(nn.Module):
    """e_j = v_aᵀ tanh(W_a s + U_a h_j), α = softmax(e), c = Σ α_j h_j (Bahdanau et al. 2015, section 3.1 and A.1.2).

    Args:
        d_query: width of the decoder's state s.
        d_value: width of the annotations h_j.
    """

    def __init__(self, d_query: int, d_value: int) -> None:
        super().__init__()
        self.query = nn.Linear(d_query, d_query, bias=False)
        self.key = nn.Linear(d_value, d_query)
        self.score = nn.Linear(d_query, 1, bias=False)

    def forward(self, state: Float[Tensor, "B D"], memory: Memory) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B S"]]:
        """The context c, and the weights α that it is read with: 0 on padding."""
        scores = self.score(torch.tanh(self.query(state)[:, None] + memory.keys))[..., 0]  # [B, S]
        weights = scores.masked_fill(~memory.mask, -torch.inf).softmax(dim=-1)
        return torch.bmm(weights[:, None], memory.values)[:, 0], weights


class AttentiveDecoder(nn.Module):
    """A decoder that looks at the source before each step (Bahdanau et al. 2015, section 3.1 and appendix A.2).

    The paper has one layer. Of several, as in GNMT (Wu et al. 2016, section 3), only the lowest asks attention, with
    its own last state. So only this one must go step by step; the others then run over all that it gave, and the second
    reads the contexts beside it.

    Args:
        config: sizes and choices.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        d_model, self.n_layers = config.d_model, config.n_layers
        kept = {"lstm": 2, "gru": 1}[config.kind]
        self.bridge = nn.Linear(d_model, kept * config.n_layers * d_model)
        self.attention = AdditiveAttention(d_model, 2 * d_model)
        self.lowest = _make_layers(config, 3 * d_model, 1)
        self.upper = _make_layers(config, 3 * d_model, config.n_layers - 1) if config.n_layers > 1 else None
        self.readout = nn.Linear(4 * d_model, 2 * d_model)
        self.dropout = nn.Dropout(config.dropout)

    def start(self, backward: Float[Tensor, "B D"]) -> States:
        """Every layer begins from tanh(W_s h), where h is the backward encoder's last state (appendix A.2.2)."""
        first = self.bridge(backward).tanh().unflatten(1, (-1, self.n_layers, backward.shape[1]))
        return tuple(first.permute(1, 2, 0, 3).contiguous())

    def forward(
        self, x: Float[Tensor, "B T D"], states: States, memory: Memory, recorder: Recorder | None = None
    ) -> tuple[Float[Tensor, "B T D"], States]:
        """What the output projection reads at each position, and the states behind the last."""
        y, contexts, states_after = self._step_through(x, tuple(state[:1] for state in states), memory, recorder)
        if self.upper is not None:
            read = torch.cat([self.dropout(y), contexts], dim=-1)
            y, upper = _run(self.upper, read, tuple(state[1:] for state in states))
            states_after = tuple(torch.cat(both) for both in zip(states_after, upper, strict=True))
        # A single maxout layer (appendix A.2.2); it reads s_i as equation 4 has it, not s_{i-1} as the appendix does.
        pairs = self.readout(torch.cat([y, x, contexts], dim=-1)).unflatten(-1, (-1, 2))  # [B, T, D, 2]
        return pairs.amax(dim=-1), states_after

    def _step_through(
        self, x: Float[Tensor, "B T D"], states: States, memory: Memory, recorder: Recorder | None
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T E"], States]:
        """s_i = f(s_{i-1}, y_{i-1}, c_i): what the lowest layer gives at each position, and the contexts it read."""
        outputs, contexts, looks = [], [], []
        for token in x.unbind(dim=1):
            context, weights = self.attention(states[0][0], memory)
            output, states = _run(self.lowest, torch.cat([token, context], dim=-1)[:, None], states)
            outputs.append(output)
            contexts.append(context)
            looks.append(weights)
        if recorder is not None:
            recorder("decoder", 0, "cross", torch.stack(looks, dim=1)[:, None])
        return torch.cat(outputs, dim=1), torch.stack(contexts, dim=1), states


class RecurrentModel(nn.Module):
    """Encoder, decoder and shared embeddings; used as `TranslatorModel` is.

    The gated unit of Bahdanau et al. 2015 (appendix A.1.1) is here PyTorch's GRU, which resets what it remembers after
    the product with its matrix and not before.

    Args:
        config: sizes and choices.
        vocabulary: number of source tokens, and of target tokens unless `target_vocabulary` is given.
        target_vocabulary: number of target tokens when the languages do not share one vocabulary.
    """

    def __init__(self, config: RecurrentConfig, vocabulary: int, target_vocabulary: int | None = None) -> None:
        super().__init__()
        self.config, d_model, written = config, config.d_model, target_vocabulary or vocabulary
        self.target_embedding = nn.Embedding(written, d_model)
        shared = target_vocabulary is None and config.tie_embeddings
        self.source_embedding = self.target_embedding if shared else nn.Embedding(vocabulary, d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = _make_layers(config, d_model, config.n_layers, bidirectional=config.attention)
        self.decoder = AttentiveDecoder(config) if config.attention else _make_layers(config, d_model, config.n_layers)
        self.output = self.target_embedding if config.tie_embeddings else nn.Embedding(written, d_model)
        self.output_bias = nn.Parameter(torch.zeros(written))
        initialise(self)
        _initialise_recurrent(self)

    def forward(
        self,
        source: Int[Tensor, "B S"],
        source_lengths: Int[Tensor, "B"],
        target: Int[Tensor, "B T"],
        recorder: Recorder | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Logits of the token after each target position.

        Args:
            source: token ids, padded on the right.
            source_lengths: real tokens of each source sentence, at least one.
            target: token ids from the begin token on, padded on the right; a position sees no later one.
            recorder: called with ("decoder", 0, "cross", weights [B, 1, T, S]) where the model has attention.
        """
        state = self.start(source, source_lengths, target.shape[1])
        return self.logits(self._decode(target, state, recorder))

    def encode(
        self, source: Int[Tensor, "B S"], source_lengths: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B S E"], States]:
        """The states of the last layer at each token, 0 on padding, and the last states of all layers.

        Without attention the source is read backwards: what stands first is of its last token.
        """
        if not self.config.attention:
            position = torch.arange(source.shape[1], device=source.device)
            source = source.gather(1, (source_lengths[:, None] - 1 - position).clamp(min=0))
        x = self.dropout(self.source_embedding(source))
        # Packed, so that no direction reads padding: the backward one would begin with it.
        packed = pack_padded_sequence(x, source_lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed, states = _run(self.encoder, packed)
        values, _ = pad_packed_sequence(packed, batch_first=True, total_length=source.shape[1])
        return values, states

    def logits(self, features: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Scores over the target vocabulary, before the softmax."""
        return F.linear(features, self.output.weight, self.output_bias)

    def start(self, source: Int[Tensor, "B S"], source_lengths: Int[Tensor, "B"], max_length: int) -> RecurrentState:
        """Encode once; then `decode`. The states never grow, so there is nothing that `max_length` would limit."""
        values, states = self.encode(source, source_lengths)
        memory = None
        if isinstance(self.decoder, AttentiveDecoder):
            mask = padding_mask(source_lengths, source.shape[1])[:, 0, 0]
            memory = Memory(values, self.decoder.attention.key(values), mask)
            states = self.decoder.start(states[0][-1])  # the last hidden state is the last layer's backward one
        return RecurrentState(states, memory, torch.arange(len(source), device=source.device))

    def decode(self, tokens: Int[Tensor, "B T"], state: RecurrentState) -> Float[Tensor, "B V"]:
        """Append tokens to each row's past; logits of the token after the last."""
        return self.logits(self._decode(tokens, state)[:, -1])

    def _decode(
        self, tokens: Int[Tensor, "B T"], state: RecurrentState, recorder: Recorder | None = None
    ) -> Float[Tensor, "B T D"]:
        x = self.dropout(self.target_embedding(tokens))
        if isinstance(self.decoder, AttentiveDecoder):
            assert state.memory is not None, "start makes one for every model with attention"
            x, state.states = self.decoder(x, state.states, state.memory, recorder)
        else:
            x, state.states = _run(self.decoder, x, state.states)
        return self.dropout(x)


def _make_layers(config: RecurrentConfig, d_in: int, n_layers: int, bidirectional: bool = False) -> Layers:
    make = {"lstm": nn.LSTM, "gru": nn.GRU}[config.kind]
    dropout = config.dropout if n_layers > 1 else 0.0
    return make(d_in, config.d_model, n_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional)


def _run(layers: Layers, x: Tensor | PackedSequence, states: States | None = None) -> tuple[Any, States]:
    """PyTorch hands around an LSTM's hidden states and cells in a tuple, and a GRU's hidden states bare."""
    y, after = layers(x, states[0] if states and isinstance(layers, nn.GRU) else states)
    return y, after if isinstance(after, tuple) else (after,)


@torch.no_grad()
def _initialise_recurrent(model: nn.Module) -> None:
    """Draw the matrices of all recurrent layers, each gate's by itself; biases are zero but for the forget gates'.

    From inputs: Glorot & Bengio 2010, equation 16. From step to step: orthogonal, which neither swells nor shrinks what
    it carries (Saxe et al. 2014; Bahdanau et al. 2015, appendix B.1). Forget gates begin open, with a bias of 1: at
    zero they would halve a cell at each step (Jozefowicz et al. 2015).
    """
    for module in model.modules():
        if not isinstance(module, nn.LSTM | nn.GRU):
            continue
        for name, parameter in module.named_parameters():
            for gate, part in enumerate(parameter.chunk(parameter.shape[0] // module.hidden_size)):
                if name.startswith("weight_hh"):
                    nn.init.orthogonal_(part)
                elif name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(part)
                else:  # bias_ih and bias_hh are added; an LSTM's gates are input, forget, cell, output
                    forget = isinstance(module, nn.LSTM) and name.startswith("bias_ih") and gate == 1
                    nn.init.constant_(part, float(forget))
