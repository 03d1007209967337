//! Who is not known is told how to say who they are: `WWW-Authenticate`, before a service that knows
//! users.

use bytes::Bytes;
use clap::Parser as _;
use http::{Request, header};
use mesh_testkit::{Answer, Database};
use uuid::Uuid;

use crate::{
    people::People,
    support::{Gateway, NOWHERE, config_of, detail, uuid},
};

const BARE: &str = "Bearer realm=\"shop\"";

async fn ask(gateway: &Gateway, authorization: &str) -> Answer {
    let mut request = Request::get(format!("/v1/orders/{}", uuid()));
    if !authorization.is_empty() {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    gateway.send(request.body(Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn every_401_says_how_to_say_who_asks_and_what_is_wrong_with_a_token() {
    let (database, people) = (Database::empty("orders", &orders::MIGRATIONS).await, People::new());
    let neighbours = ["catalog", "inventory", "payments", "shipping"];
    let places = neighbours.map(|name| format!("{name}=static:{NOWHERE}")).join(";");
    let mut config = orders::Config::parse_from(["orders"]);
    config.service = config_of(&database, places);
    config.service.user_keys = Some(people.keys.clone());
    let orders = orders::start(config).await.unwrap();
    let gateway = Gateway::before(&[("orders", orders.grpc)]).await;

    let nobody = ask(&gateway, "").await;
    assert_eq!((nobody.status.as_u16(), nobody.header("www-authenticate")), (401, BARE));
    let error = nobody.json().await;
    assert_eq!(detail(&error, "ErrorInfo")["reason"], "TOKEN_MISSING");
    let basic = ask(&gateway, "Basic YTpi").await;
    assert_eq!((basic.status.as_u16(), basic.header("www-authenticate")), (401, BARE));

    let strange = People::new().token(Uuid::now_v7());
    for shown in ["Bearer x.y.z", strange.as_str()] {
        let refused = ask(&gateway, shown).await;
        assert_eq!(refused.status, 401, "{shown}");
        let told = refused.header("www-authenticate").to_owned();
        let message = refused.json().await["message"].as_str().unwrap().to_owned();
        let said = format!("{BARE}, error=\"invalid_token\", error_description=\"{message}\"");
        assert_eq!(told, said, "{shown}");
        assert!(message.starts_with("the token") || message.starts_with("nobody here knows"));
    }

    let known = ask(&gateway, &people.token(Uuid::now_v7())).await;
    assert_eq!(known.status, 404);
    assert!(known.headers.get("www-authenticate").is_none());
    orders.service.stop();
}
