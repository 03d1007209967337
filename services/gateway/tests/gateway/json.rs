//! HTTP/JSON before real services.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use mesh_rpc::ErrorDetails;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    support::{Gateway, MUG, Shop, detail, uuid},
    witness::Witness,
};

#[tokio::test]
async fn products_are_listed_found_and_shown() {
    let shop = Shop::open().await;
    let gateway = &shop.gateway;

    let page = gateway.get("/v1/products?page_size=2").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "application/json"));
    let page = page.json().await;
    assert_eq!(page["products"].as_array().unwrap().len(), 2);
    let token = page["nextPageToken"].as_str().unwrap();
    let next =
        gateway.get(&format!("/v1/products?page_size=2&page_token={token}")).await.json().await;
    assert_ne!(next["products"][0]["sku"], page["products"][0]["sku"]);

    let found = gateway.get("/v1/products:search?query=blue+mug").await.json().await;
    assert_eq!(found["products"][0]["sku"], MUG);
    let some = format!("/v1/products:batchGet?skus={MUG}&skus=NOTHING");
    let some = gateway.get(&some).await.json().await;
    assert_eq!(
        (&some["products"][0]["sku"], &some["missingSkus"]),
        (&json!(MUG), &json!(["NOTHING"]))
    );

    let shown = gateway.get(&format!("/v1/products/{MUG}")).await;
    let etag = shown.header("etag").to_owned();
    let product = shown.json().await["product"].clone();
    assert_eq!(format!("\"{}\"", product["etag"].as_str().unwrap()), etag);
    assert!(product["price"]["units"].is_string(), "64 bits are a text: {product}");
}

#[tokio::test]
async fn errors_say_what_services_say_and_name_their_request() {
    let shop = Shop::open().await;
    let request = Request::get("/v1/products/NOTHING").header("x-request-id", "my-request");
    let answer = shop.gateway.send(request.body(Bytes::new()).unwrap()).await;

    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-request-id"), "my-request");
    assert_eq!(answer.header("x-correlation-id"), "my-request");
    let error = answer.json().await;
    assert_eq!(error["code"], 5);
    assert_eq!(detail(&error, "ErrorInfo")["reason"], "PRODUCT_NOT_FOUND");
    assert_eq!(detail(&error, "BadRequest")["fieldViolations"][0]["field"], "sku");
    assert_eq!(detail(&error, "RequestInfo")["requestId"], "my-request");

    let malformed = shop.gateway.get("/v1/orders/nonsense").await;
    assert_eq!(malformed.status, 400);
    let made = malformed.header("x-request-id").to_owned();
    let error = malformed.json().await;
    let violation = &detail(&error, "BadRequest")["fieldViolations"][0];
    assert_eq!(
        (&violation["field"], &violation["reason"]),
        (&json!("order_id"), &json!("UUID_MALFORMED"))
    );
    assert_eq!(detail(&error, "RequestInfo")["requestId"], made.as_str());
}

