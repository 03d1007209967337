//! What a stock keeping unit looks like, wherever the contracts name one. Pure.

/// Why a text that can be no SKU is refused.
pub const MALFORMED: &str = "SKU_MALFORMED";
/// The same in words, which follow the field's name.
pub const FORM: &str = "must be 1 to 40 of A-Z, 0-9 and '-'";

/// Whether this text can be a SKU; somebody need not sell it.
pub fn is_sku(text: &str) -> bool {
    let is_known = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(is_known)
}
