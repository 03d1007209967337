//! What tools are told.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};

use crate::support::Gateway;

#[tokio::test]
async fn what_can_be_reached_is_listed_and_nothing_else() {
    let gateway = Gateway::before(&[]).await;
    let mut client = ServerReflectionClient::new(gateway.channel());
    let ask =
        |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("shop.orders.v1.OrdersService.PlaceOrder".into())),
        ask(MessageRequest::FileContainingSymbol("shop.payments.v1.PaymentsService".into())),
    ];
    let answers = client.server_reflection_info(stream::iter(asked)).await.unwrap().into_inner();
    let answers: Vec<_> =
        answers.map(|it| it.map(|it| it.message_response.unwrap())).collect().await;

    let [Ok(MessageResponse::ListServicesResponse(list)), found, lost] = &answers[..] else {
        panic!("{answers:?}")
    };
    let names: BTreeSet<&str> = list.service.iter().map(|it| it.name.as_str()).collect();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "shop.catalog.v1.CatalogService",
        "shop.catalog.v2.CategoriesService",
        "shop.orders.v1.CartsService",
        "shop.orders.v1.OrderQueriesService",
        "shop.orders.v1.OrdersService",
        "shop.processor.v1.CardsService",
        "shop.shipping.v1.ShippingService",
        "shop.storefront.v1.StorefrontService",
        "shop.users.v1.SessionsService",
        "shop.users.v1.UsersService",
    ];
    assert_eq!(names, expected.into());
    assert!(matches!(found, Ok(MessageResponse::FileDescriptorResponse(_))), "{found:?}");
    let lost = lost.as_ref().unwrap_err();
    assert_eq!(lost.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn older_tools_are_told_too() {
    let gateway = Gateway::before(&[]).await;
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(gateway.channel());
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let list =
        v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };

    let mut answers =
        client.server_reflection_info(stream::iter([list])).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    assert!(format!("{answer:?}").contains("shop.orders.v1.OrdersService"));
}
