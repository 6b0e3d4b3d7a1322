"""Where sentences end, in the languages of the bundled model and others; nothing is lost, captions stay whole."""

import pytest

from hostile import ALPHABETS, text
from qkv.systems.translator.boundaries import sentences
from qkv.systems.translator.sentences import join

SEVERAL = [
    ["Two dogs are playing in the snow. ", "A man is singing."],
    ["Two dogs are playing.\n", "A man is singing.\r\n\n", "A cat"],
    ["two dogs\n", "two cats\u2028", "three birds"],
    ["two dogs are playing. ", "a man is singing. ", "and a cat sleeps"],
    ["Stop! ", "A man is running. ", "Why? ", "Nobody knows... ", "They wait."],
    ['He said "go on now please." ', "She went away then."],
    ['"Really?" she asks. ', '"Yes!" ', "He smiles. ", "(They leave.) ", "Nobody is left."],
    ["In 1990. ", "There were 12. ", "They ran at 5 p.m. ", "The man left for the U.S. ", "The end, etc. ", "He left."],
    ["He took vitamin C. ", "It helped. ", "No. ", "Look at me. ", "3 men came."],
    ["Two dogs .  ", "A man sings ."],
    ["Ein Mann läuft am 3. Mai. ", "Der Hund bellt z. B. Kinder an. ", "„Halt!“ ", "Er ruft »Na.« ", "Sie geht."],
    ["Le chien court\u00a0! ", "L'homme rit. ", "« Attention ! » ", "Elle crie. ", "C'est M. Le Brun."],
    ["Muž běží např. Prahou. ", "Žena zpívá v 5. patře. ", "Pes štěká."],
    ["개 두 마리가 놀고 있다. ", "남자가 노래한다! ", "여자는 3.5km를 걷는다."],
    ["两只狗在玩耍。", "一个男人在唱歌！", "他说：“你好。”然后走了。", "为什么？？"],
    ["犬が遊んでいる。", "「行く。帰る。」と男が言った。", "「はい。」", "「いいえ。」\u3000", "雪が降る。"],
    ["Он бежит. ", "Она поёт. ", "¿Qué pasa? ", "¡Nada! ", "Ya."],
    ["Hello. ", "😀 Two dogs run. ", "— A man sings. ", "[Applause] They bow. ", "They left. 😀"],
    ["هل تلعب الكلاب؟ ", "نعم."],
    ["कुत्ते खेल रहे हैं। ", "आदमी गाता है।"],
]

ONE = [
    "A man in a Dr. Seuss shirt stands at St. Patrick's Cathedral, No. 5, with Mr. Potato Head vs. Mrs. Klaus.",
    "J. R. R. Tolkien and John A. Noble work for the U.S. Army, E.S.E. Electronics and approx. 3 others.",
    "A woman likes fruit, e.g. Apples, i.e. The Big Apple.",
    "It costs 3.14 euros at www.example.com, v1.2.3, and 10.000 Dollar.",
    "Well... this is it!",
    '"Stop!" he said, "really?" and left…',
    "A shirt says got rocks? and FROG! stands there.",
    "Ein Mann feiert seinen 20. Geburtstag, den 4. Juli und das 19. Jahrhundert unter Karl IV. Krone.",
    "Das ist z. B. Der Spiegel, d.h. Die Zeitung bzw. Das Blatt, vgl. Abb. 3 und Nr. 7.",
    "Un garçon lit «\u00a0Attention\u00a0!\u00a0» et rit avec Mme Le Pen et p. ex. Les autres.",
    "Hráč č. 5 ze 40. let má např. Ten míč, tzv. Mrs. a 18. ulici.",
    "1. The first item",
    "2020. 5. 1. 회의",
    "彼は「行く。帰る。」と言った",
    "他来了（很晚。然后走了。）但是",
    "A dog.",
    "A dog. ",
    "\n A dog.\n\n",
    "...",
    "😀. 😀! 😀",
    "dogs. 😀",
    "",
    " ",
    "word",
    "no mark at all\u00a0here",
]


@pytest.mark.parametrize("parts", SEVERAL)
def test_several_sentences(parts):
    assert sentences("".join(parts)) == parts


@pytest.mark.parametrize("whole", ONE)
def test_one_sentence(whole):
    assert sentences(whole) == [whole]


REPEATED = [". ", "a. ", "。", "「。", "a.b.", "\n", "a\n", "1. ", '"! ', '!"', "a b. c", "»", "\u00a0» "]


@pytest.mark.parametrize("whole", [*(unit * 30_000 for unit in REPEATED), *(text(name, 60_000) for name in ALPHABETS)])
def test_nothing_is_lost_and_each_sentence_holds_a_word(whole):
    """At lengths at which a step that looks at all of the rest would take hours."""
    for part in (whole[:5], whole[:100], whole):
        found = sentences(part)
        assert "".join(found) == part
        assert len(found) == 1 or all(any(map(str.isalnum, sentence)) for sentence in found)


def test_line_feeds_become_spaces_in_any_script():
    assert join(["a\n", "b\r\n  ", "c"], ["一", "二", "三"]) == "一 二 三"
