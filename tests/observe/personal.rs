//! E6: personal data and secrets in no signal.

use async_nats::jetstream::{self, consumer};
use futures::StreamExt as _;
use mesh_testkit::eventually;
use shop::{
    common::v1::Address,
    orders::v1::{OrderState, WatchOrderRequest},
    users::v1::{
        GetUserRequest, RefreshSessionRequest, RegisterUserRequest, SignInRequest,
        sessions_service_client::SessionsServiceClient, users_service_client::UsersServiceClient,
    },
};
use sqlx::PgPool;
use tonic::Request;

use super::Traced;
use crate::{
    generated::bearer,
    shop::{GOOD_CARD, SERVICES, Shop, uuid},
};

const RECIPIENT: &str = "Zenobia Markworthy";
const LINE: &str = "Unmistakable Lane 7731";
const CITY: &str = "Markville";

#[tokio::test(flavor = "multi_thread")]
async fn card_numbers_tokens_and_addresses_appear_in_no_line_span_metric_or_event() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let sku = shop.stocked(20).await;
    let mut marks: Vec<String> = [RECIPIENT, LINE, CITY].map(str::to_owned).into();
    let mut orders = Vec::new();
    // Approved, declined, to where nobody delivers, and refused before it is an order.
    for (card, country) in
        [(GOOD_CARD, "DE"), ("4000000000009995", "DE"), (GOOD_CARD, "AQ"), (GOOD_CARD, "nowhere")]
    {
        let mut request = shop.order_of(&sku, 1, card).await;
        request.address = Some(Address {
            recipient: RECIPIENT.to_owned(),
            lines: vec![LINE.to_owned()],
            city: CITY.to_owned(),
            postal_code: "77310".to_owned(),
            country_code: country.to_owned(),
        });
        marks.extend([card.to_owned(), request.card_token.clone()]);
        if let Ok(order) = shop.place(request).await {
            orders.push(shop.settled(&order.order_id).await);
        }
    }
    let states: Vec<_> = orders.iter().map(|order| order.state()).collect();
    assert_eq!(states, [OrderState::Confirmed, OrderState::Rejected, OrderState::Rejected]);
    for order in &orders {
        shop.rests(&order.order_id).await;
        let request = WatchOrderRequest { order_id: order.order_id.clone(), after_version: 0 };
        shop.orders().watch_order(request).await.unwrap();
    }
    // A card that cannot be: its refusal may not tell the number either.
    let number = "4242424242424241";
    let request = shop::processor::v1::TokenizeCardRequest {
        request_id: uuid(),
        card_number: number.to_owned(),
        expiry_month: 12,
        expiry_year: 2040,
    };
    let refused = shop.cards().tokenize_card(request).await.unwrap_err();
    assert!(!refused.to_string().contains(number), "{refused}");
    marks.push(number.to_owned());
    marks.extend(of_a_person(shop).await);

    for (what, told) in signals(&traced, &orders[0].order_id).await {
        for mark in &marks {
            let bytes = mark.as_bytes();
            assert!(!told.windows(bytes.len()).any(|it| it == bytes), "{mark} is told by {what}");
        }
    }
    traced.shop.platform.shutdown().await;
}

/// What somebody is known by and proves who they are with, after it was used for everything.
async fn of_a_person(shop: &Shop) -> Vec<String> {
    let mut accounts = UsersServiceClient::new(shop.channel("users"));
    let mut sessions = SessionsServiceClient::new(shop.channel("users"));
    let (email, password) = (format!("{}@markworthy.example", uuid()), "unmistakably secret 7731");
    let account = RegisterUserRequest {
        request_id: uuid(),
        email: email.clone(),
        password: password.to_owned(),
        name: RECIPIENT.to_owned(),
        language: String::new(),
    };
    let user = accounts.register_user(account.clone()).await.unwrap().into_inner().user.unwrap();
    let taken = RegisterUserRequest { request_id: uuid(), ..account };
    accounts.register_user(taken).await.unwrap_err();
    let sign_in = |password: &str| SignInRequest {
        request_id: uuid(),
        email: email.clone(),
        password: password.to_owned(),
        device: String::new(),
    };
    let wrong = "unmistakably wrong 7731";
    let refused = sessions.sign_in(sign_in(wrong)).await.unwrap_err();
    let signed = sessions.sign_in(sign_in(password)).await.unwrap().into_inner().tokens.unwrap();
    let request = RefreshSessionRequest { refresh_token: signed.refresh_token.clone() };
    let next = sessions.refresh_session(request).await.unwrap().into_inner().tokens.unwrap();
    let mut request = Request::new(GetUserRequest { user_id: user.user_id });
    *request.metadata_mut() = bearer(&next.access_token);
    accounts.get_user(request).await.unwrap();
    let mut marks = vec![email, password.to_owned(), wrong.to_owned()];
    assert!(!marks.iter().any(|mark| refused.to_string().contains(mark)), "{refused}");
    for tokens in [signed, next] {
        marks.extend([tokens.access_token, tokens.refresh_token]);
    }
    marks
}

/// Everything that the shop tells anybody who looks at it.
async fn signals(traced: &Traced, confirmed: &str) -> Vec<(String, Vec<u8>)> {
    let platform = &traced.shop.platform;
    let mut signals = Vec::new();
    // The last span of the story is there: the others are, too.
    eventually("the story's spans", async || {
        let story = traced.story(confirmed);
        story.nodes.iter().any(|node| node.span.name == "saga" && !node.missing)
    })
    .await;
    let spans = traced.door.buffer().spans();
    assert!(spans.iter().any(|span| span.name.ends_with("/TokenizeCard")), "cards are traced");
    signals.push(("spans".to_owned(), serde_json::to_vec(&spans).unwrap()));
    for process in platform.services() {
        let log = process.log();
        assert!(log.lines().count() > 1, "{} logs nothing", process.name());
        signals.push((format!("the log of {}", process.name()), log.into_bytes()));
        let metrics = process.metrics().await;
        signals.push((format!("the metrics of {}", process.name()), metrics.into_bytes()));
    }
    let mut events = 0;
    for service in SERVICES {
        let pool = PgPool::connect(platform.database_url(service)).await.unwrap();
        let rows: Vec<(String, Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT type, body, meta FROM log").fetch_all(&pool).await.unwrap();
        for (kind, body, meta) in rows {
            events += 1;
            signals.push((format!("{kind} in the log of {service}"), [body, meta].concat()));
        }
        pool.close().await;
    }
    assert!(events > 20, "{events} events");
    let messages = messages(&platform.operator_nats()).await;
    assert!(messages.len() > 10, "{} messages", messages.len());
    signals.extend(messages);
    signals
}

/// Every message of every stream, with its headers.
async fn messages(url: &str) -> Vec<(String, Vec<u8>)> {
    let jetstream = jetstream::new(mesh_local::connect_nats(url).await.unwrap());
    let mut told = Vec::new();
    let mut names = jetstream.stream_names();
    while let Some(name) = names.next().await {
        let stream = jetstream.get_stream(name.unwrap()).await.unwrap();
        let consumer = stream.create_consumer(consumer::pull::Config::default()).await.unwrap();
        let mut messages = consumer.fetch().max_messages(10_000).messages().await.unwrap();
        while let Some(Ok(message)) = messages.next().await {
            let headers = format!("{:?}", message.headers);
            let bytes = [headers.as_bytes(), &message.payload].concat();
            told.push((format!("a message {}", message.subject), bytes));
        }
    }
    told
}
