"""Card numbers, and what the sandbox does with each. Pure."""

APPROVE = "APPROVE"
LOSE_FIRST_ANSWERS = "LOSE_FIRST_ANSWERS"
LOSE_FIRST_REQUESTS = "LOSE_FIRST_REQUESTS"
ANSWER_SLOWLY = "ANSWER_SLOWLY"
REFUSE_CAPTURE = "REFUSE_CAPTURE"
REFUSE_FIRST_REFUND = "REFUSE_FIRST_REFUND"
EXPIRED_CARD = "EXPIRED_CARD"
CARD_UNKNOWN = "CARD_UNKNOWN"

# Every other behaviour declines, for the reason that it is named by.
ACCEPTING = frozenset(
    [
        APPROVE,
        LOSE_FIRST_ANSWERS,
        LOSE_FIRST_REQUESTS,
        ANSWER_SLOWLY,
        REFUSE_CAPTURE,
        REFUSE_FIRST_REFUND,
    ]
)

BEHAVIOURS = {
    "4242424242424242": APPROVE,
    "4000000000000002": "GENERIC_DECLINE",
    "4000000000009995": "INSUFFICIENT_FUNDS",
    "4000000000000069": EXPIRED_CARD,
    "4000000000009979": "STOLEN_CARD",
    "4000000000000341": LOSE_FIRST_ANSWERS,
    "4000000000000358": LOSE_FIRST_REQUESTS,
    "4000000000000366": ANSWER_SLOWLY,
    "4000000000000374": REFUSE_CAPTURE,
    "4000000000000382": REFUSE_FIRST_REFUND,
}
# Longer than any number with blanks between its digits.
LONGEST = 64


def number(text):
    """The 12 to 19 digits with a valid check digit that `text` is, blanks ignored; none if it is not."""
    digits = text.replace(" ", "") if len(text) <= LONGEST else ""
    whole = 12 <= len(digits) <= 19 and digits.isascii() and digits.isdigit()
    return digits if whole and has_valid_check_digit(digits) else None


def has_valid_check_digit(digits):
    """Luhn: every second digit from the right doubled, digits summed, the whole divisible by ten."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(it - 9 if it > 9 else it for it in doubled) % 10 == 0


def behaviour(digits, expires, today):
    """What the sandbox does with a card, which serves through the last day of its month (year, month)."""
    if expires < today:
        return EXPIRED_CARD
    return BEHAVIOURS.get(digits, CARD_UNKNOWN)
