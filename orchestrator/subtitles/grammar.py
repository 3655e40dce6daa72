"""Words a line rather begins with, and words it rather does not end with, by language."""

STARTERS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "and but or nor so yet because although though while when where which who whom whose that if unless "
        "until since before after as than of in on at to for from with by about into over under between "
        "through without",
        "es": "y e o u ni pero sino aunque porque pues que cuando donde quien cual si mientras como para por con "
        "sin de del en a al desde hasta entre sobre según tras",
        "de": "und oder aber denn sondern weil dass ob wenn als während obwohl der die das wo wie in im an am auf "
        "aus bei mit nach von vom zu zum zur für durch gegen ohne um über unter vor zwischen",
        "fr": "et ou mais donc or ni car que qui quand où si comme parce puisque lorsque dans sur sous avec sans "
        "pour par de du des à au aux chez entre vers",
        "it": "e ed o oppure ma però perché che chi quando dove se mentre come di del della in nel nella a al "
        "alla da dal con su sul per tra fra senza",
        "pt": "e ou mas porém porque que quando onde quem se enquanto como de do da em no na a ao à para por pelo "
        "pela com sem sobre entre até",
        "nl": "en of maar want dus omdat dat die als toen terwijl hoewel wie waar van in op aan bij met naar uit "
        "voor door tegen zonder om over onder tussen tot",
        "sv": "och men eller för att som när där om medan eftersom i på av med till från vid genom utan över under "
        "mellan mot",
        "pl": "i a ale lub albo bo więc że który która które gdy kiedy gdzie jeśli jak w we z ze na do od po przy "
        "przez dla bez nad pod przed między",
        "ru": "и а но или да что чтобы который которая которое которые когда где если как потому хотя в во с со на "
        "к ко от из по при через для без над под перед между о об у за",
        "ar": "و ثم أو لكن بل لأن أن إن الذي التي الذين عندما حيث إذا كما في من على إلى عن مع حتى بين بعد قبل",
        "he": "ו או אבל כי אם כאשר איפה אשר של על אל עם מן בין עד לפני אחרי בלי",
    }.items()
}
"""Conjunctions, relatives and prepositions: a good place to break is before them."""

CLINGING: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "a an the my your his her its our their this that these those i you he she it we they is are was "
        "were be been am have has had do does did will would can could shall should may might must not very "
        "mr mrs ms dr to of",
        "es": "un una unos unas el la los las mi tu su mis tus sus este esta estos estas ese esa lo yo tú él ella "
        "nos se me te le les no muy ha he han había es son era fue de en a con por para",
        "de": "ein eine einen einem einer eines der die das den dem des mein dein sein ihr unser euer ich du er "
        "sie es wir ist sind war waren hat habe haben wird werden nicht sehr zu",
        "fr": "un une le la les l mon ton son ma ta sa mes tes ses notre votre leur ce cet cette ces je tu il "
        "elle on nous vous ils elles est sont a ont ne pas très de à",
        "it": "un uno una il lo la i gli le l mio tuo suo mia tua sua questo questa io tu lui lei noi voi loro è "
        "sono ha hanno non molto di a",
        "pt": "um uma uns umas o a os as meu teu seu minha sua este esta eu tu ele ela nós eles é são foi tem não "
        "muito de em",
        "nl": "een de het mijn jouw zijn haar ons onze hun deze dit die dat ik jij je u hij zij ze wij we is was "
        "waren heeft hebben had wordt niet zeer te van in op",
        "sv": "en ett den det de min din sin vår er denna detta jag du han hon vi ni är var har hade inte mycket att "
        "av i på",
        "pl": "w we z ze na do od po o u i a nie się jest są był była było mój twój ten ta to bardzo dla bez",
        "ru": "в во с со на к ко от из о об у за по не ни и а мой твой этот эта это я ты он она мы вы они очень "
        "для без",
        "ar": "في من على إلى عن مع أن إن لا لم لن ما قد هذا هذه ذلك تلك هو هي كل بعض يا أي",
        "he": "של על אל עם את לא זה זו הוא היא אני אתה כל מאוד בין עד",
    }.items()
}
"""Articles, prepositions, pronouns, auxiliaries, negations: what follows belongs to them."""


def starts_phrase(word: str, language: str | None) -> bool:
    return _bare(word) in STARTERS.get(_primary(language), frozenset())


def clings(word: str, language: str | None) -> bool:
    return _bare(word) in CLINGING.get(_primary(language), frozenset())


def _bare(word: str) -> str:
    return word.strip(" \"'“”‘’«»¿¡([{)]},;:.!?…").lower()


def _primary(language: str | None) -> str:
    return (language or "").split("-")[0].lower()
