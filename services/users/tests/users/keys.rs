//! Keys that sign access tokens: the same on every replica, rotated with overlap.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_auth::{Refused, SigningKey};
use mesh_testkit::{eventually, isolated_nats};
use shop::users::v1::User;
use tokio::task::{JoinHandle, yield_now};
use users::Config;

use crate::{
    elsewhere::{Elsewhere, with_broker},
    support::{Users, sign_in, uuid},
};

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

    // Whoever gives sidecars their keys asks again every 20 minutes: it has not signed before that.
    first.run("UPDATE signing_keys SET signs_at = signs_at - interval '21 minutes'").await;
    let asked = first.another().await;
    let signed = asked.sign_in(sign_in(&ada.email)).await.unwrap().tokens.unwrap();
    assert_eq!(asked.shown(&signed.access_token).await.unwrap().key_id(), old[0].id());
    first.run("UPDATE signing_keys SET signs_at = signs_at - interval '5 minutes'").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_verifies_takes_every_token_while_keys_turn_and_none_of_a_key_that_is_gone() {
    let broker = isolated_nats().await;
    let users = Users::start_with(with_broker(broker.url())).await;
    let ada = users.person().await;
    let (one, other) = (
        Elsewhere::start(&users, &broker.url()).await,
        Elsewhere::start(&users, &broker.url()).await,
    );
    let both = [Arc::new(one), Arc::new(other)];
    let load = Load::begin(&both);
    let first = load.sign_in(&users, &ada).await;

    users.run("UPDATE signing_keys SET signs_at = signs_at - interval '7 days'").await;
    eventually("the next key to be published", async || users.keys().await.keys.len() == 2).await;
    load.sign_in(&users, &ada).await;
    users
        .run("UPDATE signing_keys SET signs_at = signs_at - interval '24 minutes 50 seconds'")
        .await;
    let second = eventually("the next key to sign", async || {
        let token = load.sign_in(&users, &ada).await;
        let key = |token: &str| both[0].verifier.verify(&format!("Bearer {token}")).ok();
        let keys = [key(&first)?, key(&token)?];
        (keys[0].key_id() != keys[1].key_id()).then_some(token)
    })
    .await;

    let (verified, refused) = load.end().await;
    assert_eq!(refused, Vec::<String>::new());
    assert!(verified.iter().all(|count| *count > 1000), "{verified:?}");
    users.run("UPDATE signing_keys SET signs_at = signs_at - interval '16 minutes'").await;
    for elsewhere in &both {
        elsewhere.hears(&first, Refused::KeyUnknown).await;
        assert_eq!(elsewhere.refuses(&second), None);
    }
}

/// Verifies the tokens that were given, again and again, at several places.
struct Load {
    tokens: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    places: Vec<(Arc<AtomicUsize>, JoinHandle<()>)>,
}

impl Load {
    fn begin(places: &[Arc<Elsewhere>]) -> Self {
        let (tokens, refused) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let ends = Arc::<AtomicBool>::default();
        let mut load = Self { tokens, refused, ends, places: Vec::new() };
        for place in places {
            let verified = Arc::<AtomicUsize>::default();
            let (tokens, refused) = (Arc::clone(&load.tokens), Arc::clone(&load.refused));
            let (place, ends, count) =
                (Arc::clone(place), Arc::clone(&load.ends), Arc::clone(&verified));
            let task = tokio::spawn(async move {
                while !ends.load(Relaxed) {
                    for token in tokens.lock().unwrap().clone() {
                        match place.refuses(&token) {
                            None => _ = count.fetch_add(1, Relaxed),
                            Some(why) => refused.lock().unwrap().push(format!("{why:?}")),
                        }
                    }
                    yield_now().await;
                }
            });
            load.places.push((verified, task));
        }
        load
    }

    /// A new session of the person, whose token is verified from now on.
    async fn sign_in(&self, users: &Users, person: &User) -> String {
        let token = users.session(person).await.tokens.unwrap().access_token;
        self.tokens.lock().unwrap().push(token.clone());
        token
    }

    /// How often a token was taken at each place, and why some were not.
    async fn end(self) -> (Vec<usize>, Vec<String>) {
        self.ends.store(true, Relaxed);
        let mut verified = Vec::new();
        for (count, task) in self.places {
            task.await.unwrap();
            verified.push(count.load(Relaxed));
        }
        let refused = self.refused.lock().unwrap().clone();
        (verified, refused)
    }
}

#[tokio::test]
async fn a_key_that_is_given_signs_until_another_is() {
    let file = std::env::temp_dir().join(format!("signing-key-{}", uuid()));
    let give = || give(&file);
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
    let published = vec![given.clone(), other.clone()];
    assert_eq!(signs(&next, &ada.email).await, (given.clone(), published), "it is known first");
    users.run("UPDATE signing_keys SET signs_at = signs_at - interval '6 seconds'").await;
    let next = users.another_with(with_key).await;
    assert_eq!(signs(&next, &ada.email).await, (other.clone(), vec![other, given]));

    std::fs::write(&file, "no key").unwrap();
    let refused = users.refuses_to_start(with_key).await;
    assert!(refused.contains("holds no key"), "{refused}");
    std::fs::remove_file(&file).unwrap();
}

/// Sidecars are given keys by somebody who asks for them every 20 minutes.
#[tokio::test]
async fn a_key_that_is_given_signs_no_sooner_than_everybody_can_know_it() {
    let file = std::env::temp_dir().join(format!("signing-key-{}", uuid()));
    let with_key =
        |config| Config { signing_key: Some(file.clone()), signing_key_ahead: 25 * 60, ..config };
    let given = give(&file);
    let users = Users::start_with(with_key).await;
    let ada = users.person().await;
    assert_eq!(signs(&users, &ada.email).await.0, given, "the first is waited for by nobody");

    let other = give(&file);
    let next = users.another_with(with_key).await;
    assert_eq!(signs(&next, &ada.email).await, (given.clone(), vec![given.clone(), other.clone()]));
    users.run("UPDATE signing_keys SET signs_at = signs_at - interval '21 minutes'").await;
    let next = users.another_with(with_key).await;
    assert_eq!(signs(&next, &ada.email).await.0, given);
    users.run("UPDATE signing_keys SET signs_at = signs_at - interval '4 minutes'").await;
    let next = users.another_with(with_key).await;
    assert_eq!(signs(&next, &ada.email).await.0, other);
    std::fs::remove_file(&file).unwrap();
}

/// Makes a key and puts it into a file; its id.
fn give(file: &std::path::Path) -> String {
    let key = SigningKey::generate().unwrap();
    std::fs::write(file, BASE64_STANDARD.encode(key.expose_pkcs8())).unwrap();
    key.id().to_owned()
}

/// The id of the key that signs a session of whoever has this address, and of all that are published.
async fn signs(users: &Users, email: &str) -> (String, Vec<String>) {
    let tokens = users.sign_in(sign_in(email)).await.unwrap().tokens.unwrap();
    let shown = users.shown(&tokens.access_token).await.unwrap();
    let published = users.keys().await.keys;
    let published = published.iter().map(|key| key.id().to_owned()).collect();
    (shown.key_id().to_owned(), published)
}
