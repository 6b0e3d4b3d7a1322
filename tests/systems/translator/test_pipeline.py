import json
import shutil

import pytest
import torch

import qkv
from hostile import ALPHABETS, hostile_lines, text
from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.tokenizer import BEGIN, END
from qkv.errors import QkvError
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.result import Translation
from qkv.systems.translator.saved import Saved
from tiny import lines

SENTENCE = "two dogs are playing in the snow."


def test_a_string_gives_a_translation_and_a_list_a_list(translator):
    one = translator.translate(SENTENCE, to="de", from_="en")
    assert isinstance(one, Translation)
    assert translator.translate([SENTENCE, "", SENTENCE], to="de")[::2] == [one, one]
    assert translator.translate([], to="de") == []


@pytest.mark.parametrize("options", [{}, {"beam_size": 1}, {"temperature": 1.0, "seed": 3}])
def test_a_translation_does_not_depend_on_its_neighbours(translator, options):
    texts = [*lines("en", 3), "two dogs. " * 12, "", *lines("fr", 2)]
    together = translator.translate(texts, to="de", **options)
    reverse = translator.translate(texts[::-1], to="de", **options)[::-1]
    for source, a, b in zip(texts, together, reverse):
        alone = translator.translate(source, to="de", **options)
        assert a.text == b.text == alone.text
        assert a.flags == b.flags == alone.flags
        assert a.score == pytest.approx(alone.score, abs=1e-5) == b.score


@torch.inference_mode()
def test_score_is_the_mean_log_probability_of_a_token(translator):
    translated = zip(lines("en", 20), translator.translate(lines("en", 20), to="de", beam_size=1))
    sentence, translation = next(
        (line, done) for line, done in translated if done.text and "length_limit" not in done.flags
    )
    [source] = translator.codec.encode_source([sentence], "de")
    # Follow the greedy path by hand, without a cache.
    tokens, total = [BEGIN], 0.0
    while tokens[-1] != END:
        logits = translator.model(torch.tensor([source]), torch.tensor([len(source)]), torch.tensor([tokens]))[0, -1]
        best = logits.log_softmax(dim=-1).max(dim=-1)
        tokens.append(int(best.indices))
        total += float(best.values)
    assert translation.text == translator.codec.decode([tokens])[0].strip()
    assert translation.score == pytest.approx(total / (len(tokens) - 1), abs=1e-5)
    plain = translator.translate(sentence, to="de", beam_size=1, length_penalty=0.0)
    assert plain.score == pytest.approx(total, abs=1e-4)


def test_over_long_text_is_the_translations_of_its_sentences(translator):
    sentences = [line.capitalize() for line in lines("en", 9)[3:]]
    whole = translator.translate(" ".join(sentences), to="fr")
    parts = translator.translate(sentences, to="fr")
    assert whole.text == " ".join(part.text for part in parts if part.text)
    assert "split" in whole.flags
    assert not any("split" in part.flags for part in parts)


@pytest.mark.parametrize("between", ["\n", " ", "\r\n", "\u2028", " \u00ad", "\u200b \u2060"])
def test_short_text_of_several_sentences_too(translator, between):
    sentences = ["Two dogs are playing.", "A man is singing.", "A girl walks."]
    parts = translator.translate(sentences, to="de", beam_size=1)
    whole = translator.translate(between.join(sentences), to="de", beam_size=1)
    assert whole.text == " ".join(part.text for part in parts if part.text)
    assert "split" in whole.flags and not any("split" in part.flags for part in parts)
    assert "".join(translator.stream(between.join(sentences), to="de")) == whole.text


def test_characters_that_nobody_sees_change_nothing(translator):
    hidden = "\ufeff" + "\u00ad".join(SENTENCE) + "\u2069"
    assert translator.translate(hidden, to="de") == translator.translate(SENTENCE, to="de")
    assert "".join(translator.stream(hidden, to="de")) == "".join(translator.stream(SENTENCE, to="de"))


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_any_text_streams_to_its_greedy_translation(translator, alphabet):
    for length in (2, 30):
        source = text(alphabet, length)
        whole = translator.translate(source, to="de", beam_size=1)
        assert "".join(translator.stream(source, to="de")) == whole.text
        assert whole.text.isprintable()


@pytest.mark.parametrize("name", ["DE", "deu", "ger", "german", "Deutsch"])
def test_languages_may_be_called_by_their_names(translator, name):
    assert translator.translate(SENTENCE, to=name, from_="English") == translator.translate(SENTENCE, to="de")
    assert translator.languages(name, "ENG") == ("de", "en")
    assert "".join(translator.stream(SENTENCE, to=name)) == translator.translate(SENTENCE, to="de", beam_size=1).text
    with pytest.raises(QkvError, match="is in 'de' already"):
        translator.translate(SENTENCE, to=name, from_="de")


def test_streaming_gives_pieces(translator):
    pieces = list(translator.stream("two dogs are playing.", to="de"))
    assert len(pieces) > 5 and all(pieces)


def test_hostile_texts_come_back_in_order(translator):
    texts = hostile_lines(64, longest=100)
    together = translator.translate(texts, to="de", beam_size=2)
    assert [t.text for t in together[::8]] == [translator.translate(x, to="de", beam_size=2).text for x in texts[::8]]
    for source, translation in zip(texts, together):
        assert ("empty" in translation.flags) == (not any(map(str.isprintable, source.replace(" ", ""))) or not source)


def test_n_best(translator):
    best = translator.translate(SENTENCE, to="de", n_best=4)
    assert 1 < len(best.n_best) <= 4
    assert (best.text, best.score, best.flags) == (best.n_best[0].text, best.n_best[0].score, best.n_best[0].flags)
    assert len({other.text for other in best.n_best}) == len(best.n_best)
    assert translator.translate(SENTENCE, to="de").n_best == ()
    [empty] = translator.translate(" ", to="de", n_best=4).n_best
    assert empty.flags == ("empty",)


