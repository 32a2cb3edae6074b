"""Named randomness: every draw takes a generator derived from (run seed, stream name, key)."""

import hashlib
import random
from json.encoder import encode_basestring


def derive_seed(seed: int, stream: str, *key: object) -> int:
    """Return a 63-bit seed, a pure function of its arguments; use it for numpy and torch generators too."""
    # json.dumps([seed, stream, [...]], ensure_ascii=False), which makes an encoder at every call
    text = f"[{seed}, {encode_basestring(stream)}, [{', '.join([encode_basestring(str(part)) for part in key])}]]"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, *key: object) -> random.Random:
    """Return a private random generator for one stream and key; never shared, safe under threads."""
    return random.Random(derive_seed(seed, stream, *key))  # noqa: S311 - not for cryptography
