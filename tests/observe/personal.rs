//! E6: personal data and secrets in no signal, no event, no table but their owner's, and no error.

use std::sync::Arc;

use bytes::Bytes;
use mesh_testkit::{browse, eventually};
use meshctl::demo::{self, Amount, Options};
use shop::{
    common::v1::Address,
    orders::v1::{OrderState, WatchOrderRequest},
    processor::v1::{
        TokenizeCardRequest, TokenizeCardResponse, cards_service_client::CardsServiceClient,
    },
    users::v1::{
        ChangePasswordRequest, ConfirmPasswordResetRequest, GetUserRequest, RefreshSessionRequest,
        RegisterUserRequest, SignInRequest, SignInResponse,
        sessions_service_client::SessionsServiceClient, users_service_client::UsersServiceClient,
    },
};
use tonic::{Request, Response, Status};

use super::{
    Traced,
    marked::{Mark, Told, messages, tables},
};
use crate::{
    callers::{Channel, doors},
    generated::bearer,
    shop::{GOOD_CARD, Shop, uuid},
};

const GATEWAY: &str = "gateway";
const RECIPIENT: &str = "Zenobia Markworthy";
const LINE: &str = "Unmistakable Lane 7731";
const CITY: &str = "Markville";
/// Numbers of the demo's cards.
const CARDS: [&str; 9] = [
    "4000000000000002",
    "4000000000009995",
    "4000000000000069",
    "4000000000009979",
    "4000000000000341",
    "4000000000000358",
    "4000000000000366",
    "4000000000000374",
    "4000000000000382",
];

/// Who may keep what.
const NOBODY: &[&str] = &[];
const PROCESSOR: &[&str] = &["processor.cards", "processor.charges"];
const SHIPPING: &[&str] = &["shipping.shipment_addresses"];
const USERS: &[&str] = &["users.users", "users.former_users"];
const PEOPLE: &[&str] = &["shipping.shipment_addresses", "users.users", "users.former_users"];

/// What was said in confidence, and what was said to whoever was refused.
#[derive(Default)]
struct Said {
    marks: Vec<Mark>,
    errors: Vec<Told>,
}

