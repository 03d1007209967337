//! What a service may do at the broker: what its `mesh.toml` implies, and nothing else. Every user tries
//! everything that there is to try, at a nats-server with the users of `up`.

mod attempts;
mod shipped;
mod three;
mod wire;

use std::collections::BTreeSet;

use mesh_local::{Access, Declaration, broker_users, connect_nats, ensure_streams};
use mesh_testkit::{IsolatedNats, nats_with};
use meshctl::{caller, services};

use attempts::{Attempt, of_operator, of_service};
use wire::Wire;

async fn broker(declarations: &[Declaration]) -> IsolatedNats {
    let nats = nats_with(broker_users(declarations, caller::NAME)).await;
    ensure_streams(&nats.url_of(caller::NAME), declarations).await.unwrap();
    nats
}

/// Tries all of it over one connection; says what the broker let pass although it should not, and
/// what it refused although it should not.
async fn wrong(url: &str, user: &str, attempts: &[Attempt]) -> Vec<String> {
    let mut wire = Wire::connect(url).await;
    let refused: BTreeSet<String> = wire.try_all(attempts).await;
    let mut wrong = Vec::new();
    for attempt in attempts {
        match (attempt.allowed, refused.contains(&attempt.shown())) {
            (true, true) => wrong.push(format!("{user} is refused {}", attempt.shown())),
            (false, false) => wrong.push(format!("{user} may {}", attempt.shown())),
            _ => {}
        }
    }
    wrong
}

#[tokio::test]
async fn a_service_may_do_at_the_broker_what_it_declares_and_nothing_else() {
    let declarations = services::declarations().unwrap();
    let nats = broker(&declarations).await;
    let mut wrong = Vec::new();
    let mut tried = 0;

    for me in declarations.iter().filter(|it| it.uses_broker()) {
        let attempts = of_service(me, &declarations);
        let allowed = attempts.iter().filter(|it| it.allowed).count();
        assert!(allowed > 3 && allowed < attempts.len() / 10, "{}: {allowed}", me.service);
        tried += attempts.len();
        let url = nats.url_of(&me.service);
        wrong.extend(self::wrong(&url, &me.service, &attempts).await);
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried > 3_000, "{tried} attempts");
}

#[test]
fn what_is_revoked_is_kept_until_no_token_can_meet_it() {
    let declarations = services::declarations().unwrap();
    let all = declarations.iter().flat_map(|it| it.buckets.iter().map(move |bucket| (it, bucket)));
    let mut writers =
        all.filter(|(_, it)| it.name == mesh_auth::BUCKET && it.access == Access::Write);

    let (writer, bucket) = writers.next().unwrap();

    assert_eq!((writer.service.as_str(), bucket.max_age), ("users", Some(mesh_auth::KEPT)));
    assert!(writers.next().is_none());
}

#[test]
fn only_users_says_by_which_keys_tokens_are_signed_and_whoever_verifies_hears_it() {
    let declarations = services::declarations().unwrap();
    let using = |name: &str, access: Access| {
        let uses = |it: &&mesh_local::Declaration| {
            it.buckets.iter().any(|bucket| bucket.name == name && bucket.access == access)
        };
        let names = declarations.iter().filter(uses).map(|it| it.service.as_str());
        names.collect::<Vec<_>>()
    };

    assert_eq!(using(mesh_auth::KEYS_BUCKET, Access::Write), ["users"]);
    let hears = using(mesh_auth::KEYS_BUCKET, Access::Read);
    assert_eq!(hears, using(mesh_auth::BUCKET, Access::Read));
    assert!(hears.len() > 4, "{hears:?}");
}

#[tokio::test]
async fn the_operator_makes_streams_and_reads_all_but_speaks_for_no_service() {
    let declarations = services::declarations().unwrap();
    let nats = broker(&declarations).await;

    let wrong = wrong(&nats.url_of(caller::NAME), caller::NAME, &of_operator(&declarations)).await;

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn who_declares_nothing_does_not_even_connect() {
    let declarations = services::declarations().unwrap();
    let nats = broker(&declarations).await;
    let known = nats.url_of("orders");
    connect_nats(&known).await.unwrap();

    let quiet: Vec<_> = declarations.iter().filter(|it| !it.uses_broker()).collect();
    assert!(!quiet.is_empty());
    for declaration in quiet {
        let refused = connect_nats(&nats.url_of(&declaration.service)).await;
        assert!(refused.is_err(), "{} connects", declaration.service);
    }
    let guess = known.replace("orders:", "orders:x");
    assert!(connect_nats(&guess).await.is_err(), "a wrong password");
    let nobody = known.split_once('@').unwrap().1;
    assert!(connect_nats(&format!("nats://{nobody}")).await.is_err(), "no password");
}