def test_sampling_depends_on_the_seed_alone(translator):
    def sample(seed):
        return translator.translate(SENTENCE, to="de", seed=seed, top_p=0.9).text

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in range(5)}) > 1


def test_lengths(translator):
    short = translator.translate("two dogs are playing.", to="de", beam_size=1, max_length=3)
    assert short.flags == ("length_limit",)
    at_least = translator.translate(SENTENCE, to="de", beam_size=1, min_length=40)
    assert len(translator.codec.encode_target([at_least.text])[0]) > 10


def test_prefix_begins_the_translation_of_the_first_part_only(translator):
    prefix = "zwei Hunde"
    assert translator.translate(SENTENCE, to="de", prefix=prefix).text.startswith(prefix)
    long = translator.translate(" Two dogs play." * 20, to="de", prefix=prefix, beam_size=1)
    plain = translator.translate(" Two dogs play." * 20, to="de", beam_size=1)
    assert long.text.startswith(prefix) and not plain.text.startswith(prefix)
    assert long.text.count(prefix) == plain.text.count(prefix) + 1
    assert translator.translate("", to="de", prefix=prefix).text == ""


def test_no_repeat_ngram(translator):
    translated = zip(lines("en", 12), translator.translate(lines("en", 12), to="de"))
    source = next(line for line, translation in translated if translation.flags == ("repeated",))
    assert translator.translate(source, to="de", no_repeat_ngram=2).flags != ("repeated",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "dee"}, r"does not translate into 'dee'; did you mean 'de'\? choose from de, en, fr"),
        ({"to": "xx"}, r"does not translate into 'xx'; choose from de, en, fr"),
        ({"to": "germn"}, r"does not translate into 'germn'; did you mean 'german'\? choose from de, en, fr"),
        ({"to": "de-AT"}, r"does not translate into 'de-AT'; did you mean 'de'\? choose from de, en, fr"),
        ({"to": "korean"}, "does not translate into 'korean'; "),
        ({"to": "de", "from_": "es"}, "does not translate from 'es'"),
        ({"to": "de", "from_": "de"}, "is in 'de' already"),
        ({"to": "de", "beam_size": 0}, "size of at least 1"),
        ({"to": "de", "beam_size": 2, "n_best": 3}, "n_best must be from 1"),
        ({"to": "de", "n_best": 0}, "n_best must be at least 1"),
        ({"to": "de", "beam_size": 5, "temperature": 0.5}, "temperature asks for sampling, beam_size=5"),
        ({"to": "de", "seed": 1, "top_k": 5, "length_penalty": 1.0}, "top_k and seed ask for sampling"),
        ({"to": "de", "top_p": 1.5}, "top_p must be above 0"),
        ({"to": "de", "min_length": 5, "max_length": 5}, r"max_length \(5\) must be above min_length \(5\)"),
        ({"to": "de", "min_length": -1}, "must not be negative"),
        ({"to": "de", "no_repeat_ngram": 0}, "at least 1 token"),
        ({"to": "de", "max_length": 1, "prefix": "zwei Hunde spielen"}, "the prefix has"),
    ],
)
def test_refusals_are_one_line(translator, options, message):
    with pytest.raises(QkvError, match=message) as caught:
        translator.translate(SENTENCE, **options)
    assert "\n" not in str(caught.value)


def test_direction_that_was_not_trained(translator):
    directions = (("en", "de"), ("de", "en"), ("en", "fr"))
    codec = Codec(translator.codec.source, translator.codec.target, directions, target_tags=True)
    part = Translator(Saved.of(translator.model.config, codec, 24), codec, Engine(translator.model))
    with pytest.raises(QkvError, match="into 'fr' from en only, not from 'de'"):
        part.translate("ein Mann", to="fr", from_="de")


def test_learned_positions_are_never_exceeded(translator):
    config = TranslatorConfig(d_model=8, n_heads=1, n_layers=1, d_ff=8, positions="learned", max_length=12)
    model = open_engine(TranslatorModel(config, translator.codec.vocabulary))
    learned = Translator(Saved.of(config, translator.codec, 100), translator.codec, model)
    result = learned.translate([SENTENCE * 5, "漢字" * 20, "ok"], to="de", min_length=0)
    assert [translation.text.isprintable() for translation in result] == [True] * 3


def test_progress_ends_at_the_total(translator):
    calls = []
    translator.translate(lines("en", 30), to="de", progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls) and calls[-1][0] == calls[-1][1] > 0


def test_load_by_name_folder_and_run(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "run" / "model")
    assert qkv.load(tmp_path / "run").translate(SENTENCE, to="de") == qkv.load(model_folder).translate(
        SENTENCE, to="de"
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("system", "rnn", "system is 'rnn'; choose from classifier"),
        ("vocabulary", 7, "vocabulary sizes are not those of the tokenizer"),
        ("max_source_tokens", None, "config.json: max_source_tokens: .*, not None; restore the file"),
        ("max_source_tokens", 0, "config.json: max_source_tokens must be at least 1, not 0; restore the file"),
        ("model", {"d_modl": 16}, "unknown field 'model.d_modl'; did you mean 'd_model'"),
        ("model", {"d_model": 32, "n_heads": 2, "n_layers": 1, "d_ff": 32, "tie_embeddings": False}, "the model needs"),
        ("directions", [["en", "xx"]], "no language 'xx'"),
    ],
)
def test_damaged_model_is_one_line(model_folder, tmp_path, field, value, message):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(QkvError, match=message) as caught:
        qkv.load(folder)
    assert "\n" not in str(caught.value)
