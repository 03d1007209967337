//! Keys that sign access tokens: the same on every replica, rotated with overlap.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_auth::SigningKey;
use users::Config;

use crate::support::{Users, sign_in, uuid};

#[tokio::test]
async fn every_replica_signs_with_the_same_key_and_tokens_outlive_a_restart() {
    let users = Users::start().await;
    let other = users.another().await;
    let ada = users.person().await;

    let keys = users.keys().await;

    assert_eq!(other.keys().await, keys);
    let tokens = users.session(&ada).await.tokens.unwrap();
    assert!(other.shown(&tokens.access_token).await.is_ok());
    assert!(other.refresh(&tokens.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_until_its_last_token_has_expired() {
    let first = Users::start().await;
    let ada = first.person().await;
    let of_first = first.session(&ada).await.tokens.unwrap().access_token;
    let old = first.keys().await.keys;
    assert_eq!(old.len(), 1);

    // The key has signed for nearly all its life.
    first.run("UPDATE signing_keys SET signs_at = signs_at - interval '7 days'").await;
    let second = first.another().await;
    let both = second.keys().await.keys;
    assert_eq!(both.len(), 2);
    let signed = second.sign_in(sign_in(&ada.email)).await.unwrap().tokens.unwrap();
    let shown = second.shown(&signed.access_token).await.unwrap();
    assert_eq!(shown.key_id(), old[0].id(), "the new one is known before it signs");

    // A quarter of an hour later.
    first.run("UPDATE signing_keys SET signs_at = signs_at - interval '16 minutes'").await;
    let third = first.another().await;
    let signed = third.sign_in(sign_in(&ada.email)).await.unwrap().tokens.unwrap();
    let shown = third.shown(&signed.access_token).await.unwrap();
    assert_ne!(shown.key_id(), old[0].id(), "the new one signs");
    assert!(third.shown(&of_first).await.is_ok(), "and the old one's tokens are good");

    // And another one.
    first.run("UPDATE signing_keys SET signs_at = signs_at - interval '16 minutes'").await;
    let fourth = first.another().await;
    let left = fourth.keys().await.keys;
    assert_eq!(left.iter().map(|key| key.id()).collect::<Vec<_>>(), [shown.key_id()]);
    assert!(fourth.shown(&signed.access_token).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_given_signs_until_another_is() {
    let file = std::env::temp_dir().join(format!("signing-key-{}", uuid()));
    let give = || {
        let key = SigningKey::generate().unwrap();
        std::fs::write(&file, BASE64_STANDARD.encode(key.expose_pkcs8())).unwrap();
        key.id().to_owned()
    };
    let with_key = |config| Config { signing_key: Some(file.clone()), ..config };
    let given = give();

    let users = Users::start_with(with_key).await;

    let ada = users.person().await;
    assert_eq!(signs(&users, &ada.email).await, (given.clone(), vec![given.clone()]));
    // It signs for as long as it is given.
    users.run("UPDATE signing_keys SET signs_at = signs_at - interval '8 days'").await;
    let later = users.another_with(with_key).await;
    assert_eq!(signs(&later, &ada.email).await, (given.clone(), vec![given.clone()]));
    let other = give();
    let next = users.another_with(with_key).await;
    assert_eq!(signs(&next, &ada.email).await, (other.clone(), vec![other, given]));

    std::fs::write(&file, "no key").unwrap();
    let refused = users.refuses_to_start(with_key).await;
    assert!(refused.contains("holds no key"), "{refused}");
    std::fs::remove_file(&file).unwrap();
}

/// The id of the key that signs a session of whoever has this address, and of all that are published.
async fn signs(users: &Users, email: &str) -> (String, Vec<String>) {
    let tokens = users.sign_in(sign_in(email)).await.unwrap().tokens.unwrap();
    let shown = users.shown(&tokens.access_token).await.unwrap();
    let published = users.keys().await.keys;
    let published = published.iter().map(|key| key.id().to_owned()).collect();
    (shown.key_id().to_owned(), published)
}
