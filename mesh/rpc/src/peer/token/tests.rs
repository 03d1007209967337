use std::{path::PathBuf, time::Duration};

use mesh_local::{NAMESPACE, ServiceKeys};
use uuid::Uuid;

use super::*;
use crate::peer::{SpiffeId, refusal::Refusal};

/// When these tests take place.
const NOW: SystemTime = UNIX_EPOCH;
const DAY: Duration = Duration::from_secs(86_400);

struct Lab {
    dir: PathBuf,
    keys: ServiceKeys,
}

impl Lab {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("tokens-{}", Uuid::new_v4().simple()));
        let keys = ServiceKeys::make(&dir, &["orders", "payments"]).unwrap();
        Self { dir, keys }
    }

    fn key(&self, service: &str) -> ServiceKey {
        ServiceKey::read(id(service), &self.keys.private(service)).unwrap()
    }

    fn verifier(&self) -> Verifier {
        Verifier::read(id("payments"), &self.keys.public()).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn id(service: &str) -> SpiffeId {
    format!("{NAMESPACE}/{service}").parse().unwrap()
}

/// So many seconds after the tests' day.
fn at(second: u64) -> SystemTime {
    NOW + DAY + Duration::from_secs(second)
}

fn claims() -> Claims {
    let iat = seconds(at(0));
    Claims { iss: id("orders").to_string(), aud: id("payments").to_string(), iat, exp: iat + 60 }
}

#[tokio::test]
async fn a_token_is_good_for_a_minute_and_five_seconds_of_skew_known_or_not() {
    let lab = Lab::new();
    let (verifier, fresh) = (lab.verifier(), lab.verifier());
    let token = lab.key("orders").sign(&id("payments"), at(0)).unwrap();

    assert_eq!(verifier.verify(&token, at(0)), Ok(id("orders")));
    assert_eq!(verifier.verify(&token, at(65)), Ok(id("orders")), "remembered");
    assert_eq!(verifier.verify(&token, at(66)), Err(Refusal::TokenExpired), "remembered");
    assert_eq!(fresh.verify(&token, at(66)), Err(Refusal::TokenExpired));
    // The clock of the one who verifies may be slow.
    let slow = NOW + DAY - Duration::from_secs(5);
    assert_eq!(fresh.verify(&token, slow), Ok(id("orders")));
    let slower = NOW + DAY - Duration::from_secs(6);
    assert_eq!(lab.verifier().verify(&token, slower), Err(Refusal::TokenTooEarly));
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let lab = Lab::new();
    let verifier = lab.verifier();
    let orders = lab.key("orders");

    let posing = Claims { iss: id("payments").to_string(), ..claims() };
    let posing = orders.encode(&posing).unwrap();
    let others = ServiceKey::read(id("orders"), &lab.keys.private("payments")).unwrap();
    let others = others.encode(&claims()).unwrap();
    let stranger = ServiceKey::read(id("stranger"), &lab.keys.private("orders")).unwrap();
    let stranger = stranger.sign(&id("payments"), at(0)).unwrap();

    assert_eq!(verifier.verify(&posing, at(0)), Err(Refusal::TokenForged), "another's name");
    assert_eq!(verifier.verify(&others, at(0)), Err(Refusal::TokenForged), "another's key");
    assert_eq!(verifier.verify(&stranger, at(0)), Err(Refusal::TokenIssuerUnknown));
}

#[tokio::test]
async fn what_a_token_says_must_be_as_agreed() {
    let lab = Lab::new();
    let (verifier, orders) = (lab.verifier(), lab.key("orders"));
    let verify = |claims: &Claims| verifier.verify(&orders.encode(claims).unwrap(), at(0));

    let long = Claims { exp: claims().iat + 61, ..claims() };
    let elsewhere = Claims { aud: id("catalog").to_string(), ..claims() };

    assert_eq!(verify(&claims()), Ok(id("orders")));
    assert_eq!(verify(&long), Err(Refusal::TokenTooLong));
    assert!(matches!(verify(&elsewhere), Err(Refusal::TokenForAnother { .. })));
    assert_eq!(verifier.verify("x.y.z", at(0)), Err(Refusal::TokenMalformed));
    assert_eq!(verifier.verify(&"x".repeat(5000), at(0)), Err(Refusal::TokenMalformed));
}

#[tokio::test]
async fn a_token_without_a_signature_or_signed_with_the_public_key_is_refused() {
    let lab = Lab::new();
    let token = lab.key("orders").encode(&claims()).unwrap();
    let (body, _) = token.rsplit_once('.').unwrap();

    assert_eq!(lab.verifier().verify(&format!("{body}."), at(0)), Err(Refusal::TokenForged));

    let header = jsonwebtoken::Header {
        kid: Some(id("orders").to_string()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    let public = std::fs::read(lab.keys.public()).unwrap();
    let secret = jsonwebtoken::EncodingKey::from_secret(&public);
    let token = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    assert!(lab.verifier().verify(&token, at(0)).is_err());
}

#[tokio::test]
async fn a_caller_signs_anew_at_half_the_life_and_when_its_clock_was_set_back() {
    let lab = Lab::new();
    let tokens = lab.key("orders").tokens_for("payments").unwrap();

    let first = tokens.header(at(1000)).unwrap();
    assert_eq!(tokens.header(at(1029)).unwrap(), first);
    let second = tokens.header(at(1030)).unwrap();
    assert_ne!(second, first);
    assert_ne!(tokens.header(at(0)).unwrap(), second);
}

#[tokio::test]
async fn only_so_many_tokens_are_remembered() {
    let lab = Lab::new();
    let (verifier, orders) = (lab.verifier(), lab.key("orders"));

    for second in 0..1500 {
        let token = orders.sign(&id("payments"), at(second)).unwrap();
        verifier.verify(&token, at(second)).unwrap();
        assert!(verifier.remembers() <= 1024);
    }
    assert!(verifier.remembers() > 50, "what has not expired is remembered");
}
