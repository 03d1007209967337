//! What strangers show: headers and key sets that were kept in `corpus/`, and what comes of changing them
//! (`mesh_testkit::fuzz`).

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_auth::{Jwks, SigningKey, Verifier};
use mesh_testkit::fuzz::{Target, fuzz};

const HEADERS: Target<'_> = Target {
    corpus: "tests/corpus/headers",
    // A head with no algorithm, an empty object, and what lies between.
    words: &["Bearer ", "eyJhbGciOiJub25lIn0", "e30", ".", "..", "=", "AA", "-_", "bnVsbA"],
};
const SETS: Target<'_> = Target {
    corpus: "tests/corpus/sets",
    words: &[
        "\"keys\":[",
        "\"kty\":\"OKP\"",
        "\"crv\":\"Ed25519\"",
        "\"x\":\"",
        "\"kid\":\"\"",
        "null",
    ],
};
/// The private half of the key of RFC 8037, which everybody knows: PKCS#8 around its 32 bytes.
const KNOWN: [u8; 48] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// The second in which the tokens were signed that are kept.
fn then() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(86_400)
}

/// Who knows the key that everybody knows.
fn verifier() -> Verifier {
    let key = SigningKey::from_pkcs8(&KNOWN).unwrap();
    let verifier = Verifier::new("https://users.example", "shop");
    verifier.replace_keys(&Jwks { keys: vec![key.public().clone()] });
    verifier
}

/// A header's token, however its scheme is written.
fn token(header: &str) -> &str {
    header.trim().split_once(' ').map_or("", |(_, token)| token.trim_start())
}

#[test]
fn no_header_is_believed_but_those_that_were_signed() {
    let verifier = verifier();
    let kept = include_str!("corpus/headers.txt").lines();
    let good = kept.filter(|header| verifier.verify_at(header, then()).is_ok()).map(token);
    let good: HashSet<&str> = good.collect();
    assert_eq!(good.len(), 3, "some of what is kept can be, and some cannot");

    fuzz(&HEADERS, |input| {
        let text = String::from_utf8_lossy(input);
        match verifier.verify_at(&text, then()) {
            Ok(user) if good.contains(token(&text)) => Ok(user.key_id().to_owned()),
            Ok(user) => Err(format!("it is believed to be {}", user.subject())),
            Err(refused) => Ok(refused.reason().to_owned()),
        }
    });
}

#[test]
fn a_key_set_is_read_as_it_is_written_or_refused() {
    fuzz(&SETS, |input| {
        let _ = SigningKey::from_pkcs8(input);
        let Ok(set) = Jwks::from_json(input) else { return Ok(usize::MAX) };
        match Jwks::from_json(set.to_json().as_bytes()) {
            Ok(again) if again == set => {}
            other => return Err(format!("{set:?} becomes {other:?}")),
        }
        let verifier = Verifier::new("https://users.example", "shop");
        verifier.replace_keys(&set);
        Ok(set.keys.len())
    });
}
