"""A sentence for each language, by which a voice introduces itself."""

from collections.abc import Mapping

from orchestrator.capabilities import base

SAMPLES: Mapping[str, str] = {
    "en": "Hello, this is how I sound. I would be glad to speak for you.",
    "es": "Hola, así es como sueno. Me encantaría hablar por ti.",
    "fr": "Bonjour, voici comment je parle. Je serais ravi de prêter ma voix.",
    "de": "Hallo, so klinge ich. Ich spreche gern für dich.",
    "it": "Ciao, questa è la mia voce. Sarei felice di parlare per te.",
    "pt": "Olá, é assim que eu falo. Gostaria muito de falar por você.",
    "ru": "Здравствуйте, вот так я звучу. Буду рад говорить за вас.",
    "ja": "こんにちは、これが私の声です。あなたのためにお話しできれば嬉しいです。",
    "ko": "안녕하세요, 제 목소리는 이렇습니다. 당신을 위해 말하고 싶습니다.",
    "zh": "你好，这就是我的声音。很高兴为你说话。",
    "nl": "Hallo, zo klink ik. Ik spreek graag voor je.",
    "pl": "Cześć, tak brzmię. Chętnie będę mówić za ciebie.",
    "tr": "Merhaba, sesim böyle. Senin için konuşmaktan mutluluk duyarım.",
    "sv": "Hej, så här låter jag. Jag talar gärna för dig.",
    "da": "Hej, sådan lyder jeg. Jeg taler gerne for dig.",
    "no": "Hei, slik høres jeg ut. Jeg snakker gjerne for deg.",
    "fi": "Hei, tältä kuulostan. Puhun mielelläni puolestasi.",
    "vi": "Xin chào, đây là giọng của tôi. Tôi rất vui được nói thay bạn.",
    "th": "สวัสดี นี่คือเสียงของฉัน ฉันยินดีที่จะพูดแทนคุณ",
    "id": "Halo, beginilah suara saya. Saya senang berbicara untuk Anda.",
    "hi": "नमस्ते, मेरी आवाज़ ऐसी है। मुझे आपके लिए बोलकर खुशी होगी।",
    "ar": "مرحبا، هكذا يبدو صوتي. يسعدني أن أتحدث نيابة عنك.",
}


def sample(language: str) -> str:
    """The sentence of a language, the English one where there is none."""
    return SAMPLES.get(base(language), SAMPLES["en"])
