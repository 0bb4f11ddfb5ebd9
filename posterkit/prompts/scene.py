"""A prompt in ordinary words becomes a scene that mini can draw, and a caption in mini's language.

    scene = read_scene("Ein Leuchtturm bei Nacht, tiefblauer Hintergrund")
    scene.caption()     # "lighthouse navy background"
    scene.notes         # ("mini draws no violins; it drew bars instead",) where a subject was replaced

Understands English, German, French, Spanish, Russian, Chinese and Japanese: subjects by synonyms and nearest kin
(`subjects.txt`), colours with their modifiers and hex values, places, styles, moods and what a scene implies ("at
night" is navy). Rules only: the same prompt always gives the same scene. Models that read ordinary prompts get the
prompt as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from posterkit.prompts.vocabulary import COLOR_WORDS, COLORS, MOODS, STYLES, Vocabulary

Detail = tuple[str | None, str]
SUBJECTS_FILE = Path(__file__).with_name("subjects.txt")
_DETAILS = """
clouds: cloud* wolke* nuage* nube* облак* 云 雲
snow: snow snowy snowcapped snow-capped schnee verschneit* neige enneigé* nieve nevad* снег* снежн* заснежен* 雪
trees: pines fir-trees tannen sapins pinos ёлки ели 松树 松
waves: wave* welle* vague* ola olas волн* 波浪 海浪 波
stars: star stars starry stern* sterne* étoile* estrella* estrellad* звёзд* звезд* 星 星星 星空
windows: window* fenster* fenêtre* ventana* окна окон 窗 窓
hills: hill* hügel* colline* colina* холм* 山丘 丘
confetti: confetti konfetti confettis конфетти 彩纸 紙吹雪
rays: light-rays sunbeam* sunburst strahl* rayon* rayos луч* 光芒 光線
plinth: plinth pedestal podium sockel podest piédestal pedestal постамент* 底座 台座
floor: table tabletop desk tisch stol mesa стол столе столик* 桌 桌子 テーブル
scarf: scarf scarves schal écharpe bufanda шарф* 围巾 マフラー
bow: bow-tie bow schleife fliege nœud-papillon pajarita бант* бабочк* 蝴蝶结 リボン付き
hat: hat hats cap hut mütze chapeau bonnet sombrero gorro шляп* шапк* 帽子 帽
glasses: glasses sunglasses eyeglasses brille sonnenbrille lunettes gafas очки очках 眼镜 墨镜 メガネ
"""
_PLACES = """
left: on-the-left left-side at-left links à-gauche a-la-izquierda слева 左侧 左边 左に 左側
right: on-the-right right-side at-right rechts à-droite a-la-derecha справа 右侧 右边 右に 右側
top: at-the-top in-the-upper-half oben en-haut arriba сверху вверху 顶部 上方 上に 上部
bottom: at-the-bottom in-the-lower-half unten en-bas abajo внизу снизу 底部 下方 下に 下部
center: in-the-center in-the-centre in-the-middle centered centred in-der-mitte mittig au-centre en-el-centro в-центре 居中 中央 中间
"""
# what a word says of the background where no colour is named for it
_IMPLIED = """
navy: night nighttime midnight starry nacht nächtlich* nachts nuit noche nocturno nocturna ночь ночи ночью ночн* 夜 夜晚 夜空 夜间
orange: sunset* dusk autumn fall halloween abend sonnenuntergang* herbst* coucher-de-soleil automne atardecer* otoño puesta-de-sol закат* осен* 日落 黄昏 秋天 秋季 万圣节 夕日 夕焼け 秋 ハロウィン
pink: sunrise* dawn valentine* romantic love wedding* sonnenaufgang* morgenröte liebe hochzeit* lever-de-soleil amour mariage* amanecer* amor boda* рассвет* любов* свадьб* 日出 黎明 情人节 爱情 婚礼 朝焼け 結婚式 恋
green: forest* jungle garden* spring eco ecological wald garten frühling* forêt* jardin* printemps bosque* jardín* primavera лес* сад сады весн* эко* 森林 花园 春天 春季 环保 森 庭 春
yellow: summer sommer* été verano* лето летн* 夏天 夏季 夏
red: christmas xmas chinese-new-year weihnacht* noël navidad* рождеств* 圣诞 春节 新年 クリスマス 正月
white: winter* minimal minimalist hiver invierno зима зимн* 冬天 冬季 冬
teal: sea ocean underwater meer ozean mer océan mar океан* море морск* 大海 海洋 海 海底
beige: beach* desert* strand* wüste* plage* désert* playa* desierto* пляж* пустын* 海滩 沙滩 沙漠 ビーチ 砂漠
black: space cosmos cosmic universe noir weltall weltraum kosmos espace-intersidéral espacio-exterior космос* 宇宙 太空
"""
_STYLE_OF = {
    "minimal": "flat", "flat": "flat", "swiss": "flat", "bauhaus": "flat", "geometric": "flat", "gradient": "gradient",
    "outlined": "outlined", "cartoon": "outlined", "hand-drawn": "outlined", "halftone": "halftone",
    "retro": "halftone", "pop art": "halftone", "watercolor": "gradient", "cyberpunk": "gradient",
}  # fmt: skip
_MOOD_OF = {"dramatic": "bold", "mysterious": "dark", "romantic": "warm", "nostalgic": "warm", "energetic": "bold",
            "festive": "playful"}  # fmt: skip
# what stands for a subject that nothing is kin to, by mood
_ABSTRACT = {"calm": "lights", "dreamy": "lights", "dark": "rings", "bold": "shapes", "playful": "circles",
             "bright": "circles", "warm": "ribbons", "cool": "ribbons", "elegant": "ribbons", "fresh": "circles"}  # fmt: skip
_BACKGROUND = re.compile(
    r"\b(?:back(?:ground|drop)|sky|hintergrund\w*|grund|himmel\w*|fond|ciel|arrière-plan|fondo|cielo|фон\w*|неб\w+)\b"
    r"|背景|天空|底色|夜空|空の|空|地色",
    re.IGNORECASE,
)
_ON = re.compile(r"(?:\b(?:on|against|auf|vor|sur|sobre|на)|в цвете)\s+(?:(?:a|an|the|fond|fondo)\s+)?$", re.IGNORECASE)
_BREAK = re.compile(r"[,;.:，。；、\n]")
_DARK = re.compile(
    r"dark|deep|midnight|dunkel|tief|mitternacht|foncé|sombre|profond|oscur|profundo|medianoche|т[её]мн|глубок"
    r"|полуноч|深|暗|午夜|濃|ダーク", re.IGNORECASE,
)  # fmt: skip
_LIGHT = re.compile(
    r"light|pale|pastel|hell|pastell|zart|clair|pâle|clar|pálid|светл|бледн|нежн|浅|淡|薄|ライト|パステル", re.IGNORECASE
)
_DARKER = {"blue": "navy", "orange": "brown", "yellow": "brown", "pink": "purple", "beige": "brown", "white": "gray"}
_LIGHTER = {"red": "pink", "brown": "beige", "navy": "blue", "black": "gray", "orange": "beige"}
_AFTER = re.compile(
    r"\s*(foncé\w*|sombre|profond\w*|clair\w*|pâle|oscur\w*|profund\w*|medianoche|clar[oa]s?|pálid\w*|pastel)\b",
    re.IGNORECASE,
)
_HEX = re.compile(r"#([0-9a-f]{6}|[0-9a-f]{3})\b", re.IGNORECASE)
_CJK = re.compile(r"[\u2e80-\u9fff\u3040-\u30ff]")
_ADJECTIVES_FOLLOW = re.compile(r"\b(?:le|la|les|un|une|des|sur|fond|el|los|las|una|sobre|fondo|con|avec)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Scene:
    """What a picture shall show; None and () leave it to the draw.

    Attributes:
        subject: one of those in `subjects.txt`.
        color: colour name of the subject, a key of `COLORS`.
        details: (colour name or None, noun) of what belongs to the subject or the scene.
        place: "center", "left", "right", "top" or "bottom".
        background: colour name of the border.
        style: "flat", "gradient", "outlined" or "halftone".
        mood: "calm", "bold", "playful", "dreamy", "dark", "bright", "warm", "cool", "elegant" or "fresh".
        notes: what the prompt asks and mini cannot draw, a sentence each.
    """

    subject: str
    color: str | None = None
    details: tuple[Detail, ...] = ()
    place: str | None = None
    background: str | None = None
    style: str | None = None
    mood: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def caption(self) -> str:
        """The scene in mini's language: at most 24 words, each one token, without punctuation."""
        said = [self.color, self.subject, *(word for detail in self.details for word in detail), self.place]
        said += [f"{self.background} background" if self.background else None, self.style, self.mood]
        return " ".join(word for word in said if word)


