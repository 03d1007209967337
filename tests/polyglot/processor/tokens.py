"""Tokens that say who calls: JWTs signed with EdDSA (RFC 7519, RFC 8037), and nothing else."""

import base64
import json
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LONGEST = 4096
# By how much the clocks of two processes may differ.
SKEW = 5


class Unbelieved(Exception):
    """Why a token says nothing."""

    def __init__(self, reason, words):
        super().__init__(words)
        self.reason = reason


class Tokens:
    """Those that one of the keys in a file, a JSON Web Key Set, has signed, and that are good for so long."""

    def __init__(self, path, life, unknown):
        with open(path, encoding="utf-8") as file:
            keys = json.load(file)["keys"]
        self.keys = {
            key["kid"]: Ed25519PublicKey.from_public_bytes(decoded(key["x"])) for key in keys
        }
        self.life = life
        self.unknown = unknown

    def read(self, token):
        """The name of the key that signed it, and what it claims."""
        head, claims, signed, signature = parts(token)
        if head.get("alg") != "EdDSA":
            raise Unbelieved("TOKEN_ALGORITHM_REFUSED", "the token is not signed with EdDSA")
        key = self.keys.get(head["kid"])
        if key is None:
            raise Unbelieved(self.unknown, "nobody here knows the key that signed the token")
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            raise Unbelieved("TOKEN_FORGED", "the token was not signed by its issuer") from None
        begin, end, now = claims["iat"], claims["exp"], time.time()
        if end - begin > self.life:
            raise Unbelieved("TOKEN_TOO_LONG", "the token is valid for too long")
        if begin > now + SKEW:
            raise Unbelieved("TOKEN_TOO_EARLY", "the token is not valid yet")
        if now > end + SKEW:
            raise Unbelieved("TOKEN_EXPIRED", "the token has expired")
        return head["kid"], claims


def parts(token):
    """Head, claims, what is signed, and the signature."""
    try:
        if len(token) > LONGEST:
            raise ValueError
        signed, signature = token.rsplit(".", 1)
        head, claims = (json.loads(decoded(part)) for part in signed.split("."))
        texts = [head["kid"], claims["iss"], claims["aud"]]
        numbers = [claims["iat"], claims["exp"]]
        if not all(isinstance(it, str) for it in texts) or "crit" in head:
            raise ValueError
        if not all(isinstance(it, int) for it in numbers):
            raise ValueError
        return head, claims, signed.encode(), decoded(signature)
    except (KeyError, TypeError, ValueError):
        raise Unbelieved("TOKEN_MALFORMED", "the token is malformed") from None


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
