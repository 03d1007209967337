//! Opaque tokens that can be made again: whoever has the secret makes the same token for the same
//! thing, so nothing has to be kept by which somebody who reads a table could pose as its user.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use mesh_runtime::Secret;
use uuid::Uuid;

/// Id, number, and the tag.
const LENGTH: usize = 16 + 4 + 32;

/// Makes and reads tokens: a refresh token is that of a session and the number of its refreshes.
///
/// ```
/// use mesh_auth::Stamps;
/// use uuid::Uuid;
///
/// let stamps = Stamps::new(b"known to one service only, 32 bytes");
/// let (session, refreshes) = (Uuid::now_v7(), 3);
/// let token = stamps.stamp("refresh", session, refreshes);
///
/// assert_eq!(stamps.read("refresh", token.expose()), Some((session, refreshes)));
/// assert_eq!(stamps.read("reset", token.expose()), None, "for something else");
/// ```
#[derive(Clone)]
pub struct Stamps {
    key: hmac::Key,
}

impl Stamps {
    /// Makes tokens with `secret`.
    pub fn new(secret: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// The token for the thing `id` at `number`, good for `purpose` alone.
    pub fn stamp(&self, purpose: &str, id: Uuid, number: u32) -> Secret {
        let tag = hmac::sign(&self.key, &content(purpose, id, number));
        let token = [id.as_bytes().as_slice(), &number.to_be_bytes(), tag.as_ref()].concat();
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(token))
    }

    /// Which thing the token is for, and at which number; nothing if it was not made here for
    /// `purpose`. Takes the same time however much of a forged token is right.
    pub fn read(&self, purpose: &str, token: &str) -> Option<(Uuid, u32)> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let bytes: [u8; LENGTH] = bytes.try_into().ok()?;
        let id = Uuid::from_slice(&bytes[..16]).ok()?;
        let number = u32::from_be_bytes(bytes[16..20].try_into().ok()?);
        let content = content(purpose, id, number);
        hmac::verify(&self.key, &content, &bytes[20..]).ok()?;
        Some((id, number))
    }
}

fn content(purpose: &str, id: Uuid, number: u32) -> Vec<u8> {
    [id.as_bytes().as_slice(), &number.to_be_bytes(), purpose.as_bytes()].concat()
}

impl fmt::Debug for Stamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamps").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_can_be_made_again_and_is_anothers_with_another_secret() {
        let stamps = Stamps::new(b"a");
        let token = stamps.stamp("refresh", Uuid::max(), 7);

        assert_eq!(stamps.stamp("refresh", Uuid::max(), 7), token);
        assert_ne!(stamps.stamp("refresh", Uuid::max(), 8), token);
        assert_eq!(Stamps::new(b"b").read("refresh", token.expose()), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_changed_byte_is_taken(
            text in ".{0,80}",
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let stamps = Stamps::new(b"a");
            prop_assert_eq!(stamps.read("refresh", &text), None);
            let mut token = stamps.stamp("refresh", Uuid::max(), 7).expose().as_bytes().to_vec();
            let place = place.index(token.len());
            prop_assume!(token[place] != byte);
            token[place] = byte;
            let token = String::from_utf8_lossy(&token);
            prop_assert_eq!(stamps.read("refresh", &token), None);
        }
    }
}