class Span(NamedTuple):
    """A word of the prompt that means something here."""

    start: int
    end: int
    kind: Literal["subject", "kin", "detail", "color", "background"]
    name: str


@cache
def subjects() -> tuple[Vocabulary, frozenset[str], tuple[str, ...]]:
    """The words for subjects, those of them that name kin only, and every subject."""
    table, kin, names = [], set(), {}
    for line in SUBJECTS_FILE.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        name, words = line.split(":")
        if name.startswith("~"):
            name = name.lstrip("~ ")
            kin |= {word.lower() for word in words.split()}
        names[name] = None
        table.append(f"{name}: {words}")
    return Vocabulary("\n".join(table)), frozenset(kin), tuple(names)


@cache
def _tables() -> dict[str, Vocabulary]:
    return {"detail": Vocabulary(_DETAILS), "place": Vocabulary(_PLACES), "implied": Vocabulary(_IMPLIED)}


def read_scene(prompt: str) -> Scene:
    """The scene that a prompt describes, as near as mini can draw it.

    Args:
        prompt: ordinary words in any of the seven languages; quoted texts should be taken out before.
    """
    prose = prompt.strip()
    spans = _spans(prose)
    found = [span for span in spans if span.kind in ("subject", "kin")]
    exact = [span for span in found if span.kind == "subject"]
    styles, moods = STYLES.take(prose)[0], MOODS.take(COLOR_WORDS.take(prose)[1])[0]
    mood = next((_MOOD_OF.get(name, name) for name in moods if _MOOD_OF.get(name, name) in _ABSTRACT), None)
    notes: list[str] = []
    if exact:
        main = next((span for span in exact if span.name not in _ORBS), exact[0])
        subject = "ringed planet" if main.name == "planet" and _RINGS.search(prose) else main.name
    elif found:
        main = found[0]
        subject = main.name
        notes.append(f'mini draws no "{prose[main.start : main.end].lower()}"; it drew {_named(subject)} instead')
    else:
        main, subject = None, _ABSTRACT.get(mood or "bold", "shapes")
        what = " ".join(re.sub(r"[^\w\s'-]", " ", prose).split()[:6])
        notes.append(f'mini draws nothing like "{what}"; it drew an abstract scene of {_named(subject)} instead')
    background, colors = _assign_colors(prose, spans)
    if background is None:
        background = next(iter(_tables()["implied"].take(prose)[0]), None)
    color = next((colors[span] for span in found if main and span.name == main.name and span in colors), None)
    if color == background and color is not None:
        color = None
    details = tuple(
        (colors.get(span), span.name) for span in spans if span.kind == "detail" and fits(subject, span.name)
    )
    place = next(iter(_tables()["place"].take(prose)[0]), None)
    style = next((_STYLE_OF[name] for name in styles if name in _STYLE_OF), None)
    details = tuple({noun: (tone, noun) for tone, noun in details}.values())
    return Scene(subject, color, details, place, background, style, mood, tuple(notes))


