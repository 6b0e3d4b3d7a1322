"""Languages by every name that people call them: "de", "DE", "deu", "ger", "German", "Deutsch".

A table of the common ones. A language that is not in it goes by whatever it is called in the data.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from qkv.errors import QkvError

# Codes of ISO 639-1 (or 639-3 where there is none) and 639-2 and 639-3, then names in English and in the language.
_TABLE = """
af afr: Afrikaans
am amh: Amharic, አማርኛ
ar ara arb: Arabic, العربية
az aze: Azerbaijani, Azeri, azərbaycan, azərbaycan dili, azərbaycanca
be bel: Belarusian, Belarussian, беларуская
bg bul: Bulgarian, български
bn ben: Bengali, Bangla, বাংলা
bo bod tib: Tibetan, བོད་སྐད་
bs bos: Bosnian, bosanski
ca cat: Catalan, català
cs ces cze: Czech, čeština, česky
cy cym wel: Welsh, Cymraeg
da dan: Danish, dansk
de deu ger: German, Deutsch
el ell gre: Greek, ελληνικά
en eng: English
eo epo: Esperanto
es spa: Spanish, Castilian, español, castellano
et est: Estonian, eesti, eesti keel
eu eus baq: Basque, euskara
fa fas per: Persian, Farsi, فارسی
fi fin: Finnish, suomi
fr fra fre: French, français
fy fry: Western Frisian, West Frisian, Frisian, Frysk
ga gle: Irish, Gaeilge
gl glg: Galician, galego
gu guj: Gujarati, ગુજરાતી
ha hau: Hausa
he heb: Hebrew, עברית
hi hin: Hindi, हिन्दी
hr hrv: Croatian, hrvatski
hu hun: Hungarian, magyar
hy hye arm: Armenian, հայերեն
id ind: Indonesian, Indonesia, Bahasa Indonesia
ig ibo: Igbo
is isl ice: Icelandic, íslenska
it ita: Italian, italiano
ja jpn: Japanese, 日本語
jv jav: Javanese, basa Jawa
ka kat geo: Georgian, ქართული
kk kaz: Kazakh, қазақша, қазақ тілі
km khm: Khmer, Cambodian, ខ្មែរ
kn kan: Kannada, ಕನ್ನಡ
ko kor: Korean, 한국어, 한국말, 조선말
ku kur: Kurdish, kurdî
ky kir: Kyrgyz, Kirghiz, кыргызча
la lat: Latin, latina
lb ltz: Luxembourgish, Lëtzebuergesch
lo lao: Lao, ລາວ
lt lit: Lithuanian, lietuvių
lv lav: Latvian, latviešu
mg mlg: Malagasy
mk mkd mac: Macedonian, македонски
ml mal: Malayalam, മലയാളം
mn mon: Mongolian, монгол
mr mar: Marathi, मराठी
ms msa may: Malay, Melayu, Bahasa Melayu
mt mlt: Maltese, Malti
my mya bur: Burmese, မြန်မာ
nb nob: Norwegian Bokmål, norsk bokmål, Bokmål
ne nep: Nepali, नेपाली
nl nld dut: Dutch, Flemish, Nederlands
nn nno: Norwegian Nynorsk, norsk nynorsk, Nynorsk
no nor: Norwegian, norsk
or ori: Odia, Oriya, ଓଡ଼ିଆ
pa pan: Punjabi, Panjabi, ਪੰਜਾਬੀ
pl pol: Polish, polski
ps pus: Pashto, پښتو
pt por: Portuguese, português
ro ron rum: Romanian, Moldavian, română
ru rus: Russian, русский
rw kin: Kinyarwanda, Ikinyarwanda
sa san: Sanskrit, संस्कृतम्, संस्कृत भाषा
sd snd: Sindhi, سنڌي
si sin: Sinhala, Sinhalese, සිංහල
sk slk slo: Slovak, slovenčina
sl slv: Slovenian, Slovene, slovenščina
so som: Somali, Soomaali
sq sqi alb: Albanian, shqip
sr srp: Serbian, српски, srpski
sv swe: Swedish, svenska
sw swa: Swahili, Kiswahili
ta tam: Tamil, தமிழ்
te tel: Telugu, తెలుగు
tg tgk: Tajik, тоҷикӣ
th tha: Thai, ไทย
tk tuk: Turkmen, türkmençe, türkmen dili
tl tgl fil: Tagalog, Filipino, Pilipino
tr tur: Turkish, Türkçe
tt tat: Tatar, татар, татарча
ug uig: Uyghur, Uighur, ئۇيغۇرچە
uk ukr: Ukrainian, українська
ur urd: Urdu, اردو
uz uzb: Uzbek, o‘zbek, oʻzbekcha
vi vie: Vietnamese, tiếng Việt
xh xho: Xhosa, isiXhosa
yi yid: Yiddish, ייִדיש
yo yor: Yoruba, Yorùbá, Èdè Yorùbá
yue: Cantonese, 粵語, 粤语, 廣東話
zh zho chi cmn: Chinese, Mandarin, 中文, 汉语, 漢語
zu zul: Zulu, isiZulu
"""
_CLOSE = 0.8
_SEPARATOR = re.compile("[-_]")


def find(asked: str, known: Sequence[str], otherwise: str = "there is no language") -> str:
    """The one of several codes that a language is known by, whatever it is called; upper and lower case are one.

    A code without script or region ("zh", "Chinese") stands for one that has them, where there is one alone.

    Raises:
        QkvError: none of them is meant, which the message says with `otherwise`, or several are; it names the nearest,
            and what there is.
    """
    if asked in known:
        return asked
    found = [one for one in known if _tag(one) == _tag(asked)] or [one for one in known if _key(one) == _key(asked)]
    if not found and len(_tag(asked)) == 1:
        found = [one for one in known if _tag(one)[0] == _tag(asked)[0]]
    if len(found) == 1:
        return found[0]
    choice = f"choose from {', '.join(sorted(known))}"
    if found:
        raise QkvError(f"{asked!r} may be {' or '.join(sorted(found))}; {choice}")
    nearest = _nearest(asked, known)
    raise QkvError(f"{otherwise} {asked!r}; {f'did you mean {nearest!r}? ' if nearest else ''}{choice}")


def code(name: str) -> str:
    """What a language is called in data that does not say: the code for a name ("German": "de"), or the name as it is.

    Raises:
        QkvError: it is nearly the name of a language, and no code.
    """
    if re.fullmatch("[a-z]{2,3}", name):
        return name
    if _key(name) in _codes():
        return _codes()[_key(name)]
    long = {one: meant for one, meant in _codes().items() if len(one) > 3}
    similar = difflib.get_close_matches(_key(name), long, n=1, cutoff=_CLOSE)
    if similar:
        raise QkvError(f"there is no language {name!r}; did you mean {similar[0]!r}? Its code is {long[similar[0]]}")
    return name


def _nearest(asked: str, known: Iterable[str]) -> str | None:
    """The most similar of the codes, and of the names of the languages that have them."""
    words = {_key(one): one for one in known}
    ours = {_tag(one)[0] for one in known}
    words |= {key: key for key, meant in _codes().items() if meant in ours and len(key) > 3}
    same = [one for one in known if _tag(one)[0] == _tag(asked)[0]]
    similar = difflib.get_close_matches(_key(asked), words, n=1, cutoff=0.5)
    return same[0] if same else words[similar[0]] if similar else None


def _tag(name: str) -> tuple[str, ...]:
    """A language by the table's code, if it has one, then script and region: ("pt", "br")."""
    if meant := _codes().get(_key(name)):
        return (meant,)
    language, *others = _SEPARATOR.split(_key(name))
    return _codes().get(language, language), *others


@cache
def _codes() -> dict[str, str]:
    """The first code of each language of the table, by all its codes and names."""
    found = dict[str, str]()
    for line in _TABLE.strip().split("\n"):
        codes, names = line.split(": ")
        first, *others = codes.split()
        found |= {_key(word): first for word in (first, *others, *names.split(", "))}
    return found


def _key(name: str) -> str:
    """A name without case, accents and surrounding white space."""
    plain = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()
