//! Something that the shop sells.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

const LONGEST_SKU: usize = 40;

/// Something that the shop sells, and what one piece of it costs now.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    pub id: Uuid,
    pub sku: Sku,
    pub name: String,
    pub description: String,
    pub price: Money,
    pub created: OffsetDateTime,
}

/// Stock keeping unit: 1 to 40 of A-Z, 0-9 and '-'.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sku(String);

impl Sku {
    /// The SKU that this text is, if it is one; somebody need not sell it.
    pub fn parse(text: &str) -> Option<Self> {
        let letters = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=LONGEST_SKU).contains(&text.len());
        (fits && text.bytes().all(letters)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_short_and_of_few_letters() {
        for sku in ["A", "MUG-BLUE-350", "0", "-", &"X".repeat(40)] {
            assert_eq!(Sku::parse(sku).unwrap().as_str(), sku);
        }
        for text in ["", "mug", "MUG BLUE", "MUG_BLUE", "MÜG", "A\0", &"X".repeat(41)] {
            assert_eq!(Sku::parse(text), None, "{text:?}");
        }
    }
}
