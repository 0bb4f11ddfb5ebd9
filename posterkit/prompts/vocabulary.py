"""Words that a prompt says about colours, theme, style and mood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

# the colour words that briefs, captions and measures share: name -> sRGB
COLORS: dict[str, tuple[int, int, int]] = {
    "black": (22, 22, 26), "white": (246, 244, 240), "gray": (136, 138, 142),
    "red": (204, 44, 44), "orange": (238, 130, 42), "yellow": (246, 206, 64), "brown": (120, 76, 46),
    "green": (58, 142, 74), "teal": (32, 140, 144), "blue": (44, 98, 196), "navy": (26, 38, 86),
    "purple": (116, 62, 158), "pink": (238, 150, 182), "beige": (228, 208, 172),
}  # fmt: skip

# the name, then words that mean it; * stands for any ending, ~ for those of an adjective
_COLOR_WORDS = """
black: black charcoal ebony onyx schwarz~ noir noire noirs noires negro negra negros negras 黑色 黑 黒 черн~ чёрн~
white: white snow-white weiß~ schneeweiß~ blanc blanche blancs blanches blanco blanca blancos blancas 白色 白 белый
white: белая белое белые белого белому белым белом белую белых белыми
gray: gray grey silver slate grau~ silber~ gris grise grises argenté* plateado plata 灰色 银色 灰 グレー 銀色 сер~
gray: серебрист~
red: red crimson scarlet ruby burgundy maroon rot rote rouge rouges rojo roja rojos rojas rosso roter rotes
red: rotem roten weinrot~ 红色 紅色 大红 红 赤い 赤 красн~ алый алая алое багров~
orange: orange amber tangerine orangefarben~ oranger orangen orangem orangé* naranja anaranjad* 橙色 橘色 橙 オレンジ
orange: оранжев~
yellow: yellow gold golden mustard lemon-yellow gelb~ golden~ jaune jaunes doré dorée dorés dorées amarillo
yellow: amarilla amarillos amarillas dorado dorada giallo jaune-soleil amarillo-sol
yellow: 黄色 金色 黄金 黄 желт~ жёлт~ золот~
brown: brown chocolate-brown copper bronze braun~ marron marrons brun brune marrón marrones brun-chocolat
brown: marrón-chocolate 棕色 褐色 咖啡色 茶色 коричнев~
green: green emerald olive mint lime mint-green grün~ verde verdes vert verte verts vertes vert-menthe
green: verde-menta 绿色 綠色 薄荷绿 绿 緑 зелен~ зелён~ изумрудн~
teal: teal turquoise cyan aqua aquamarine türkis~ cyanfarben~ petrol turquoise-clair turquesa cian 青色 青绿色 青绿
teal: 松石绿 ターコイズ бирюзов~
blue: blue azure cobalt sky-blue blau~ himmelblau~ bleu bleue bleus bleues bleu-ciel azul azules azul-cielo
blue: celeste azzurro 蓝色 藍色 天蓝色 天蓝 蓝 青い 水色 голуб~ лазурн~
blue: синий синяя синее синие синего синей синему синем синим синих синюю синими
navy: navy navy-blue dark-blue midnight-blue midnight indigo dunkelblau~ tiefblau~ nachtblau~ mitternachtsblau~
navy: bleu-nuit bleu-marine azul-marino azul-medianoche 深蓝色 深蓝 藏青 午夜蓝 紺色 紺
purple: purple violet lavender lilac lila violett~ lavendel~ violette violets lilas morado morada violeta
purple: violetas púrpura 紫色 紫罗兰色 淡紫色 紫 фиолетов~ сиренев~ лилов~ пурпурн~
pink: pink magenta fuchsia rosa rosafarben~ rose-bonbon rosado rosada 粉色 粉红 粉红色 粉紅色 粉 桃色
pink: ピンク розов~ малинов~
beige: beige cream ivory sand tan cremefarben~ elfenbein* sandfarben~ crème ivoire crema marfil 米色 米白 奶油色 象牙色
beige: 象牙白 ベージュ クリーム色 беж бежев~ кремов~ цвета-слоновой-кости
"""
_THEMES = """
music: music jazz concert* band orchestra choir opera vinyl dj symphony rock-show musik 音乐 音樂 音楽
film: film* movie* cinema screening documentary thriller 电影 電影 映画
food: food restaurant* café cafe coffee bakery pizza burger* brunch menu cuisine dinner street-food 美食 餐厅 料理
sport: sport* football soccer basketball marathon race tournament match fitness gym yoga cycling 体育 运动 スポーツ
travel: travel tourism journey holiday-trip beach* island* road-trip cruise airline 旅行 旅游 旅遊
nature: nature mountain* forest* garden* flower* botanical ocean sea wildlife park 自然 花园 森林
technology: technology tech software ai robot* startup hackathon conference 科技 人工智能 技术
fashion: fashion clothing couture runway sneaker* 时尚 時尚 ファッション
product: product* launch sale discount perfume cosmetic* skincare gadget* 产品 新品 促销
festival: festival* carnival fair parade celebration 节日 庆典 祭り
holiday: christmas halloween easter new-year valentine* thanksgiving hanukkah diwali ramadan 圣诞 春节 中秋 クリスマス
education: school university course* workshop* lecture* seminar exhibition-talk 教育 课程 讲座
art: art exhibition gallery museum vernissage painting* 艺术 展览 美术
children: children kids family nursery toy* playground 儿童 亲子 こども
charity: charity donation* fundrais* volunteer* 公益 慈善
"""
_STYLES = """
minimal: minimal minimalist minimalistic minimalism 极简 極簡 ミニマル
retro: retro vintage nostalgic-style mid-century 1950s 1960s 1970s 1980s 复古 復古 レトロ
art deco: art-deco
art nouveau: art-nouveau
bauhaus: bauhaus 包豪斯
swiss: swiss-style international-style swiss-design
flat: flat flat-design vector
gradient: gradient* 渐变
outlined: outlined line-art lineart line-drawing
cartoon: cartoon* comic* anime manga 卡通 漫画
halftone: halftone risograph riso screen-print screenprint
watercolor: watercolor* watercolour* aquarell* 水彩
oil painting: oil-painting oil-painted 油画
ink wash: ink-wash ink-painting sumi-e 水墨 国画
ukiyo-e: ukiyo-e woodblock 浮世绘 浮世絵
collage: collage* cut-paper papercut 拼贴 剪纸
photographic: photographic photorealistic photo-realistic photograph* cinematic 摄影 写实
geometric: geometric 几何
grunge: grunge punk
brutalist: brutalist brutalism
psychedelic: psychedelic
pop art: pop-art
cyberpunk: cyberpunk synthwave vaporwave neon 赛博朋克
pixel art: pixel-art 8-bit
3d: 3d 3d-render* isometric claymation
typographic: typographic typography-only
hand-drawn: hand-drawn sketch* doodle* 手绘
"""
_MOODS = """
calm: calm serene peaceful quiet tranquil 宁静 平静
bold: bold striking powerful loud 大胆
playful: playful fun funny quirky whimsical 有趣 俏皮
dreamy: dreamy ethereal surreal 梦幻
dark: dark moody gloomy sombre somber 黑暗
bright: bright cheerful joyful happy sunny 明亮 欢快
warm: warm cozy cosy 温暖 温馨
cool: cool icy
elegant: elegant luxurious sophisticated refined 优雅 高级
fresh: fresh crisp 清新
dramatic: dramatic epic intense 戏剧
mysterious: mysterious eerie 神秘
romantic: romantic tender 浪漫
nostalgic: nostalgic wistful melancholic 怀旧
energetic: energetic dynamic vibrant lively 活力 动感
festive: festive celebratory 喜庆 热闹
"""
_ADJECTIVE = r"(?:ый|ой|ая|ое|ые|ого|ому|ым|ом|ую|ых|ыми|(?<=[a-zß])(?:e[mnrs]?)?)"
# what may stand before a colour's name and belongs to it
_SHADE = (
    r"(?:(?:bright|dark|light|deep|pale|soft|warm|cool|vivid|pastel|muted|midnight|sunny|sky|mint"
    r"|dunkel|hell|tief|zart|blass|knall|pastell|himmel|nacht|mitternachts|sonnen|schokoladen|mint|warme[smnr]?"
    r"|т[её]мно|светло|бледно|нежно|ярко|небесно|полуночно|солнечно|мятно|шоколадно|т[её]пл\w+|[深浅淡暗亮暖]|濃い|薄い)"
    r"[\s-]?)??"  # lazy: "dark-blue" is a word of its own
)
_NEGATED = re.compile(r"(?:\b(?:no|not|without|avoid|never|kein\w*|ohne|sans|sin)\s+|不要|没有)$", re.IGNORECASE)


class Vocabulary:
    """Words that mean one of a few names.

    Args:
        table: a line for each name: the name, a colon, the words; `*` at a word's end stands for any ending, `~` for
            those of a German or a hard Russian adjective, `-` for a blank or a hyphen.
        before: an expression for what may stand before a word and belongs to it.
    """

    def __init__(self, table: str, before: str = "") -> None:
        self.names: dict[str, str] = {}
        for line in table.strip().splitlines():
            name, words = line.split(":")
            self.names |= {word.lower(): name.strip() for word in words.split()}
        longest_first = sorted(self.names, key=len, reverse=True)
        # written without spaces, as Chinese and Japanese are, there is no word boundary
        self._spaced = [word for word in longest_first if word[0] < "\u2e80"]
        self._words = self._spaced + [word for word in longest_first if word[0] >= "\u2e80"]
        self._before = before

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Every word as a group of its own, in the order of `_words`; compiled on first use, since that takes long."""
        spaced, unspaced = self._words[: len(self._spaced)], self._words[len(self._spaced) :]
        groups = "|".join(f"({self._expression(word)})" for word in spaced)
        parts = [rf"(?<![\w-]){self._before}(?:{groups})"] if spaced else []
        parts += [f"{self._before}(?:{'|'.join(f'({re.escape(word)})' for word in unspaced)})"] if unspaced else []
        return re.compile("|".join(parts), re.IGNORECASE)

    @staticmethod
    def _expression(word: str) -> str:
        ending = {"*": r"\w*", "~": _ADJECTIVE}.get(word[-1], "") + r"\b"
        return re.escape(word.rstrip("*~")).replace(r"\-", r"[\s-]") + ending

    def take(self, prose: str) -> tuple[list[str], str]:
        """The names that the prose speaks of, each once, in order, and the prose without those words.

        What is ruled out ("no red") is not spoken of.
        """
        return self.named(prose), self._pattern.sub(" ", prose)

    def named(self, prose: str) -> list[str]:
        """The names alone; see `take`."""
        return list(dict.fromkeys(self.names[word] for _, word in self.find(prose)))

    def find(self, prose: str) -> Iterator[tuple[tuple[int, int], str]]:
        """Where the prose speaks of a name, start and end, and the table's word for it; in order."""
        for match in self._pattern.finditer(prose):
            if not _NEGATED.search(prose, 0, match.start()):
                yield match.span(), self._words[(match.lastindex or 1) - 1]


COLOR_WORDS = Vocabulary(_COLOR_WORDS, before=_SHADE)
STYLES, THEMES, MOODS = Vocabulary(_STYLES), Vocabulary(_THEMES), Vocabulary(_MOODS)
