"""What a MediaWiki dump says about its wiki: the names of its namespaces, and its words for a redirect."""

import json
import re
import unicodedata
from dataclasses import asdict, dataclass
from functools import cache
from xml.etree import ElementTree

from simset_bench.corpora.invisible import visible

# Namespaces of pictures (Media, File) and categories: links into them are no prose.
_NOT_PROSE = {"-2", "6", "14"}
# The names of these namespaces that every wiki knows, then former names and aliases, which dumps do not list.
_KNOWN_NAMES = (
    "file image media category к datei bild kategorie fichier catégorie archivo categoría imagen immagine "
    "categoria ficheiro imagem файл изображение категория зображення категорія слика датотека категорија "
    "ファイル 画像 カテゴリ 文件 图像 檔案 圖像 分类 分類 파일 그림 분류 ملف صورة تصنيف پرونده تصویر رده "
    "קובץ תמונה קטגוריה चित्र श्रेणी bestand afbeelding categorie plik grafika kategoria fil kategori "
    "tiedosto kuva luokka fájl kép kategória soubor kategorie súbor dosya resim berkas gambar tập_tin hình "
    "thể_loại ไฟล์ ภาพ หมวดหมู่ αρχείο εικόνα κατηγορία fișier fitxategi fitxer dosiero"
)
_KNOWN_REDIRECTS = (
    "redirect weiterleitung redirection redirección redireccion rinvia rinvio rimando doorverwijzing omdirigering "
    "omdiriger patrz przekieruj перенаправление перенапр перенаправлення пренасочване преусмери preusmjeri "
    "preusmeritev redirecionamento ohjaus uudelleenohjaus átirányítás přesměruj presmeruj yönlendirme "
    "yönlendir alih lencong đổi 重定向 転送 リダイレクト 넘겨주기 تحويل تغییر_مسیر تغییرمسیر הפניה पुनर्प्रेषित เปลี่ยนทาง "
    "ανακατευθυνση suuna alidirektu tilvísun birzuzendu"
)
# Prefixes of the Wikipedias, and the former ones that links still use.
_LANGUAGE_CODES = (
    "aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar "
    "bat-smg  bbc bcl bdr be be-tarask be-x-old bew bg bh bho bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam "
    "cdo ce ceb ch  cho chr chy ckb cmn co cr crh cs csb cu cv cy cz da dag de dga din diq dk dsb dtp dty dv dz ee el "
    "eml en eo es et  eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got "
    "gpe gsw gu guc gur  guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh io "
    "is it iu ja jam jbo jp jv  ka kaa kab kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw "
    "ky la lad lb lbe lez lfn lg li  lij lld lmo ln lo lrc lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min mk ml "
    "mn mni mnw mo mos mr mrj ms mt mus  mwl my myv mzn na nah nan nap nb nds nds-nl ne new ng nia nl nn no nov nqo "
    "nr nrm nso nup nv ny oc olo om or os pa  pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy "
    "rn ro roa-rup roa-tara rsk ru rue rup rw sa  sah sat sc scn sco sd se sg sgs sh shi shn si simple sk skr sl sm "
    "smn sn so sq sr srn ss st stq su sv sw syl szl szy  ta tay tcy tdd te tet tg th ti tig tk tl tly tn to tpi tr "
    "trv ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls  vo vro wa war wo wuu xal xh xmf yi yo yue za zea zgh "
    "zh zh-classical zh-min-nan zh-yue zh-cn zh-tw zu"
)
_LANGUAGES = frozenset(_LANGUAGE_CODES.split())
_FILE = re.compile(
    r"\.(?:jpe?g|png|gif|svg|webp|tiff?|xcf|pdf|djvu|og[gav]|opus|mp[34]|wav|flac|midi?|webm|stl)\s*$", re.IGNORECASE
)
_CODE = re.compile("[a-z]{2,}(?:-[a-z]+)*")
_REDIRECT = re.compile(r"\s*[#＃]([^\s\[\]#＃:|{}<>]+)\s*:?\s*\[\[[^\[\]\n]+\]\]", re.IGNORECASE)


