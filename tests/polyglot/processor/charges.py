"""A charge: what a card was asked for, and what it gave. Pure: no clock, no database, no wire."""

from dataclasses import dataclass
from datetime import datetime
from typing import Optional
from uuid import UUID

import cards

AUTHORIZED = "AUTHORIZED"
DECLINED = "DECLINED"
CAPTURED = "CAPTURED"
VOIDED = "VOIDED"


class Refusal(Exception):
    """Why the processor refuses: a stable reason, the field to blame, words, and values of the reason."""

    def __init__(self, reason, field, words, **values):
        super().__init__(words)
        self.reason = reason
        self.field = field
        self.values = values


@dataclass(frozen=True)
class Money:
    """Whole minor units of a currency."""

    currency: str
    minor: int


@dataclass
class Charge:
    """One charge. Without `amount` it was voided before it arrived."""

    charge_id: UUID
    state: str
    create_time: datetime
    digest: Optional[bytes] = None
    card_token: Optional[str] = None
    amount: Optional[Money] = None
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    decline_reason: Optional[str] = None
    refund_refused: bool = False

    def authorize_again(self, digest):
        """The first outcome of its id again."""
        if self.amount is None:
            raise cancelled_before_arrival("request_id")
        if self.digest != digest:
            raise content_differs()
        self.refuse_if_declined()

    def refuse_if_declined(self):
        if self.decline_reason is not None:
            words = f"the card was declined: {self.decline_reason}"
            raise Refusal("CARD_DECLINED", "card_token", words, decline_reason=self.decline_reason)

    def capture(self, part, card):
        """Takes what is reserved, or this part of it, and frees the rest."""
        if self.state == VOIDED:
            raise cancelled_before_arrival("charge_id")
        if self.state != AUTHORIZED:
            words = "the charge holds no reserved amount"
            raise Refusal("CHARGE_NOT_AUTHORIZED", "charge_id", words)
        if part is not None and part.currency != self.amount.currency:
            raise currency_differs()
        taken = self.authorized if part is None else part.minor
        if taken > self.authorized:
            raise Refusal("CAPTURE_TOO_LARGE", "amount", "more than what is reserved")
        if card == cards.REFUSE_CAPTURE:
            raise Refusal("CAPTURE_REFUSED", "charge_id", "the capture was refused")
        self.state, self.authorized, self.captured = CAPTURED, 0, taken

    def void(self):
        """Frees what is reserved."""
        if self.state == CAPTURED:
            raise Refusal("CHARGE_CAPTURED", "charge_id", "something was taken already")
        if self.state == AUTHORIZED:
            self.state, self.authorized = VOIDED, 0

    def refund(self, amount, card):
        """Gives back some or all of what was taken."""
        if self.state != CAPTURED:
            words = "nothing was taken that could be given back"
            raise Refusal("CHARGE_NOT_CAPTURED", "charge_id", words)
        if amount.currency != self.amount.currency:
            raise currency_differs()
        if amount.minor > self.captured - self.refunded:
            raise Refusal("REFUND_TOO_LARGE", "amount", "more than what is left of the charge")
        if card == cards.REFUSE_FIRST_REFUND and not self.refund_refused:
            self.refund_refused = True
            raise Refusal("REFUND_REFUSED", "charge_id", "the refund was refused")
        self.refunded += amount.minor


def begin(command, card, now):
    """The charge that an authorization makes. A card that declines leaves it behind, DECLINED."""
    if card is None:
        raise Refusal("CARD_TOKEN_UNKNOWN", "card_token", "no card has this token")
    charge = Charge(command.charge_id, AUTHORIZED, now, command.digest, command.card_token)
    charge.amount = command.amount
    if card in cards.ACCEPTING:
        charge.authorized = command.amount.minor
    else:
        charge.state, charge.decline_reason = DECLINED, card
    return charge


def cancelled_before_arrival(field):
    words = "the charge was voided before the request arrived"
    return Refusal("CANCELLED_BEFORE_ARRIVAL", field, words)


def content_differs():
    words = "another request with other content came under this id"
    return Refusal("REQUEST_CONTENT_DIFFERS", "request_id", words)


def currency_differs():
    return Refusal("CURRENCY_DIFFERS", "amount.currency_code", "not the currency of the charge")


def not_found():
    return Refusal("CHARGE_NOT_FOUND", "charge_id", "there is no such charge")
