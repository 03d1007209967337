//! Every RPC, called by everybody who must not, and by each who may: what comes of it is what was agreed
//! on (`access.txt`), whatever its contract says by now.

use std::time::SystemTime;

use mesh_auth::{LIFE, RevocationTeller};
use mesh_events::Nats;
use mesh_policy::{Access, Callers as Declared, Owner};
use mesh_testkit::eventually;
use meshctl::users::permissions;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Status, metadata::MetadataMap};

use super::{
    call::{Rpc, ask, rpcs},
    forged::{Forger, bearer},
    pinned::Pinned,
    samples::{sample, shipping},
};
use crate::{
    callers::Callers,
    evidence::reason,
    shop::{Shop, uuid},
};

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Whatever the handler says.
    LetIn,
    Refused(Code, &'static str),
}

const MISSING: Told = Told::Refused(Code::Unauthenticated, "TOKEN_MISSING");
const DENIED: Told = Told::Refused(Code::PermissionDenied, "ACCESS_DENIED");

/// The service that lets no user in, and hears of none.
const HEARS_NOTHING: &str = "processor";

/// Tokens that nobody may believe, and what is said of them.
const BAD: [(&str, &str); 6] = [
    ("expired", "TOKEN_EXPIRED"),
    ("of another issuer", "TOKEN_ISSUER_UNKNOWN"),
    ("for another audience", "TOKEN_FOR_ANOTHER"),
    ("unsigned", "TOKEN_ALGORITHM_REFUSED"),
    ("signed with the public key as a secret", "TOKEN_ALGORITHM_REFUSED"),
    ("signed by an unknown key", "TOKEN_KEY_UNKNOWN"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_whom_its_rule_names_and_nobody_else() {
    let rpcs = agreed();
    let shop = Shop::with_storefront().await;
    let world = World::new(&shop).await;
    let (mut problems, mut asked) = (Vec::new(), 0);
    for rpc in &rpcs {
        for (who, metadata, expected) in world.visitors(rpc) {
            let told = rpc.send_with(&shop, Vec::new().into(), metadata).await;
            asked += 1;
            if !fits(expected, &told) {
                problems.push(format!("{} by {who}: {expected:?}, but {told:?}", rpc.path));
            }
        }
    }
    println!("{} RPCs, {asked} calls", rpcs.len());
    assert!(asked > 10 * rpcs.len());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_customer_is_theirs_alone() {
    let shop = Shop::with_storefront().await;
    let forger = Forger::of(&shop.platform);
    let (mut problems, mut asked) = (Vec::new(), 0);
    for rpc in agreed().iter().filter(|rpc| rpc.access.owner.is_some()) {
        let (request, owner) = owned(&shop, rpc).await;
        let bytes = rpc.request(&request).encode_to_vec();
        let call = async |customer: &str| {
            let metadata = bearer(&forger.token(customer, &[]));
            rpc.send_with(&shop, bytes.clone().into(), metadata).await
        };
        let stranger = call(&uuid()).await;
        let owners = call(&owner).await;
        asked += 1;
        let refused = match rpc.access.owner {
            Some(Owner::Field { .. }) => fits(DENIED, &stranger),
            // A list of nothing, or what is not there.
            _ => match &stranger {
                Ok(answer) => answer.is_empty() && rpc.path.contains("/List"),
                Err(status) => status.code() == Code::NotFound,
            },
        };
        if !refused {
            problems.push(format!("{} by somebody else: {stranger:?}", rpc.path));
        }
        let says_something = rpc.output.fields().len() > 0;
        if !owners.as_ref().is_ok_and(|answer| answer.is_empty() != says_something) {
            problems.push(format!("{} by its owner: {owners:?}", rpc.path));
        }
    }
    assert!(asked > 5);
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    shop.platform.shutdown().await;
}

/// Every RPC, with the rule that was agreed on.
fn agreed() -> Vec<Rpc> {
    let pinned = Pinned::read();
    pinned.holds();
    let rule = |rpc: Rpc| Rpc { access: pinned.rule(&rpc.path), ..rpc };
    rpcs().into_iter().map(rule).collect()
}

/// A good request about something of a customer's, and the customer.
async fn owned(shop: &Shop, rpc: &Rpc) -> (Value, String) {
    let mut request = sample(shop, &rpc.path).await;
    if rpc.path.ends_with("/ListShipments") {
        let shipment = shipping::shipment(&uuid());
        ask(shop, "shop.shipping.v1.ShippingService/CreateShipment", shipment.clone()).await;
        request = json!({ "orderId": shipment["orderId"] });
    }
    let text = |field: &str| request[field].as_str().map(str::to_owned);
    let owner = match (text("customerId").or_else(|| text("userId")), text("orderId")) {
        (Some(owner), _) => owner,
        _ if rpc.path.starts_with("shop.shipping.") => shipping::CUSTOMER.to_owned(),
        (None, Some(order)) => shop.order(&order).await.customer_id,
        (None, None) => panic!("{}: say here whose the sample is: {request}", rpc.path),
    };
    (request, owner)
}

/// Everybody who comes by.
struct World {
    forger: Forger,
    callers: std::sync::Arc<Callers>,
    declared: Declared,
    permissions: Vec<String>,
    /// Of somebody with all of these, whose tokens have ended.
    revoked: String,
}

impl World {
    async fn new(shop: &Shop) -> Self {
        Self {
            revoked: revoked(shop).await,
            forger: Forger::of(&shop.platform),
            callers: Callers::of(&shop.platform),
            declared: Declared::declared(shop::DECLARATIONS.iter().copied()).unwrap(),
            permissions: permissions().unwrap().into_iter().collect(),
        }
    }

    /// Who comes to an RPC, what they show, and what they have to be told.
    fn visitors(&self, rpc: &Rpc) -> Vec<(String, MetadataMap, Told)> {
        let access = &rpc.access;
        let mut all =
            vec![("nobody".to_owned(), MetadataMap::new(), unless_public(access, MISSING))];
        for (what, reason) in BAD {
            let token = self.forger.bad(what, &self.permissions);
            let told = unless_public(access, Told::Refused(Code::Unauthenticated, reason));
            all.push((format!("a token {what}"), bearer(&token), told));
        }
        let told = match rpc.process.as_str() {
            // Who is revoked is nothing to who lets no user in: this one may not, as no other may.
            HEARS_NOTHING => of_customers(access),
            _ => unless_public(access, Told::Refused(Code::Unauthenticated, "TOKEN_REVOKED")),
        };
        all.push(("somebody who is revoked".to_owned(), bearer(&self.revoked), told));
        let mut user = |name: String, permissions: &[&str], told| {
            all.push((name, bearer(&self.forger.token(&uuid(), permissions)), told));
        };
        user("another customer".to_owned(), &[], of_customers(access));
        let others: Vec<&str> = self.permissions.iter().map(String::as_str).collect();
        let named = |it: &&str| !access.permissions.iter().any(|held| **held == **it);
        let others: Vec<&str> =
            others.into_iter().filter(named).filter(|it| *it != "operator").collect();
        user("a user with every other permission".to_owned(), &others, of_customers(access));
        for permission in &access.permissions {
            user(format!("a user with {permission}"), &[permission], Told::LetIn);
        }
        let told = if access.operator { Told::LetIn } else { of_customers(access) };
        user("a user who operates".to_owned(), &["operator"], told);

        let mut service = |name: &str, told| {
            let mut headers = http::HeaderMap::new();
            self.callers.identity(name).attach(&rpc.process, &mut headers);
            all.push((format!("the service {name}"), MetadataMap::from_headers(headers), told));
        };
        let of_programs = match access.service && !access.is_for_users() {
            true => DENIED,
            false => unless_public(access, MISSING),
        };
        service("stranger", of_programs);
        service("meshctl", if access.operator { Told::LetIn } else { of_programs });
        let (_, method) = rpc.path.split_once('/').unwrap();
        let declared = self.declared.of(&rpc.process, method);
        let callers = declared.into_iter().flatten().filter(|_| access.service);
        callers.for_each(|caller| service(&caller, Told::LetIn));
        all
    }
}

/// A token that would open everything, once every service has heard that it is revoked.
async fn revoked(shop: &Shop) -> String {
    let (subject, all) = (uuid(), permissions().unwrap());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let token = Forger::of(&shop.platform).token(&subject, &all);
    let nats = Nats::open(&shop.platform.nats().url_of("users"), "users").await.unwrap();
    nats.connected().await;
    let teller = RevocationTeller::open(nats.jetstream(), 1).await.unwrap();
    let now = SystemTime::now();
    teller.tell_subject(subject.parse().unwrap(), now, now + LIFE).await.unwrap();
    let listens = |rpc: &&Rpc| !rpc.access.public && rpc.process != HEARS_NOTHING;
    let all = rpcs();
    for rpc in all.iter().filter(listens) {
        eventually(&format!("{} to hear of it", rpc.process), async || {
            let told = rpc.send_with(shop, Vec::new().into(), bearer(&token)).await;
            told.is_err_and(|status| reason(&status) == "TOKEN_REVOKED")
        })
        .await;
    }
    token
}

/// What a customer without permissions is told whose request is about nobody.
fn of_customers(access: &Access) -> Told {
    let handler_decides = access.owner == Some(Owner::Resource);
    if access.public || access.signed_in || handler_decides { Told::LetIn } else { DENIED }
}

fn unless_public(access: &Access, told: Told) -> Told {
    if access.public { Told::LetIn } else { told }
}

fn fits(expected: Told, answer: &Result<bytes::Bytes, Status>) -> bool {
    let barred = [Code::Unauthenticated, Code::PermissionDenied];
    match (expected, answer) {
        (Told::LetIn, Ok(_)) => true,
        (Told::LetIn, Err(status)) => !barred.contains(&status.code()),
        (Told::Refused(code, why), Err(status)) => status.code() == code && reason(status) == why,
        (Told::Refused(..), Ok(_)) => false,
    }
}
