//! Page tokens: where the next page begins, bound to the query that they were made for.
//!
//! A token is opaque to callers. It names the last SKU of its page, so products that come or go
//! between two pages neither move nor hide others. Its tag is no secret; it notices a token that
//! was cut, changed, or taken from another query.

use sha2::{Digest as _, Sha256};

const TAG: usize = 8;

/// Makes the token for the page of `query` after `last`.
pub fn token(query: &str, last: &str) -> String {
    let tag = tag(query, last);
    tag.iter().chain(last.as_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what `token` was made from; `None` if it was not made so for `query`.
pub fn parse(query: &str, token: &str) -> Option<String> {
    if !token.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = token.bytes().map(digit).collect();
    let bytes: Vec<u8> = digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let (given, last) = bytes.split_at_checked(TAG)?;
    let last = std::str::from_utf8(last).ok()?;
    (given == tag(query, last)).then(|| last.to_owned())
}

/// Only the digits that [`token`] writes, so that a page has one token.
fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

fn tag(query: &str, last: &str) -> [u8; TAG] {
    let full = Sha256::new().chain_update(query).chain_update([0]).chain_update(last).finalize();
    full[..TAG].try_into().expect("SHA-256 is longer")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_gives_back_what_it_was_made_from(last in "[A-Z0-9-]{1,40}") {
            prop_assert_eq!(parse("ListProducts", &token("ListProducts", &last)), Some(last));
        }

        #[test]
        fn what_nobody_made_is_no_token(text in ".{0,60}") {
            prop_assert_eq!(parse("ListProducts", &text), None);
        }

        #[test]
        fn a_changed_token_is_refused(last in "[A-Z0-9-]{1,40}", place in any::<prop::sample::Index>()) {
            let mut token = token("ListProducts", &last).into_bytes();
            let place = place.index(token.len());
            token[place] = if token[place] == b'0' { b'1' } else { b'0' };

            prop_assert_eq!(parse("ListProducts", std::str::from_utf8(&token).unwrap()), None);
        }
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        assert_eq!(parse("ListProducts", &token("SearchProducts", "MUG-BLUE-350")), None);
        assert_eq!(parse("ListProducts", &token("ListProducts category=tea", "A")), None);
    }
}
