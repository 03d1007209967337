//! Pages of lists: where the next one begins, bound to the query that it was asked with.
//!
//! A token is opaque to callers. It names the last element of its page, so elements that come or go
//! between two pages neither move nor hide others. Its tag is no secret; it notices a token that
//! was cut, changed, or taken from another query.

use sha2::{Digest as _, Sha256};

use crate::Fields;

const TAG: usize = 8;
/// How many elements a page has if the caller does not say.
const USUAL: usize = 50;
/// How many it has at most: who asks for more gets this many, as AIP-158 says.
const LARGEST: usize = 1000;

/// The part of a list that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What the last element of the page before was called; none for the first page.
    pub after: Option<String>,
    /// How many elements are wanted, 1 to 1,000.
    pub size: usize,
}

impl Fields {
    /// Reads `page_size` and `page_token` of the list that `query` names: the method and whatever
    /// filters and orders it, but not the size, which a caller may change on the way.
    pub fn page(&mut self, query: &str, size: i32, token: &str) -> Page {
        let size = match usize::try_from(size) {
            Ok(0) => USUAL,
            Ok(size) => size.min(LARGEST),
            Err(_) => {
                self.refuse("page_size", "PAGE_SIZE_NEGATIVE", "must not be negative");
                USUAL
            }
        };
        let after = parse(query, token);
        if after.is_none() && !token.is_empty() {
            self.refuse_page_token();
        }
        Page { after, size }
    }

    /// Says that a page token belongs to no page of this list.
    pub fn refuse_page_token(&mut self) {
        self.refuse(
            "page_token",
            "PAGE_TOKEN_MALFORMED",
            "must be a `next_page_token` of this list, or empty",
        );
    }
}

/// The token for the page of `query` after `last`; [`Fields::page`] reads it.
pub fn page_token(query: &str, last: &str) -> String {
    let tag = tag(query, last);
    tag.iter().chain(last.as_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what `token` was made from; `None` if it was not made so for `query`.
fn parse(query: &str, token: &str) -> Option<String> {
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
            prop_assert_eq!(parse("ListProducts", &page_token("ListProducts", &last)), Some(last));
        }

        #[test]
        fn what_nobody_made_is_no_token(text in ".{0,60}") {
            prop_assert_eq!(parse("ListProducts", &text), None);
        }

        #[test]
        fn a_changed_token_is_refused(last in "[A-Z0-9-]{1,40}", place in any::<prop::sample::Index>()) {
            let mut token = page_token("ListProducts", &last).into_bytes();
            let place = place.index(token.len());
            token[place] = if token[place] == b'0' { b'1' } else { b'0' };

            prop_assert_eq!(parse("ListProducts", std::str::from_utf8(&token).unwrap()), None);
        }
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        assert_eq!(parse("ListProducts", &page_token("SearchProducts", "MUG-BLUE-350")), None);
        assert_eq!(parse("ListProducts", &page_token("ListProducts category=tea", "A")), None);
    }
}
