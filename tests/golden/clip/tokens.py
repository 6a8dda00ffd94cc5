"""Writes ids of texts by open_clip 3.3.0's tokenizer, without start and end: python tokens.py"""

import json
from pathlib import Path

from open_clip import SimpleTokenizer

TEXTS = [
    "a photo of a cat",
    "a diagram of a residual block, with its shortcut",
    "ResNet-50 (2015): 3.57 % top-5 error!",
    "",
    " \t\n ",
    "naïve café — 写真 &amp; ☃",
    "word " * 100,
    "&amp;amp; &lt;b&gt; &eacute; &#128512; &nbsp; &unknown; &amp;lt;",
    "It's we're they've I'm you'll he'd O'SHEA'S it ’s",
    "<start_of_text> in the <END_OF_TEXT> of <|endoftext|>",
    "schÃ¶n â€œquotedâ€\x9d l’Humanité ﬁne",
    "\u00a0no-break\u2003spaces\u200band\u00adhyphens\ufeff",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 😀😀😀",
    "١٢٣ ４５６ Ⅷ ½ x² 1,234.5 2024-11-26",
    "ǅ ß ẞ İ ı ſ Σίσυφος ΣΑΣ",
    "नमस्ते สวัสดี こんにちは 안녕하세요 שלום مرحبا",
    "e\u0301 vs é, A\u030a vs Å",
    "a" * 300,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "https://example.org/a?b=c&d=e#f user@example.org @name #tag",
    '[x] {y} (z) <w> "q" `r` ~s^ |t| \\u /v/ *w* _x_ =y= +z+',
    "\x00\x01\x1b[31mred\x1b[0m \x7f",
    "\ud83d\ude00 \ud800 lone",
    "don't stop--believing...!!! ???",
    *(
        f"a {n} photo of the {noun}."
        for n in ("bad", "low-resolution", "30th")
        for noun in ("tench", "abacus", "T-shirt")
    ),
    *(chr(code) for code in (0x21, 0x7E, 0xA1, 0xAC, 0xAD, 0xAE, 0xFF, 0x100, 0x3B1, 0x4E2D, 0x1F600)),
    *(chr(code) * 3 + " x" + chr(code) for code in (0x21, 0xA0, 0xAD, 0xE9, 0x2028, 0x4E2D, 0x1F600, 0x10FFFF)),
    *(f"{first}{second}" for first in "a1!" for second in "b2? é"),
]

if __name__ == "__main__":
    tokenizer = SimpleTokenizer()
    ids = {text: tokenizer.encode(text) for text in TEXTS}
    Path(__file__).with_name("tokens.json").write_text(json.dumps(ids, indent=0) + "\n")
