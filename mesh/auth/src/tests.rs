use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::claims::Claims;

const ISSUER: &str = "https://users.example";
const AUDIENCE: &str = "shop";

struct Lab {
    signer: Signer,
    verifier: Verifier,
}

impl Lab {
    fn new() -> Self {
        let signer = Signer::new(ISSUER, AUDIENCE, SigningKey::generate().unwrap());
        let verifier = Verifier::new(ISSUER, AUDIENCE);
        verifier.replace_keys(&signer.jwks());
        Self { signer, verifier }
    }

    fn token(&self, grant: &Grant) -> String {
        bearer(self.signer.sign_at(grant, at(0)).unwrap().expose())
    }

    fn refusal(&self, claims: &Claims) -> Refused {
        let token = bearer(self.signer.encode(claims).unwrap().expose());
        self.verifier.verify_at(&token, at(0)).unwrap_err()
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// So many seconds after the tests' day.
fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(86_400 + second)
}

fn grant() -> Grant {
    Grant::new(Uuid::from_u128(1), Uuid::from_u128(2))
}

fn claims() -> Claims {
    let iat = seconds(at(0));
    Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: Uuid::from_u128(1),
        sid: Uuid::from_u128(2),
        iat,
        exp: iat + LIFE.as_secs(),
        roles: Vec::new(),
        permissions: Vec::new(),
    }
}

fn signed_with(algorithm: Algorithm, kid: &str, key: &EncodingKey) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    bearer(&jsonwebtoken::encode(&header, &claims(), key).unwrap())
}

#[test]
fn a_token_says_who_the_user_is_and_what_they_may_do() {
    let lab = Lab::new();
    let token = lab.token(&grant().roles(["support"]).permissions(["orders.manage"]));

    for _ in ["for the first time", "remembered"] {
        let user = lab.verifier.verify_at(&token, at(1)).unwrap();
        assert_eq!((user.subject(), user.session()), (Uuid::from_u128(1), Uuid::from_u128(2)));
        assert_eq!(user.roles().collect::<Vec<_>>(), ["support"]);
        assert!(user.has_permission("orders.manage") && !user.has_permission("orders"));
        assert_eq!((user.issued(), user.expires()), (at(0), at(900)));
        assert_eq!(user.key_id(), lab.signer.jwks().keys[0].id());
    }
}

#[test]
fn a_token_lives_for_15_minutes_and_5_seconds_of_skew_known_or_not() {
    let lab = Lab::new();
    let token = lab.token(&grant());
    let fresh = || {
        let verifier = Verifier::new(ISSUER, AUDIENCE);
        verifier.replace_keys(&lab.signer.jwks());
        verifier
    };
    let early = |seconds| at(0) - Duration::from_secs(seconds);

    assert!(lab.verifier.verify_at(&token, at(904)).is_ok());
    assert_eq!(lab.verifier.verify_at(&token, at(905)).unwrap_err(), Refused::Expired);
    assert_eq!(fresh().verify_at(&token, at(905)).unwrap_err(), Refused::Expired);
    assert!(fresh().verify_at(&token, early(5)).is_ok());
    assert_eq!(fresh().verify_at(&token, early(6)).unwrap_err(), Refused::TooEarly);
}

#[test]
fn what_a_token_says_must_be_as_agreed() {
    let lab = Lab::new();

    let other = |change: fn(&mut Claims)| {
        let mut claims = claims();
        change(&mut claims);
        lab.refusal(&claims)
    };

    assert_eq!(other(|it| it.iss = "https://other.example".to_owned()), Refused::Issuer);
    assert_eq!(other(|it| it.aud = "else".to_owned()), Refused::Audience);
    assert_eq!(other(|it| it.exp += 1), Refused::TooLong);
    assert_eq!(other(|it| (it.iat, it.exp) = (0, 1)), Refused::Expired);
    assert_eq!(other(|it| (it.iat, it.exp) = (u64::MAX - 1, u64::MAX)), Refused::TooEarly);
}

