"""Protobuf in, commands out, and back. Parsing happens here and nowhere else."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Optional
from uuid import UUID

import cards
from charges import Money
from shop.common.v1 import money_pb2
from shop.processor.v1 import processor_service_pb2 as proto

UUID_FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# How many decimal digits a unit divides into.
MINOR_DIGITS = {
    **dict.fromkeys("AUD BGN BRL CAD CHF CNY CZK DKK EUR GBP HUF INR NOK NZD PLN RON SEK USD".split(), 2),
    **dict.fromkeys("BHD KWD".split(), 3),
    **dict.fromkeys("JPY KRW".split(), 0),
}
NANOS_PER_UNIT = 10**9
LARGEST = 2**63 - 1
TOKEN_LIMIT = 100


@dataclass(frozen=True)
class Command:
    """One request about one charge; `request_id` is its key, and the charge's id if it makes the charge."""

    name: str
    charge_id: UUID
    request_id: UUID
    digest: bytes
    amount: Optional[Money] = None
    card_token: Optional[str] = None


@dataclass(frozen=True)
class Card:
    """A card as its owner gives it. It cannot be printed."""

    request_id: UUID
    digits: str
    expires: tuple

    def __repr__(self):
        return "Card(***)"


class Invalid(Exception):
    """A malformed request, with everything that is wrong: field, reason, words."""

    def __init__(self, violations):
        words = "; ".join(f"{field} {words}" for field, _, words in violations)
        super().__init__(f"the request is malformed: {words}")
        self.violations = violations


class Fields:
    """Reads fields one after the other, so that a caller hears of all that is wrong at once."""

    def __init__(self):
        self.violations = []

    def refuse(self, field, reason, words):
        self.violations.append((field, reason, words))

    def uuid(self, field, value):
        if UUID_FORM.fullmatch(value):
            return UUID(value)
        self.refuse(field, "UUID_MALFORMED", "must be a UUID of 36 characters, with hyphens")
        return None

    def text(self, field, value, longest):
        if not 1 <= len(value) <= longest:
            words = f"must have 1 to {longest} characters"
            self.refuse(field, "TEXT_LENGTH_OUT_OF_RANGE", words)
        elif any(unicodedata.category(character) == "Cc" for character in value):
            self.refuse(field, "TEXT_MALFORMED", "must not have control characters")
        elif not value.strip():
            self.refuse(field, "TEXT_MALFORMED", "must not be blank")
        return value

    def number(self, field, value, first, last):
        if not first <= value <= last:
            self.refuse(field, "NUMBER_OUT_OF_RANGE", f"must be {first} to {last}")
        return value

    def amount(self, request):
        """The request's amount, which must be above zero."""
        if not request.HasField("amount"):
            return self.refuse("amount", "FIELD_MISSING", "must be given")
        money = request.amount
        digits = MINOR_DIGITS.get(money.currency_code)
        if digits is None:
            words = "must be a currency that is dealt in here"
            return self.refuse("amount.currency_code", "CURRENCY_UNKNOWN", words)
        minor = money.units * 10**digits + money.nanos * 10**digits // NANOS_PER_UNIT
        whole = money.nanos % 10 ** (9 - digits) == 0 and abs(money.nanos) < NANOS_PER_UNIT
        if not whole or money.nanos < 0 or money.nanos * money.units < 0:
            words = "must make whole minor units, of the sign of units"
            return self.refuse("amount.nanos", "AMOUNT_MALFORMED", words)
        if not 0 < minor <= LARGEST:
            words = "must make an amount above zero that can be reckoned"
            return self.refuse("amount.units", "AMOUNT_OUT_OF_RANGE", words)
        return Money(money.currency_code, minor)

    def finish(self):
        if self.violations:
            raise Invalid(self.violations)


def digest(request):
    """Of a request as it was sent, without what nobody here knows. Equal content gives equal digests."""
    known = type(request)()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    return hashlib.sha256(known.SerializeToString(deterministic=True)).digest()[:16]


def tokenize(request):
    fields = Fields()
    request_id = fields.uuid("request_id", request.request_id)
    digits = cards.number(request.card_number)
    if digits is None:
        words = "must be 12 to 19 digits with a valid check digit"
        fields.refuse("card_number", "CARD_NUMBER_MALFORMED", words)
    month = fields.number("expiry_month", request.expiry_month, 1, 12)
    year = fields.number("expiry_year", request.expiry_year, 2000, 2100)
    fields.finish()
    return Card(request_id, digits, (year, month))


def authorize(request):
    fields = Fields()
    request_id = fields.uuid("request_id", request.request_id)
    token = fields.text("card_token", request.card_token, TOKEN_LIMIT)
    amount = fields.amount(request)
    fields.finish()
    return Command("authorize", request_id, request_id, digest(request), amount, token)


def capture(request):
    fields = Fields()
    part = fields.amount(request) if request.HasField("amount") else None
    return on_charge(fields, "capture", request, part)


def void(request):
    return on_charge(Fields(), "void", request, None)


def refund(request):
    fields = Fields()
    return on_charge(fields, "refund", request, fields.amount(request))


def get(request):
    fields = Fields()
    charge_id = fields.uuid("charge_id", request.charge_id)
    fields.finish()
    return charge_id


def on_charge(fields, name, request, amount):
    request_id = fields.uuid("request_id", request.request_id)
    charge_id = fields.uuid("charge_id", request.charge_id)
    fields.finish()
    return Command(name, charge_id, request_id, digest(request), amount)


def charge(it):
    """A charge as callers see it."""
    answer = proto.Charge(
        charge_id=str(it.charge_id),
        state=proto.ChargeState.Value(f"CHARGE_STATE_{it.state}"),
        decline_reason=it.decline_reason or "",
    )
    answer.create_time.FromDatetime(it.create_time)
    if it.amount is not None:
        answer.amount.CopyFrom(money(it.amount.currency, it.amount.minor))
        answer.authorized.CopyFrom(money(it.amount.currency, it.authorized))
        answer.captured.CopyFrom(money(it.amount.currency, it.captured))
        answer.refunded.CopyFrom(money(it.amount.currency, it.refunded))
    return answer


def money(currency, minor):
    per_unit = 10 ** MINOR_DIGITS[currency]
    units, rest = divmod(minor, per_unit)
    nanos = rest * (NANOS_PER_UNIT // per_unit)
    return money_pb2.Money(currency_code=currency, units=units, nanos=nanos)