_NAMES = {"bars": "sound bars", "rings": "rings of sound", "lights": "soft lights", "tiles": "geometric tiles",
          "shapes": "geometric shapes", "coffee": "a cup of coffee", "pizza": "a slice of pizza",
          "fruit": "a slice of fruit"}  # fmt: skip


def _named(subject: str) -> str:
    """A subject as people would name it."""
    if subject in _NAMES or subject.endswith("s"):
        return _NAMES.get(subject, subject)
    return f"{'an' if subject[0] in 'aeio' else 'a'} {subject}"


_ORBS = ("sun", "striped sun", "moon", "crescent moon")
_RINGS = re.compile(r"\b(?:rings?|ring(?:en)?|anneaux|anillos|кольц\w+)\b|光环|光環|环|環", re.IGNORECASE)
_SCENERY = {"sun", "striped sun", "moon", "crescent moon", "mountains", "city", "sailboat", "lighthouse", "whale"}
_FITTING: dict[str, Collection[str]] = {
    "clouds": {"sun", "striped sun", "moon", "crescent moon"}, "hills": {"sun", "striped sun", "moon", "crescent moon"},
    "snow": {"mountains"}, "trees": {"mountains"}, "windows": {"city"}, "waves": {"sailboat", "lighthouse", "whale"},
    "stars": {"planet", "ringed planet", "rocket"},
    **dict.fromkeys(("scarf", "bow", "hat", "glasses"), {"cat", "bear", "rabbit", "owl", "robot", "frog", "fox",
                                                         "penguin"}),
}  # fmt: skip


