//! Card numbers, and what the sandbox does with each.

use std::fmt;

use time::{Date, Month};

/// A card number with a valid check digit. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CardNumber(String);

impl CardNumber {
    /// Reads 12 to 19 digits with a valid check digit; spaces are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        // Bounded first, so that a huge text is not copied.
        if text.len() > 64 {
            return None;
        }
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        let whole = (12..=19).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        (whole && has_valid_check_digit(&digits)).then_some(Self(digits))
    }

    /// All digits; only for what is keyed before it is kept.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four digits, which may be shown.
    pub fn last_digits(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }

    /// What the sandbox does with this card, which serves through the last day of its month.
    pub fn behaviour(&self, expires: (i32, Month), today: Date) -> Behaviour {
        let (year, month) = expires;
        if (year, u8::from(month)) < (today.year(), u8::from(today.month())) {
            return Behaviour::Decline("EXPIRED_CARD");
        }
        match self.0.as_str() {
            "4242424242424242" => Behaviour::Approve,
            "4000000000000002" => Behaviour::Decline("GENERIC_DECLINE"),
            "4000000000009995" => Behaviour::Decline("INSUFFICIENT_FUNDS"),
            "4000000000000069" => Behaviour::Decline("EXPIRED_CARD"),
            "4000000000009979" => Behaviour::Decline("STOLEN_CARD"),
            "4000000000000341" => Behaviour::LoseFirstAnswers,
            "4000000000000358" => Behaviour::LoseFirstRequests,
            "4000000000000366" => Behaviour::AnswerSlowly,
            "4000000000000374" => Behaviour::RefuseCapture,
            "4000000000000382" => Behaviour::RefuseFirstRefund,
            _ => Behaviour::Decline("CARD_UNKNOWN"),
        }
    }
}

impl fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardNumber(***)")
    }
}

/// Luhn: every second digit from the right doubled, digits summed, the whole divisible by ten.
fn has_valid_check_digit(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .map(|digit| u32::from(digit - b'0'))
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// What the sandbox does with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Approve,
    /// Declines with this reason.
    Decline(&'static str),
    /// Does the work of each first request and never answers it.
    LoseFirstAnswers,
    /// Does nothing for each first request and never answers it.
    LoseFirstRequests,
    AnswerSlowly,
    RefuseCapture,
    RefuseFirstRefund,
}

const NAMED: [(Behaviour, &str); 11] = [
    (Behaviour::Approve, "APPROVE"),
    (Behaviour::Decline("GENERIC_DECLINE"), "GENERIC_DECLINE"),
    (Behaviour::Decline("INSUFFICIENT_FUNDS"), "INSUFFICIENT_FUNDS"),
    (Behaviour::Decline("EXPIRED_CARD"), "EXPIRED_CARD"),
    (Behaviour::Decline("STOLEN_CARD"), "STOLEN_CARD"),
    (Behaviour::Decline("CARD_UNKNOWN"), "CARD_UNKNOWN"),
    (Behaviour::LoseFirstAnswers, "LOSE_FIRST_ANSWERS"),
    (Behaviour::LoseFirstRequests, "LOSE_FIRST_REQUESTS"),
    (Behaviour::AnswerSlowly, "ANSWER_SLOWLY"),
    (Behaviour::RefuseCapture, "REFUSE_CAPTURE"),
    (Behaviour::RefuseFirstRefund, "REFUSE_FIRST_REFUND"),
];

impl Behaviour {
    /// The name it is kept under.
    pub fn name(self) -> &'static str {
        let (_, name) = NAMED.iter().find(|(it, _)| *it == self).expect("every behaviour is named");
        name
    }

    /// The behaviour kept under `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        NAMED.iter().find(|(_, known)| *known == name).map(|(it, _)| *it)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    const TODAY: Date = date!(2026 - 03 - 31);

    #[test]
    fn a_card_serves_through_its_last_month() {
        let card = CardNumber::parse("4242 4242 4242 4242").unwrap();
        let on = |year, month| card.behaviour((year, month), TODAY);

        assert_eq!(on(2026, Month::March), Behaviour::Approve);
        assert_eq!(on(2027, Month::January), Behaviour::Approve);
        assert_eq!(on(2026, Month::February), Behaviour::Decline("EXPIRED_CARD"));
        assert_eq!(on(2025, Month::December), Behaviour::Decline("EXPIRED_CARD"));
    }

    #[test]
    fn every_card_of_the_contract_has_a_valid_check_digit_and_a_name() {
        for number in [
            "4242 4242 4242 4242",
            "4000 0000 0000 0002",
            "4000 0000 0000 9995",
            "4000 0000 0000 0069",
            "4000 0000 0000 9979",
            "4000 0000 0000 0341",
            "4000 0000 0000 0358",
            "4000 0000 0000 0366",
            "4000 0000 0000 0374",
            "4000 0000 0000 0382",
            "5555 5555 5555 4444",
        ] {
            let number = CardNumber::parse(number).expect(number);
            let behaviour = number.behaviour((2040, Month::December), TODAY);
            assert_eq!(Behaviour::by_name(behaviour.name()), Some(behaviour));
        }
    }

    #[test]
    fn what_is_no_card_number_is_refused() {
        for text in
            ["", "4242424242424241", "42424242", "4242-4242-4242-4242", "４２４２４２４２４２４２"]
        {
            assert_eq!(CardNumber::parse(text), None, "{text}");
        }
        assert_eq!(CardNumber::parse(&"0".repeat(20)), None);
        assert_eq!(CardNumber::parse(&" ".repeat(5_000_000)), None);
    }

    #[test]
    fn what_stands_for_a_card_cannot_be_printed() {
        assert_eq!(format!("{:?}", crate::domain::CardToken::new("card_7")), "CardToken(***)");
    }

    #[test]
    fn a_card_number_cannot_be_printed() {
        let number = CardNumber::parse("4242424242424242").unwrap();

        assert!(!format!("{number:?}").contains("42"));
        assert_eq!(number.last_digits(), "4242");
    }
}