#[test]
fn nothing_but_a_signature_of_a_published_key_is_believed() {
    let lab = Lab::new();
    let published = lab.signer.jwks().keys[0].clone();
    let verify = |token: &str| lab.verifier.verify_at(token, at(0)).unwrap_err();
    let stranger = SigningKey::generate().unwrap();

    let unknown = signed_with(Algorithm::EdDSA, stranger.id(), stranger.private());
    assert_eq!(verify(&unknown), Refused::KeyUnknown);
    let posing = signed_with(Algorithm::EdDSA, published.id(), stranger.private());
    assert_eq!(verify(&posing), Refused::Forged);

    for secret in [published.x(), &lab.signer.jwks().to_json()] {
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let hmac = signed_with(Algorithm::HS256, published.id(), &secret);
        assert_eq!(verify(&hmac), Refused::Algorithm);
    }

    let token = lab.token(&grant());
    let [_, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let with_head = |head: serde_json::Value| {
        bearer(&format!("{}.{body}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(head.to_string())))
    };
    let none = with_head(serde_json::json!({ "alg": "none", "kid": published.id() }));
    assert_eq!(verify(&none), Refused::Algorithm);
    assert_eq!(verify(&format!("{}.", none.rsplit_once('.').unwrap().0)), Refused::Algorithm);
    let unnamed = with_head(serde_json::json!({ "alg": "EdDSA" }));
    assert_eq!(verify(&unnamed), Refused::Malformed);
    let critical = serde_json::json!({ "alg": "EdDSA", "kid": published.id(), "crit": ["exp"] });
    assert_eq!(verify(&with_head(critical)), Refused::Malformed);

    let (all, _) = token.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{all}.")), Refused::Forged);
    assert_eq!(verify("Basic YTpi"), Refused::NotBearer);
    assert_eq!(verify("Bearer"), Refused::NotBearer);
    assert_eq!(verify("Bearer x.y.z"), Refused::Malformed);
    assert_eq!(verify(&bearer(&"x".repeat(5000))), Refused::Malformed);
    assert!(lab.verifier.verify_at(&token.replace("Bearer", "bearer"), at(0)).is_ok());
}

#[tokio::test]
async fn keys_rotate_with_overlap_and_a_key_that_left_signs_for_nobody() {
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let before = Signer::new(ISSUER, AUDIENCE, old.clone());
    let during = Signer::new(ISSUER, AUDIENCE, new.clone()).publishing([old.public().clone()]);
    let after = Signer::new(ISSUER, AUDIENCE, new);
    let verifier = Verifier::new(ISSUER, AUDIENCE);
    let sign = |signer: &Signer| bearer(signer.sign_at(&grant(), at(0)).unwrap().expose());
    let (first, second) = (sign(&before), sign(&during));

    verifier.replace_keys(&before.jwks());
    assert!(verifier.verify_at(&first, at(0)).is_ok());
    assert_eq!(verifier.verify_at(&second, at(0)).unwrap_err(), Refused::KeyUnknown);
    verifier.key_missed().await;
    verifier.replace_keys(&Jwks::from_json(during.jwks().to_json().as_bytes()).unwrap());
    assert!(verifier.verify_at(&first, at(0)).is_ok());
    assert!(verifier.verify_at(&second, at(0)).is_ok());
    verifier.replace_keys(&after.jwks());
    assert_eq!(verifier.verify_at(&first, at(0)).unwrap_err(), Refused::KeyUnknown, "was known");
    assert!(verifier.verify_at(&second, at(0)).is_ok());
}

#[test]
fn a_key_is_the_same_after_it_was_kept() {
    let key = SigningKey::generate().unwrap();
    let kept = SigningKey::from_pkcs8(key.expose_pkcs8()).unwrap();

    assert_eq!(kept.public(), key.public());
    assert_eq!(SigningKey::from_pkcs8(b"no key").unwrap_err(), NotAKey::Unreadable);
    assert!(!format!("{key:?}").contains("private"), "{key:?}");
}

/// The example of RFC 8037, appendix A.3.
#[test]
fn a_key_is_named_by_its_thumbprint() {
    let x = BASE64_URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    assert_eq!(Jwk::ed25519(&x).id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn keys_of_other_kinds_in_a_set_are_passed_over() {
    let ours = SigningKey::generate().unwrap();
    let set = serde_json::json!({ "keys": [
        { "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" },
        { "kty": "OKP", "crv": "X25519", "kid": "x", "x": "AA" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AA" },
        ours.public(),
    ]});

    let read = Jwks::from_json(set.to_string().as_bytes()).unwrap();
    assert_eq!(read.keys, [ours.public().clone()]);
    assert!(Jwks::from_json(b"[]").is_err());
}

#[test]
fn a_session_that_ended_is_refused_and_the_others_are_not() {
    let lab = Lab::new();
    let other = Grant::new(Uuid::from_u128(1), Uuid::from_u128(3));
    let (token, other) = (lab.token(&grant()), lab.token(&other));
    assert!(lab.verifier.verify_at(&token, at(1)).is_ok());

    lab.verifier.revocations().revoke_session(Uuid::from_u128(2), at(900));

    assert_eq!(lab.verifier.verify_at(&token, at(1)).unwrap_err(), Refused::Revoked);
    assert!(lab.verifier.verify_at(&other, at(1)).is_ok());
    lab.verifier.revocations().clear();
    assert!(lab.verifier.verify_at(&token, at(1)).is_ok());
}

#[test]
fn all_tokens_of_a_user_end_that_were_issued_until_then() {
    let lab = Lab::new();
    let sign = |second| bearer(lab.signer.sign_at(&grant(), at(second)).unwrap().expose());
    let revocations = lab.verifier.revocations();

    revocations.revoke_subject(Uuid::from_u128(1), at(10), at(910));
    revocations.revoke_subject(Uuid::from_u128(1), at(5), at(905));

    assert_eq!(lab.verifier.verify_at(&sign(10), at(11)).unwrap_err(), Refused::Revoked);
    assert!(lab.verifier.verify_at(&sign(11), at(11)).is_ok());
    assert_eq!(revocations.len(), 1);
}

#[test]
fn who_does_not_know_what_is_revoked_goes_by_the_rule() {
    for (rule, refused) in [("open", None), ("closed", Some(Refused::RevocationsUnknown))] {
        let lab = Lab::new();
        let rule: WhenLost = rule.parse().unwrap();
        let verifier = Verifier::new(ISSUER, AUDIENCE).when_lost(rule);
        verifier.replace_keys(&lab.signer.jwks());
        let token = lab.token(&grant());

        verifier.revocations().set_lost(true);
        assert_eq!(verifier.verify_at(&token, at(0)).err(), refused);
        verifier.revocations().set_lost(false);
        assert!(verifier.verify_at(&token, at(0)).is_ok());
    }
    assert!("ajar".parse::<WhenLost>().is_err());
}

#[test]
fn only_so_many_tokens_are_remembered() {
    let lab = Lab::new();
    let verifier = Verifier::new(ISSUER, AUDIENCE).remembering(64);
    verifier.replace_keys(&lab.signer.jwks());
    let sign = |second| bearer(lab.signer.sign_at(&grant(), at(second)).unwrap().expose());

    for second in 0..100 {
        verifier.verify_at(&sign(second), at(second)).unwrap();
        assert!(verifier.remembers() <= 64);
    }
    assert!(verifier.remembers() > 30, "what has not expired is remembered");
}

#[test]
fn revocations_that_no_token_can_meet_are_forgotten_and_others_are_not() {
    let lab = Lab::new();
    let now = SystemTime::now();
    let revocations = lab.verifier.revocations();

    revocations.revoke_session(Uuid::from_u128(2), now + LIFE);
    for _ in 0..5000 {
        revocations.revoke_session(Uuid::new_v4(), at(0));
        assert!(revocations.len() <= 1024);
    }

    let token = bearer(lab.signer.sign_at(&grant(), now).unwrap().expose());
    assert_eq!(lab.verifier.verify_at(&token, now).unwrap_err(), Refused::Revoked);
}

proptest! {
    #[test]
    fn no_header_panics(header in ".{0,200}") {
        let lab = Lab::new();
        prop_assert!(lab.verifier.verify(&header).is_err());
        prop_assert!(lab.verifier.verify(&bearer(&header)).is_err());
    }

    #[test]
    fn no_changed_byte_is_believed(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let lab = Lab::new();
        let token = lab.token(&grant().roles(["customer"]));
        let mut bytes = token.clone().into_bytes();
        let place = "Bearer ".len() + place.index(bytes.len() - "Bearer ".len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(lab.verifier.verify_at(&changed, at(0)).is_err(), "{changed}");
        }
    }

    #[test]
    fn no_key_set_panics(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Jwks::from_json(&text);
        let _ = SigningKey::from_pkcs8(&text);
    }

    #[test]
    fn no_json_in_the_place_of_head_and_claims_panics(head in json(), claims in json()) {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let token = [encode(&head), encode(&claims), "AAAA".to_owned()].join(".");
        prop_assert!(Lab::new().verifier.verify(&bearer(&token)).is_err());
    }
}

fn json() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[a-zA-Z]{0,8}".prop_map(|text| format!("{text:?}")),
        Just("\"EdDSA\"".to_owned()),
    ];
    let name = prop::sample::select(vec!["alg", "kid", "crit", "sub", "exp", "iat", "iss"]);
    prop::collection::vec((name, value), 0..6).prop_map(|members| {
        let members = members.iter().map(|(name, value)| format!("{name:?}:{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    })
}
