//! Percent-decoding, strict: what is not UTF-8 or not complete is no text.

use std::borrow::Cow;

/// What becomes of which character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One segment of a path: everything is decoded.
    Segment,
    /// Several segments of a path: `%2F` stays as it is, so that it remains no separator.
    Segments,
    /// A name or value of a query: `+` is a blank, as forms write it.
    Query,
}

/// Decodes `text`; none if it is malformed.
pub(crate) fn decode(text: &str, place: Place) -> Option<Cow<'_, str>> {
    let is_plain = |byte: &u8| *byte != b'%' && (place != Place::Query || *byte != b'+');
    if text.as_bytes().iter().all(is_plain) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
                if byte == b'/' && place == Place::Segments {
                    decoded.push(b'%');
                    decoded.extend_from_slice(digits);
                } else {
                    decoded.push(byte);
                }
                bytes = behind;
            }
            b'+' if place == Place::Query => decoded.push(b' '),
            plain => decoded.push(*plain),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_kept_only_where_it_would_separate() {
        assert_eq!(decode("a%2Fb%20c", Place::Segment).unwrap(), "a/b c");
        assert_eq!(decode("a%2Fb%2fc/%20", Place::Segments).unwrap(), "a%2Fb%2fc/ ");
        assert_eq!(decode("a+b%2B", Place::Query).unwrap(), "a b+");
        assert_eq!(decode("a+b", Place::Segment).unwrap(), "a+b");
        assert_eq!(decode("caf%C3%A9", Place::Segment).unwrap(), "café");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bad in ["%", "%4", "%zz", "%C3", "%+1", "a%FFb"] {
            assert_eq!(decode(bad, Place::Segment), None, "{bad}");
        }
    }
}