impl Said {
    fn mark(&mut self, text: &str, homes: &'static [&'static str]) {
        self.marks.push(Mark::new(text, homes));
    }

    /// Notes the whole of a refusal.
    fn refused<T>(&mut self, what: &str, answer: Result<T, Status>) {
        let Err(status) = answer else { panic!("{what} is not refused") };
        let details = [format!("{status:?}").as_bytes(), status.details()].concat();
        self.errors.push(Told::new(format!("the error of {what}"), &details));
    }

    /// The same of what was sent as JSON.
    async fn refused_json(&mut self, what: &str, shop: &Shop, target: &str, json: String) {
        let request = http::Request::post(target).header("content-type", "application/json");
        let request = request.body(Bytes::from(json)).unwrap();
        let answer = browse(shop.platform.grpc(GATEWAY), request).await.unwrap();
        assert_eq!(answer.status, 400, "{what} is not refused");
        self.errors.push(Told::new(format!("the error of {what}"), &answer.bytes().await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn card_numbers_tokens_and_addresses_appear_in_no_line_span_metric_or_event() {
    let traced = Traced::with_gateway().await;
    let shop = &traced.shop;
    let mut said = Said::default();
    let confirmed = orders(shop, &mut said).await;
    person(shop, &mut said).await;
    a_demo(shop, &mut said).await;
    shop.quiet().await;

    let mut told = signals(&traced, &confirmed).await;
    told.append(&mut said.errors);
    told.extend(kept(shop).await);
    let found = |told: &[Told]| -> Vec<String> {
        let all = said.marks.iter().flat_map(|mark| mark.found(told));
        let mut places: Vec<_> = all.map(str::to_owned).collect();
        places.sort();
        places.dedup();
        places
    };
    assert_eq!(found(&told), Vec::<String>::new());

    let put = put(shop).await;
    assert_eq!(found(&kept(shop).await), put, "what is put somewhere is found");
    traced.shop.platform.shutdown().await;
}

/// Orders with a marked address: approved, declined, to where nobody delivers, and refused before it is
/// an order. Returns the one that is confirmed.
async fn orders(shop: &Shop, said: &mut Said) -> String {
    let sku = shop.stocked(20).await;
    said.mark(RECIPIENT, PEOPLE);
    said.mark(LINE, SHIPPING);
    said.mark(CITY, SHIPPING);
    CARDS.iter().chain(&[GOOD_CARD]).for_each(|number| {
        said.mark(number, NOBODY);
        let groups: Vec<&str> = (0..4).map(|at| &number[at * 4..][..4]).collect();
        said.mark(&groups.join(" "), NOBODY);
    });
    let mut orders = Vec::new();
    for (card, country) in
        [(GOOD_CARD, "DE"), (CARDS[1], "DE"), (GOOD_CARD, "AQ"), (GOOD_CARD, "nowhere")]
    {
        let mut request = shop.order_of(&sku, 1, card).await;
        request.address = Some(Address {
            recipient: RECIPIENT.to_owned(),
            lines: vec![LINE.to_owned()],
            city: CITY.to_owned(),
            postal_code: "77310".to_owned(),
            country_code: country.to_owned(),
        });
        said.mark(&request.card_token, PROCESSOR);
        match shop.place(request).await {
            Ok(order) => orders.push(shop.settled(&order.order_id).await),
            refused => said.refused("an order", refused),
        }
    }
    let states: Vec<_> = orders.iter().map(|order| order.state()).collect();
    assert_eq!(states, [OrderState::Confirmed, OrderState::Rejected, OrderState::Rejected]);
    for order in &orders {
        shop.rests(&order.order_id).await;
        let request = WatchOrderRequest { order_id: order.order_id.clone(), after_version: 0 };
        shop.orders().watch_order(request).await.unwrap();
    }
    // A card that cannot be.
    let number = "4242424242424241";
    said.mark(number, NOBODY);
    let refused = tokenize(shop, number).await;
    said.refused("a card", refused);
    let card = format!("{{\"cardNumber\": {number}}}");
    said.refused_json("a card that is no text", shop, "/v1/cards:tokenize", card).await;
    orders[0].order_id.clone()
}

async fn tokenize(shop: &Shop, number: &str) -> Result<Response<TokenizeCardResponse>, Status> {
    let request = TokenizeCardRequest {
        request_id: uuid(),
        card_number: number.to_owned(),
        expiry_month: 12,
        expiry_year: 2040,
    };
    CardsServiceClient::new(door(shop)).tokenize_card(request).await
}

fn door(shop: &Shop) -> Channel {
    Channel::to(&shop.platform, GATEWAY, shop.platform.uri(GATEWAY))
}

/// Somebody, and what proves who they are, after it was used for everything.
async fn person(shop: &Shop, said: &mut Said) {
    let mut accounts = UsersServiceClient::new(door(shop));
    let (email, password) = (format!("{}@markworthy.example", uuid()), "unmistakably secret 7731");
    said.mark(&email, USERS);
    said.mark(password, NOBODY);
    let account = RegisterUserRequest {
        request_id: uuid(),
        email: email.clone(),
        password: password.to_owned(),
        name: RECIPIENT.to_owned(),
        language: String::new(),
    };
    let user = accounts.register_user(account.clone()).await.unwrap().into_inner().user.unwrap();
    let taken = RegisterUserRequest { request_id: uuid(), ..account };
    said.refused("an address that is taken", accounts.register_user(taken).await);
    let wrong = "unmistakably wrong 7731";
    said.mark(wrong, NOBODY);
    said.refused("a wrong password", sign_in(shop, &email, wrong).await);
    said.mark("7731077310773107", NOBODY);
    let digits = format!("{{\"email\": \"{email}\", \"password\": 7731077310773107}}");
    said.refused_json("a password that is no text", shop, "/v1/sessions", digits).await;
    let signed = sign_in(shop, &email, password).await.unwrap().into_inner().tokens.unwrap();
    let request = RefreshSessionRequest { refresh_token: signed.refresh_token.clone() };
    let mut sessions = SessionsServiceClient::new(door(shop));
    let next = sessions.refresh_session(request).await.unwrap().into_inner().tokens.unwrap();
    let forged = format!("{}x", signed.refresh_token);
    let request = RefreshSessionRequest { refresh_token: forged };
    said.refused("a forged refresh token", sessions.refresh_session(request).await);
    let by = |message: GetUserRequest, token: &str| {
        let mut request = Request::new(message);
        *request.metadata_mut() = bearer(token);
        request
    };
    let get = GetUserRequest { user_id: user.user_id.clone() };
    accounts.get_user(by(get.clone(), &next.access_token)).await.unwrap();
    let forged = format!("{}x", next.access_token);
    said.refused("a forged token", accounts.get_user(by(get, &forged)).await);
    passwords(&mut accounts, &user.user_id, said).await;
    for tokens in [signed, next] {
        said.mark(&tokens.access_token, NOBODY);
        said.mark(&tokens.refresh_token, NOBODY);
    }
}

/// What happens to passwords besides.
async fn passwords(accounts: &mut UsersServiceClient<Channel>, user_id: &str, said: &mut Said) {
    let (old, new) = ("unmistakably old 7731", "unmistakably new 7731");
    said.mark(old, NOBODY);
    said.mark(new, NOBODY);
    let change = ChangePasswordRequest {
        request_id: uuid(),
        user_id: user_id.to_owned(),
        current_password: old.to_owned(),
        new_password: new.to_owned(),
        keep_session_id: String::new(),
    };
    said.refused("a change by a wrong password", accounts.change_password(change).await);
    let token = "unmistakable-token-7731";
    said.mark(token, NOBODY);
    let reset = ConfirmPasswordResetRequest {
        request_id: uuid(),
        token: token.to_owned(),
        new_password: new.to_owned(),
    };
    said.refused("an invented token", accounts.confirm_password_reset(reset).await);
}

async fn sign_in(
    shop: &Shop,
    email: &str,
    password: &str,
) -> Result<Response<SignInResponse>, Status> {
    let request = SignInRequest {
        request_id: uuid(),
        email: email.to_owned(),
        password: password.to_owned(),
        device: String::new(),
    };
    SessionsServiceClient::new(door(shop)).sign_in(request).await
}

/// A demo, whose customers, addresses and cards are marks: as their owners keep them.
async fn a_demo(shop: &Shop, said: &mut Said) {
    let options = Options { amount: Amount::Orders(24), concurrency: 4, ..Options::default() };
    let report = demo::run(&doors(&shop.platform), options, Arc::default()).await.unwrap();
    assert!(report.unsettled.is_empty() && report.confirmed > 0, "{report:?}");
    for (service, sql, homes) in [
        ("users", "SELECT email FROM users", USERS),
        ("shipping", "SELECT DISTINCT recipient FROM shipment_addresses", PEOPLE),
        ("shipping", "SELECT DISTINCT lines FROM shipment_addresses", SHIPPING),
        ("processor", "SELECT token FROM cards", PROCESSOR),
    ] {
        let pool = shop.pool(service).await;
        let marks: Vec<String> = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
        assert!(marks.len() > 2, "{sql}: {marks:?}");
        marks.iter().for_each(|mark| said.mark(mark, homes));
        pool.close().await;
    }
}

/// What the shop tells anybody who looks at it.
async fn signals(traced: &Traced, confirmed: &str) -> Vec<Told> {
    let platform = &traced.shop.platform;
    // The last span of the story is there: the others are, too.
    eventually("the story's spans", async || {
        let story = traced.story(confirmed);
        story.nodes.iter().any(|node| node.span.name == "saga" && !node.missing)
    })
    .await;
    let spans = traced.door.buffer().spans();
    assert!(spans.iter().any(|span| span.name.ends_with("/TokenizeCard")), "cards are traced");
    let mut told = vec![Told::new("the spans", &serde_json::to_vec(&spans).unwrap())];
    for process in platform.services() {
        let (name, log) = (process.name(), process.log());
        assert!(log.lines().count() > 1, "{name} logs nothing");
        told.push(Told::new(format!("the log of {name}"), log.as_bytes()));
        let metrics = process.metrics().await;
        told.push(Told::new(format!("the metrics of {name}"), metrics.as_bytes()));
    }
    told
}

/// What databases and the broker keep.
async fn kept(shop: &Shop) -> Vec<Told> {
    let mut told = tables(&shop.platform).await;
    for some in ["the table users.credentials", "the table orders.log", "the table payments.log"] {
        assert!(told.iter().any(|it| it.place == some), "{some} was not read");
    }
    let messages = messages(&shop.platform.operator_nats()).await;
    for some in ["stream users", "stream orders", "bucket flags", "bucket user_keys"] {
        let place = format!("the {some}");
        assert!(messages.iter().any(|it| it.place == place), "{place} was not read");
    }
    told.extend(messages);
    told
}

/// Puts marks where they do not belong. Returns the places.
async fn put(shop: &Shop) -> Vec<String> {
    for (service, sql) in [
        ("catalog", "UPDATE products SET description = $1"),
        ("inventory", "UPDATE requests SET digest = convert_to($1, 'UTF8')"),
        ("users", "UPDATE sessions SET device = encode(convert_to($1, 'UTF8'), 'base64')"),
    ] {
        let pool = shop.pool(service).await;
        let changed = sqlx::query(sql).bind(LINE).execute(&pool).await.unwrap();
        assert!(changed.rows_affected() > 0, "{sql}");
        pool.close().await;
    }
    let url = shop.platform.nats().url();
    let jetstream = async_nats::jetstream::new(mesh_local::connect_nats(&url).await.unwrap());
    let flags = jetstream.get_key_value(mesh_flags::BUCKET).await.unwrap();
    flags.put("nobody.mark", LINE.into()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-subject", LINE);
    let stored = jetstream.publish_with_headers("shop.users.v1.Mark", headers, "".into());
    stored.await.unwrap().await.unwrap();
    let tables = ["catalog.products", "inventory.requests", "users.sessions"];
    let mut places: Vec<_> = tables.map(|table| format!("the table {table}")).into();
    places.extend(["the bucket flags", "the stream users"].map(str::to_owned));
    places.sort();
    places
}