#[tokio::test]
async fn what_no_service_hears_of_is_refused_at_the_door() {
    let shop = Shop::open().await;
    let gateway = &shop.gateway;
    let cart = format!("/v1/carts/{}/lines", uuid());

    let lost = gateway.get("/v1/nothing").await;
    assert_eq!(lost.status, 404);
    assert_eq!(detail(&lost.json().await, "ErrorInfo")["reason"], "PATH_UNKNOWN");
    let method = gateway.tell(Method::PUT, "/v1/orders", "{}").await;
    assert_eq!(method.status, 405);
    let allowed = method.header("allow").to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    let form =
        Request::put(&cart).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = gateway.send(form.body(Bytes::from_static(b"a=b")).unwrap()).await;
    assert_eq!(form.status, 415);
    let broken = gateway.tell(Method::PUT, &cart, "{").await;
    assert_eq!(broken.status, 400);
    assert_eq!(detail(&broken.json().await, "ErrorInfo")["reason"], "JSON_MALFORMED");
    let field = gateway.tell(Method::PUT, &cart, r#"{"lines": [{"sku": "A", "count": 1}]}"#).await;
    assert_eq!(field.status, 400);
    let violations = detail(&field.json().await, "BadRequest")["fieldViolations"].clone();
    assert_eq!(violations[0]["field"], "lines[0].count");
    let query = gateway.get("/v1/products?colour=blue").await;
    assert_eq!(query.status, 400);
    assert_eq!(detail(&query.json().await, "ErrorInfo")["reason"], "FIELD_UNKNOWN");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_not_repeated() {
    const SECRET: &str = "4242424242424242";
    let gateway = Gateway::before(&[]).await;
    for (target, body, field) in [
        ("/v1/cards:tokenize", r#"{"cardNumber": S}"#, "card_number"),
        ("/v1/cards:tokenize", r#"{"cardNumber": {"number": S}}"#, "card_number"),
        ("/v1/cards:tokenize", r#"{"cardNumber": S, "cardNumber": "a"}"#, "body"),
        ("/v1/cards:tokenize", r#"{"cardNumber": S, }"#, "body"),
        ("/v1/cards:tokenize", r#"{"expiryMonth": S}"#, "expiry_month"),
        ("/v1/sessions", r#"{"email": "a@b.example", "password": S}"#, "password"),
        ("/v1/users", r#"{"password": [S]}"#, "password"),
        ("/v1/sessions:refresh", r#"{"refreshToken": S}"#, "refresh_token"),
    ] {
        let body = body.replace('S', SECRET);
        let refused = gateway.tell(Method::POST, target, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        let error = refused.json().await;
        let violation = &detail(&error, "BadRequest")["fieldViolations"][0];
        assert_eq!(violation["field"], field, "{body}");
        assert!(!error.to_string().contains(SECRET), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_service_that_says_when_to_ask_again_says_it_in_a_header() {
    let witness = Witness::begin().await;
    let gateway = Gateway::before(&[("catalog", witness.at)]).await;
    for (code, millis, status, seconds) in [
        (Code::ResourceExhausted, 1_500, 429, Some("2")),
        (Code::ResourceExhausted, 3_000, 429, Some("3")),
        (Code::ResourceExhausted, 0, 429, Some("1")),
        (Code::FailedPrecondition, 1_500, 400, None),
        (Code::Unavailable, 20, 503, Some("1")),
    ] {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_millis(millis)));
        witness.tells(Vec::new(), Status::with_error_details(code, "not now", details));
        let answer = gateway.get(&format!("/v1/products/{MUG}")).await;
        assert_eq!(answer.status, status, "{code:?}");
        let told = answer.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(told, seconds, "{code:?} after {millis} ms");
    }
    witness.tells(Vec::new(), Status::resource_exhausted("not now"));
    let answer = gateway.get(&format!("/v1/products/{MUG}")).await;
    assert_eq!(answer.status, 429);
    assert!(answer.headers.get(header::RETRY_AFTER).is_none(), "it does not say when");
}

#[tokio::test]
async fn a_cart_is_filled_with_the_headers_of_http() {
    let shop = Shop::open().await;
    let (customer, key) = (uuid(), uuid());
    let lines = format!("/v1/carts/{customer}/lines");
    let put = |etag: Option<String>, key: String, quantity: u32| {
        let mut request = Request::put(&lines)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key);
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        let body = json!({ "lines": [{ "sku": MUG, "quantity": quantity }] }).to_string();
        shop.gateway.send(request.body(body.into()).unwrap())
    };

    let first = put(None, key.clone(), 2).await;
    assert_eq!(first.status, 200);
    let etag = first.header("etag").to_owned();
    let cart = first.json().await["cart"].clone();
    assert_eq!(cart["lines"], json!([{ "sku": MUG, "quantity": "2" }]));
    let again = put(None, key.clone(), 2).await;
    assert_eq!((again.status.as_u16(), again.json().await["cart"].clone()), (200, cart));
    let other = put(None, key, 3).await;
    let status = other.status;
    let other = other.json().await;
    let reason = &detail(&other, "ErrorInfo")["reason"];
    assert_eq!((status.as_u16(), reason), (400, &json!("REQUEST_CONTENT_DIFFERS")));

    let second = put(Some(etag.clone()), uuid(), 3).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.header("etag"), etag);
    let stale = put(Some(etag), uuid(), 4).await;
    assert_eq!(stale.status, 409);
    assert_eq!(detail(&stale.json().await, "ErrorInfo")["reason"], "CART_CHANGED");
    let keyless = shop.gateway.tell(Method::POST, &format!("/v1/carts/{customer}:clear"), "").await;
    assert_eq!(keyless.status, 400);
    let violation = detail(&keyless.json().await, "BadRequest")["fieldViolations"][0].clone();
    assert_eq!(violation["field"], "request_id");
}

#[tokio::test]
async fn a_stream_ends_with_its_error_on_a_line_or_as_an_event() {
    let shop = Shop::open().await;
    let watch = format!("/v1/orders/{}:watch", uuid());

    // The service refuses before it tells anything: that is an answer like another.
    let lines = shop.gateway.get(&watch).await;
    let (status, said) = (lines.status, lines.text().await);
    assert!(said.contains("ORDER_NOT_FOUND"), "{status} {said}");
    assert_eq!(status, 404);
}
