"""What must hold for the decoder that draws: cached = uncached, batch = single, no look ahead, whatever the pattern."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2Model

from qkv.generation import Beam, ForcedPrefix, Greedy, Guided, GuidedState, Sampling, Strategy, generate
from qkv.models.dalle import Dalle, DalleConfig
from qkv.models.weights import get_weights

VOCABULARY, CODES, TEXT, GRID = 11, 7, 6, 4
N = GRID**2
LENGTHS = torch.tensor([4, 1, 6, 0])
PATTERNS = [("full",), ("row",), ("column",), ("convolution",), ("row", "column", "row", "convolution")]


def make_model(*attention, **options) -> Dalle:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": max(2, len(attention)), "d_ff": 24, "text_length": TEXT}
    config = DalleConfig(**{**sizes, "grid": GRID, "attention": attention or ("full",), "kernel": 3, **options})
    model = Dalle(config, VOCABULARY, CODES).eval()
    for parameter in model.parameters():  # large weights: differences would show
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


@pytest.fixture(params=PATTERNS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Dalle:
    return make_model(*request.param)


@pytest.fixture(params=[("full",), ("row", "column", "convolution")], ids="-".join)
def artist(request: pytest.FixtureRequest) -> Dalle:
    """For what runs the loop of generation: everything, and all that is sparse at once."""
    return make_model(*request.param)


@pytest.fixture
def captions() -> Tensor:
    return torch.randint(VOCABULARY, (4, TEXT), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def codes() -> Tensor:
    return torch.randint(CODES, (4, N), generator=torch.Generator().manual_seed(2))


def begin(model: Dalle, codes: Tensor) -> Tensor:
    """What decoding reads where `forward` is given `codes`, the last one included."""
    return F.pad(codes, (1, 0), value=model.begin)


def draw(model: Dalle, captions: Tensor, lengths: Tensor, strategy: Strategy, prefix: Tensor | None = None, **options):
    prompt = begin(model, captions.new_empty(len(captions), 0) if prefix is None else prefix)
    with torch.inference_mode():
        state = model.start(captions, lengths, N)
    limit = N + 1 - prompt.shape[1]
    return generate(model.decode, state, prompt, strategy, end_id=model.begin, max_length=limit, **options)


@torch.no_grad()
def test_no_position_sees_a_later_token(model: Dalle, captions: Tensor, codes: Tensor):
    lengths = torch.full((4,), TEXT)
    text, image = model(captions, lengths, codes)
    for position in range(TEXT):
        changed = captions.clone()
        changed[:, position] = (changed[:, position] + 1) % VOCABULARY
        new_text, new_image = model(changed, lengths, codes)
        assert torch.equal(new_text[:, : position + 1], text[:, : position + 1])
        assert (new_text[:, position + 1 :] != text[:, position + 1 :]).any(dim=-1).all()
        assert (new_image != image).any(dim=-1).all()  # every image token sees all the text
    for position in range(N):
        changed = codes.clone()
        changed[:, position] = (changed[:, position] + 1) % CODES
        new_text, new_image = model(captions, lengths, changed)
        assert torch.equal(new_text, text)
        assert torch.equal(new_image[:, : position + 1], image[:, : position + 1])
        assert position == N - 1 or (new_image[:, position + 1] != image[:, position + 1]).any(dim=-1).all()


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [("full", range(11)), ("row", range(6, 11)), ("column", (2, 6, 10)), ("convolution", (5, 6, 7, 9, 10))],
)
@torch.no_grad()
def test_one_layer_sees_what_its_pattern_says(pattern: str, seen, captions: Tensor, codes: Tensor):
    model = make_model(pattern, n_layers=1)
    _, before = model(captions, LENGTHS, codes)
    for cell in range(N):
        changed = codes.clone()
        changed[:, cell] = (changed[:, cell] + 1) % CODES
        _, after = model(captions, LENGTHS, changed)
        # The logits of token 11 are read where token 10 is.
        assert torch.equal(after[:, 11], before[:, 11]) == (cell not in seen)
    model.image_embedding.weight[model.begin, 0] += 1
    _, after = model(captions, LENGTHS, codes)
    assert ((after - before).abs().amax(dim=-1) > 1e-4).all()  # the begin token counts as text


@pytest.mark.parametrize("chunks", [[1] * N, [1, 4, 3, 8], [9, 7], [N]], ids=str)
@torch.no_grad()
def test_decoding_with_a_cache_equals_decoding_at_once(
    model: Dalle, captions: Tensor, codes: Tensor, chunks: list[int]
):
    _, expected = model(captions, LENGTHS, codes)
    state = model.start(captions, LENGTHS, N)
    end = 0
    for chunk in begin(model, codes[:, :-1]).split(chunks, dim=1):
        end += chunk.shape[1]
        torch.testing.assert_close(model.decode(chunk, state), expected[:, end - 1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_reordered_rows_go_on_from_their_own_past(model: Dalle, captions: Tensor, codes: Tensor):
    rows = torch.tensor([2, 0, 0, 1, 3, 3])
    state = model.start(captions, LENGTHS, N)
    model.decode(begin(model, codes[:, :5]), state)
    state.reorder(rows)
    _, expected = model(captions[rows], LENGTHS[rows], codes[rows, :9])
    torch.testing.assert_close(model.decode(codes[rows, 5:8], state), expected[:, -1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_neither_batch_nor_padding_changes_the_logits(model: Dalle, captions: Tensor, codes: Tensor):
    text, image = model(captions, LENGTHS, codes)
    beyond = torch.arange(TEXT) >= LENGTHS[:, None]
    for together, after in zip((text, image), model(captions.masked_fill(beyond, 5), LENGTHS, codes), strict=True):
        assert torch.equal(together, after)
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone = model(captions[one, :length], LENGTHS[one], codes[one])
        assert alone[0].shape == (1, length, VOCABULARY)
        torch.testing.assert_close(alone[0][0], text[row, :length], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone[1][0], image[row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_padding_of_each_position_is_a_token_of_its_own(model: Dalle, captions: Tensor, codes: Tensor):
    _, before = model(captions, LENGTHS, codes)
    for position in range(TEXT):
        model.blanks.table[1 + position, 0] += 1  # one number: the layers are blind to a shift of all
        _, after = model(captions, LENGTHS, codes)
        model.blanks.table[1 + position, 0] -= 1
        padded = position >= LENGTHS
        assert ((after - before)[padded].abs().amax(dim=-1) > 1e-4).all()
        torch.testing.assert_close(after[~padded], before[~padded], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strategy", [Greedy(), Sampling(n=2, temperature=2.0), Beam(size=3, n_best=3)], ids=str)
def test_a_drawing_does_not_depend_on_the_batch_and_rescores_to_its_score(
    artist: Dalle, captions: Tensor, strategy: Strategy
):
    together = draw(artist, captions, LENGTHS, strategy)
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        (alone,) = draw(artist, captions[one, :length], LENGTHS[one], strategy)
        assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
        for h in alone:
            assert len(h.tokens) == N
            codes = torch.tensor([h.tokens])
            with torch.no_grad():
                _, logits = artist(captions[one], LENGTHS[one], codes)
            rescored = logits.log_softmax(dim=-1).gather(2, codes[..., None]).sum().item()
            assert h.log_probability == pytest.approx(rescored, abs=1e-3)


def test_more_samples_leave_a_drawing_as_it_was_and_captions_have_their_own(artist: Dalle, captions: Tensor):
    few, many = (draw(artist, captions, LENGTHS, Sampling(seed=5, n=n)) for n in (1, 3))
    for one, several in zip(few, many, strict=True):
        assert one[0].tokens in {h.tokens for h in several}
        assert len({h.tokens for h in several}) == 3
    assert len({one[0].tokens for one in few}) == 4


@torch.no_grad()
def sample_without_a_cache(
    model: Dalle, captions: Tensor, lengths: Tensor, strategy: Sampling
) -> list[list[tuple[int, ...]]]:
    """Every token from a whole pass over all before it, by the same loop, which then has nothing to remember."""

    class Past:
        def __init__(self) -> None:
            self.captions, self.lengths, self.tokens = captions, lengths, captions.new_empty(len(captions), 0)

        def reorder(self, rows: Tensor) -> None:
            self.captions, self.lengths, self.tokens = self.captions[rows], self.lengths[rows], self.tokens[rows]

    def decode(tokens: Tensor, past: Past) -> Tensor:
        past.tokens = torch.cat([past.tokens, tokens], dim=1)
        # `forward` puts the begin token in front itself and leaves out the last one, which may thus be any.
        return model(past.captions, past.lengths, F.pad(past.tokens[:, 1:], (0, 1)))[1][:, -1]

    prompt = torch.full((len(captions), 1), model.begin)
    found = generate(decode, Past(), prompt, strategy, end_id=model.begin, max_length=N)
    return [[h.tokens for h in hypotheses] for hypotheses in found]


def test_a_seed_draws_the_same_with_the_cache_and_without(artist: Dalle, captions: Tensor):
    strategy = Sampling(seed=3, n=2, top_k=5, top_p=0.95)
    cached = draw(artist, captions, LENGTHS, strategy)
    assert [[h.tokens for h in hypotheses] for hypotheses in cached] == sample_without_a_cache(
        artist, captions, LENGTHS, strategy
    )


def test_a_drawing_goes_on_from_given_rows(artist: Dalle, captions: Tensor, codes: Tensor):
    given = codes[:, : 2 * GRID]
    primed = draw(artist, captions, LENGTHS, Greedy(), given)
    forced = draw(artist, captions, LENGTHS, Greedy(), filters=[ForcedPrefix(given.tolist())])
    plain = draw(artist, captions, LENGTHS, Greedy())
    for row, (one, other, third) in enumerate(zip(primed, forced, plain, strict=True)):
        assert (*given[row].tolist(), *one[0].tokens) == other[0].tokens
        assert len(other[0].tokens) == N
        assert other[0].tokens != third[0].tokens


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_is_its_formula(artist: Dalle, captions: Tensor, scale: float):
    """Ho & Salimans 2022, equation 6, from whole passes without a cache; no condition is an empty caption."""
    nothing = torch.zeros_like(LENGTHS)
    with torch.inference_mode():
        twins = artist.start(captions.repeat(2, 1), torch.cat([LENGTHS, nothing]), N)
    state, decode = GuidedState(twins, len(captions)), Guided(artist.decode, scale)
    prompt = torch.full((4, 1), artist.begin)
    found = generate(decode, state, prompt, Beam(size=2, n_best=2), end_id=artist.begin, max_length=N)
    for row, hypotheses in enumerate(found):
        for h in hypotheses:
            codes = torch.tensor([h.tokens])
            with torch.no_grad():
                _, asked = artist(captions[row : row + 1], LENGTHS[row : row + 1], codes)
                _, unasked = artist(captions[row : row + 1], nothing[:1], codes)
            guided = (unasked + scale * (asked - unasked)).log_softmax(dim=-1)
            assert h.log_probability == pytest.approx(guided.gather(2, codes[..., None]).sum().item(), abs=1e-3)


def test_it_is_gpt_2_over_one_vocabulary(captions: Tensor, codes: Tensor):
    """With full attention, against Hugging Face: every kind of token a word of one table, every position a row."""
    model = make_model("full", n_layers=3)
    width, length = 16, 2 + TEXT + N - 1
    theirs = GPT2Model(
        GPT2Config(
            vocab_size=VOCABULARY + 1 + TEXT + CODES + 1,
            n_positions=length,
            n_embd=width,
            n_layer=3,
            n_head=2,
            n_inner=24,
            activation_function="gelu",
            attn_implementation="eager",
        )
    ).eval()
    with torch.no_grad():
        image = torch.cat([model.rows.table.repeat_interleave(GRID, 0) + model.columns.table.repeat(GRID, 1)])
        tables = (model.text_embedding.weight, model.blanks.table, model.image_embedding.weight)
        theirs.wte.weight.copy_(torch.cat(tables))
        theirs.wpe.weight.copy_(torch.cat([model.text_positions.table, torch.zeros(1, width), image[:-1]]))
        for ours, block in zip(model.decoder.blocks, theirs.h, strict=True):
            attention = ours.self_attention
            projections = attention.query, attention.key, attention.value
            block.attn.c_attn.weight.copy_(torch.cat([p.weight for p in projections]).T)
            block.attn.c_attn.bias.copy_(torch.cat([p.bias for p in projections]))
            linears = (attention.output, block.attn.c_proj), (ours.feed_forward.inner, block.mlp.c_fc)
            for linear, conv in (*linears, (ours.feed_forward.outer, block.mlp.c_proj)):
                conv.weight.copy_(linear.weight.T)
                conv.bias.copy_(linear.bias)
            block.ln_1.load_state_dict(ours.self_norm.state_dict())
            block.ln_2.load_state_dict(ours.feed_forward_norm.state_dict())
        theirs.ln_f.load_state_dict(model.decoder.norm.state_dict())
        position = torch.arange(TEXT)
        padded = torch.where(position < LENGTHS[:, None], captions, VOCABULARY + 1 + position)
        first = torch.full((4, 1), VOCABULARY)
        words = torch.cat([first, padded, VOCABULARY + 1 + TEXT + begin(model, codes[:, :-1])], dim=1)
        features = theirs(words).last_hidden_state
        text, pixels = model(captions, LENGTHS, codes)
    torch.testing.assert_close(text, model.text_head(features[:, :TEXT]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pixels, model.image_head(features[:, TEXT + 1 :]), atol=1e-4, rtol=1e-4)


def test_it_learns_to_draw_what_a_caption_says():
    torch.manual_seed(0)
    config = DalleConfig(d_model=32, n_heads=2, n_layers=2, d_ff=64, text_length=3, grid=3, dropout=0.0)
    model = Dalle(config, 8, 8)
    captions, codes = torch.arange(8)[:, None], torch.arange(8)[:, None].expand(8, 9)
    lengths = torch.ones(8, dtype=torch.long)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        _, logits = model(captions, lengths, codes)
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), codes.flatten()).backward()
        optimizer.step()
    prompt = torch.full((8, 1), model.begin)
    for strategy in (Greedy(), Sampling(top_p=0.5)):
        with torch.inference_mode():
            state = model.eval().start(captions, lengths, 9)
        found = generate(model.decode, state, prompt, strategy, end_id=model.begin, max_length=9)
        assert [one.tokens for (one,) in found] == [(code,) * 9 for code in range(8)]


def test_gradients_reach_every_parameter(captions: Tensor, codes: Tensor):
    model = make_model("row", "column", "convolution")
    text, image = model(captions, LENGTHS, codes)
    (text.log_softmax(dim=-1)[..., 4].sum() + image.log_softmax(dim=-1)[..., 4].sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A bias of all keys shifts every score of a query alike, so the softmax takes it out.
        assert name.endswith("key.bias") or parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_the_recorder_sees_every_attention_and_changes_nothing(model: Dalle, captions: Tensor, codes: Tensor):
    seen: dict[int, Tensor] = {}

    def record(layer: int, kind: str, weights: Tensor) -> None:
        seen[layer] = weights

    recorded = model(captions, LENGTHS, codes, record)
    for one, other in zip(recorded, model(captions, LENGTHS, codes), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    length = TEXT + 2 + N - 1
    assert {layer: weights.shape for layer, weights in seen.items()} == dict.fromkeys(
        range(model.config.n_layers), (4, 2, length, length)
    )


def test_masks_are_no_weights():
    assert get_weights(make_model("row")).keys() == get_weights(make_model("full")).keys()


def test_layers_take_their_patterns_in_turn():
    config = DalleConfig(n_layers=5, attention=("row", "column"))
    assert config.patterns == ("row", "column", "row", "column", "row")


def test_what_does_not_fit_is_refused(captions: Tensor, codes: Tensor):
    model = make_model("full")
    with pytest.raises(ValueError, match="a caption of 7 tokens is longer than text_length, 6"):
        model(F.pad(captions, (0, 1)), LENGTHS, codes)
    with pytest.raises(ValueError, match="a picture has 16 tokens and position 17"):
        model(captions, LENGTHS, F.pad(codes, (0, 1)))
    state = model.start(captions, LENGTHS, N)
    with pytest.raises(ValueError, match="a picture has 16 tokens and position 17"):
        model.decode(begin(model, codes), state)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text_length": 0}, "text_length must be at least 1, not 0"),
        ({"grid": 0}, "grid must be at least 1, not 0"),
        ({"kernel": 4}, "kernel must be a positive odd number, not 4"),
        ({"kernel": -1}, "kernel must be a positive odd number, not -1"),
        ({"attention": ()}, r"attention must list one or more of full, row, column, convolution, not \[\]"),
        ({"attention": ("row", "diagonal")}, "diagonal"),
        ({"d_model": 0}, "d_model must be at least 1, not 0"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_refused_by_name(fields: dict, words: str):
    config = DalleConfig()
    for name, value in fields.items():  # past the type checks of the tests, which users do not have
        object.__setattr__(config, name, value)
    with pytest.raises(ValueError, match=words):
        config.__post_init__()