def _folded(name: str) -> str:
    """A name as MediaWiki compares it: without invisible characters, underscores as spaces, whatever its case.

    Turkish and its kin have two letters `i`, whose capitals lower to each other elsewhere: all are one here.
    """
    same_case = unicodedata.normalize("NFC", visible(name)).casefold().replace("i\u0307", "i").replace("ı", "i")
    return " ".join(same_case.replace("_", " ").split())


@dataclass(frozen=True)
class Site:
    """Names of a wiki, folded: `not_prose` of its namespaces of pictures and categories, `others` of all its others,
    and its words for a redirect without the `#`."""

    not_prose: frozenset[str] = frozenset(map(_folded, _KNOWN_NAMES.split()))
    others: frozenset[str] = frozenset()
    redirects: frozenset[str] = frozenset(map(_folded, _KNOWN_REDIRECTS.split()))

    def is_picture_or_category(self, title: str) -> bool:
        """Whether a link's title, without a colon before it, is of a picture, a sound, a film or a category.

        Dumps do not list the aliases of their namespaces: what ends as files of wikis do is one in any namespace
        that the dump does not list.
        """
        name, colon, _ = title.partition(":")
        if not colon:
            return False
        return _folded(name) in self.not_prose or bool(_FILE.search(title) and _folded(name) not in self.others)

    def is_language_link(self, title: str) -> bool:
        """Whether a link's title, without a colon before it, is of this article in another language."""
        name, colon, _ = title.partition(":")
        return bool(colon) and _folded(name) in _LANGUAGES - self.not_prose - self.others

    def redirect_of(self, wikitext: str) -> "Redirect | None":
        """How a text begins as a redirect, in any language; None where it does not."""
        match = _REDIRECT.match(wikitext)
        return Redirect(_folded(match[1]) in self.redirects, wikitext[match.end() :]) if match else None


@dataclass(frozen=True)
class Redirect:
    """The beginning `#WORD [[target]]` of a text: whether its word is one of the wiki's, and the `rest` of the text."""

    is_known_word: bool
    rest: str


# The site of a dump that says nothing about its wiki.
KNOWN_NAMES = Site()


def is_language(code: str) -> bool:
    """Whether a code is a language's, or a variant's such as `zh-hans`."""
    return bool(_CODE.fullmatch(code)) and code.partition("-")[0] in _LANGUAGES


@cache
def json_of_site(site: Site) -> str:
    """The site as text, for `site_of_json`."""
    return json.dumps({name: sorted(values) for name, values in asdict(site).items()}, ensure_ascii=False)


@cache
def site_of_json(text: str) -> Site:
    """The site that `json_of_site` wrote."""
    return Site(**{name: frozenset(values) for name, values in json.loads(text).items()})


def site_of(siteinfo: ElementTree.Element) -> Site:
    """The site that a dump's `<siteinfo>` describes: its namespaces, and where present their aliases and magic words.

    The names that every wiki knows, and common aliases, count too.
    """
    not_prose, others, redirects = set(KNOWN_NAMES.not_prose), set[str](), set(KNOWN_NAMES.redirects)
    for element in siteinfo.iter():
        kind, names = element.tag.rpartition("}")[2], [element.text, element.get("canonical"), element.get("alias")]
        number = element.get("key") or element.get("id")
        if kind in ("namespace", "namespacealias", "ns", "alias") and number:
            folded = {_folded(name) for name in names if name and name.strip()}
            (not_prose if number in _NOT_PROSE else others).update(folded)
        if kind == "magicword" and element.get("name") == "redirect":
            words = (word.strip().lstrip("#＃") for word in element.itertext())
            redirects |= {_folded(word) for word in words if word}
    return Site(frozenset(not_prose), frozenset(others - not_prose), frozenset(redirects))
