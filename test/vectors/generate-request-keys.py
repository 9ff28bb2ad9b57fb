"""Writes request-keys.json from an implementation of XXH3 that neither core uses.

    pip install xxhash==4.1.0 && python3 test/vectors/generate-request-keys.py

The format is that of src/core/portable/keys.ts; case sizes cover every length class of XXH3-64
(1-3 cannot occur, 4-8, 9-16, 17-128, 129-240 and above 240 bytes).
"""

import json
import os
import random
import struct

import xxhash

NAMESPACES = [
    ("Qwen/Qwen2.5-7B-Instruct", "", ""),
    ("Qwen/Qwen2.5-7B-Instruct", "sql-lora", ""),
    ("Qwen/Qwen2.5-7B-Instruct", "", "tenant-7"),
    ("Qwen/Qwen2.5-7B-Instruct", "sql-lora", "tenant-7"),
    ("Qwen/Qwen2.5-7B-Instruct", "tenant-7", "sql-lora"),
    ("Qwen/Qwen2.5-7B-Instructsql-lora", "", ""),
    ("m", "", ""),
    ("", "", ""),
    ("模型/通义千问", "адаптер", "соль"),
    ("naïve", "e\u0301", "\u00e9"),
    ("😀", "👩‍👩‍👧", "\u0000zero\u0000"),
    ("x" * 300, "y" * 129, "z" * 17),
]
SECRETS = [0, 1, 0x0123456789ABCDEF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF]
BLOCK_SIZES = [1, 2, 3, 4, 5, 8, 16, 17, 32, 33, 60, 61, 64, 128, 256, 300]
TOKEN_POOLS = [151936, 2, 2**31, 2**32]


def seed_of(secret, namespace):
    parts = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in namespace)
    return xxhash.xxh3_64_intdigest(parts, seed=secret)


def chain(seed, tokens, block_size, extras):
    keys = []
    for index in range(len(tokens) // block_size):
        block = tokens[index * block_size : (index + 1) * block_size]
        data = struct.pack(f"<{block_size}I", *block)
        for extra in extras[index] if extras else []:
            data += struct.pack("<I", len(extra)) + extra
        seed = xxhash.xxh3_64_intdigest(data, seed=seed)
        keys.append(f"{seed:016x}")
    return keys


def case(rng, number):
    namespace = NAMESPACES[number % len(NAMESPACES)]
    secret = SECRETS[number % len(SECRETS)]
    block_size = BLOCK_SIZES[number % len(BLOCK_SIZES)]
    blocks = rng.randint(1, 3) if block_size >= 60 else rng.randint(1, 6)
    left_over = rng.randint(0, block_size - 1) if block_size < 60 else 0
    most = TOKEN_POOLS[number % len(TOKEN_POOLS)]
    tokens = [rng.randrange(most) for _ in range(blocks * block_size + left_over)]
    extras = None
    if number % 4 == 3:
        extras = [
            [rng.randbytes(rng.choice([0, 1, 3, 20, 64, 300])) for _ in range(rng.randint(0, 3))]
            for _ in range(blocks)
        ]
    seed = seed_of(secret, namespace)
    return {
        "secret": f"{secret:016x}",
        "namespace": dict(zip(("pool", "adapter", "cacheSalt"), namespace)),
        "seed": f"{seed:016x}",
        "blockSize": block_size,
        "tokenIds": tokens,
        "extraKeys": extras and [[extra.hex() for extra in block] for block in extras],
        "keys": chain(seed, tokens, block_size, extras),
    }


def main():
    rng = random.Random(20240607)
    path = os.path.join(os.path.dirname(__file__), "request-keys.json")
    with open(path, "w", encoding="utf-8") as out:
        lines = [json.dumps(case(rng, n), separators=(",", ":")) for n in range(100)]
        out.write('{"format":"request-keys/1","cases":[\n' + ",\n".join(lines) + "\n]}\n")


main()
