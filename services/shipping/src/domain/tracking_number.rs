//! What stands on a parcel's label.

use uuid::Uuid;

/// Digits and capital letters without those that look alike (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// So many letters of five bits hold 128.
const LENGTH: u32 = 26;

/// The tracking number of a shipment: its id in a form that people can read out.
pub fn tracking_number(shipment: Uuid) -> String {
    let id = shipment.as_u128();
    let letter = |place: u32| char::from(LETTERS[(id >> (5 * place) & 31) as usize]);
    (0..LENGTH).rev().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_look_like_this() {
        let number = |id| tracking_number(Uuid::from_u128(id));

        assert_eq!(number(0), "0".repeat(26));
        assert_eq!(number(u128::MAX), format!("7{}", "Z".repeat(25)));
        assert_eq!(number(32 * 31 + 10), format!("{}ZA", "0".repeat(24)));
    }

    proptest! {
        #[test]
        fn a_number_gives_its_shipment_back(id in any::<u128>()) {
            let number = tracking_number(Uuid::from_u128(id));

            let place = |letter: u8| LETTERS.iter().position(|known| *known == letter).unwrap();
            let back = number.bytes().fold(0_u128, |id, letter| id << 5 | place(letter) as u128);
            prop_assert_eq!(back, id);
        }
    }
}