def fits(subject: str, detail: str) -> bool:
    """Whether mini draws a detail beside a subject."""
    if detail in _FITTING:
        return subject in _FITTING[detail]
    return subject not in _SCENERY  # settings of subjects that stand alone: confetti, rays, plinth, floor


def _spans(prose: str) -> list[Span]:
    """Everything in a prompt that means something here, in order; of words within words the longest."""
    words, kin, _ = subjects()
    details = _tables()["detail"]
    found = [Span(*at, "kin" if word in kin else "subject", words.names[word]) for at, word in words.find(prose)]
    found += [Span(*at, "detail", details.names[word]) for at, word in details.find(prose)]
    found += [Span(*match.span(), "background", "") for match in _BACKGROUND.finditer(prose)]
    found += list(_colors(prose))
    kept: list[Span] = []
    for span in sorted(found, key=lambda one: (one.start - one.end, one.kind != "color", one.start)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    kept.sort()
    # "roses" and "rosas" are flowers, but pink behind another noun
    for n, span in enumerate(kept):
        if n and kept[n - 1].kind == "subject" and prose[span.start : span.end].lower() in ("rose", "roses", "rosas"):
            kept[n] = span._replace(kind="color", name="pink")
    return kept


def _colors(prose: str) -> Iterator[Span]:
    """Colour words with their modifiers, and hex values; of "chocolate brown" the last word counts."""
    pending: Span | None = None
    for (start, end), word in COLOR_WORDS.find(prose):
        name = COLOR_WORDS.names[word]
        after = _AFTER.match(prose, end)
        end = after.end() if after else end
        if _DARK.search(prose, start, end) and not _DARK.search(word):
            name = _DARKER.get(name, name)
        elif _LIGHT.search(prose, start, end) and not _LIGHT.search(word):
            name = _LIGHTER.get(name, name)
        if pending and pending.end < start and not prose[pending.end : start].strip(" -"):
            pending = Span(pending.start, end, "color", name)
            continue
        if pending:
            yield pending
        pending = Span(start, end, "color", name)
    if pending:
        yield pending
    for match in _HEX.finditer(prose):
        digits = match.group(1) if len(match.group(1)) == 6 else "".join(2 * digit for digit in match.group(1))
        yield Span(*match.span(), "color", nearest_color(*bytes.fromhex(digits)))


def nearest_color(red: int, green: int, blue: int) -> str:
    """The name nearest to an sRGB colour, by the "redmean" distance of 0 to 255 values."""

    def far(name: str) -> float:
        r, g, b = COLORS[name]
        mean = (r + red) / 2
        return (2 + mean / 256) * (r - red) ** 2 + 4 * (g - green) ** 2 + (2 + (255 - mean) / 256) * (b - blue) ** 2

    return min(COLORS, key=far)


def _assign_colors(prose: str, spans: list[Span]) -> tuple[str | None, dict[Span, str]]:
    """The background's colour, and the colours of subjects and details.

    A colour belongs to the noun beside it in its clause: the one behind it, in French and Spanish the one before it.
    One that follows "on" with no noun behind, or stands alone in its clause, is the background's.
    """
    background: str | None = None
    owned: dict[Span, str] = {}
    cuts = [0, *(match.end() for match in _BREAK.finditer(prose)), len(prose) + 1]
    follow = bool(_ADJECTIVES_FOLLOW.search(prose)) and not _CJK.search(prose)
    for first, last in zip(cuts, cuts[1:], strict=False):
        clause = [span for span in spans if first <= span.start < last]
        nouns = [span for span in clause if span.kind != "color"]
        for span in (one for one in clause if one.kind == "color"):
            before = [noun for noun in nouns if noun.end <= span.start]
            behind = [noun for noun in nouns if noun.start >= span.end]
            if _ON.search(prose, 0, span.start) and not (behind and _near(prose, span, behind[0])):
                background = background or span.name
                continue
            order = (before[-1:], behind[:1]) if follow else (behind[:1], before[-1:])
            noun = next((one[0] for one in order if one), None)
            if noun and noun.kind == "kin" and any(span.kind == "subject" for span in spans):
                background = background or span.name  # a sea or a forest around the subject
                continue
            if noun is None or noun.kind == "background":
                background = span.name if noun is not None else background or span.name
            else:
                owned.setdefault(noun, span.name)
    return background, owned


def _near(prose: str, color: Span, noun: Span) -> bool:
    """Whether a noun follows a colour with at most two words between."""
    between = prose[color.end : noun.start]
    return len(between.split()) <= 2 and not _BREAK.search(between)
