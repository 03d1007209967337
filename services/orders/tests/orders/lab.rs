//! An orders service with a catalog beside it. Nobody answers for the other neighbours, so that no
//! checkout gets past its first step.

use clap::Parser as _;
use mesh_runtime::{Service, ServiceConfig};
use mesh_testkit::Database;
use shop::{
    common::v1::Address,
    orders::v1::{
        Cart, CartLine, Order, OrderSummary, PlaceOrderRequest, SetCartLinesRequest,
        carts_service_client::CartsServiceClient,
        order_queries_service_client::OrderQueriesServiceClient,
        orders_service_client::OrdersServiceClient,
    },
};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// Nobody listens there: a service without its broker goes on answering.
const NO_BROKER: &str = "nats://127.0.0.1:9";
/// What the catalog sells from the beginning.
pub const MUG: &str = "MUG-BLUE-350";
pub const TEAPOT: &str = "TEAPOT-GLASS-1200";

/// Databases, and the catalog.
pub struct Lab {
    pub database: Database,
    catalog: Service,
    catalog_at: String,
    _catalog_database: Database,
}

/// One replica of orders.
pub struct Node {
    pub service: Service,
    channel: Channel,
}

impl Lab {
    pub async fn start() -> Self {
        let database = Database::empty("orders", &orders::MIGRATIONS).await;
        let catalog_database = Database::empty("catalog", &catalog::MIGRATIONS).await;
        let mut config = catalog::Config::parse_from(["catalog"]);
        config.service = service(&catalog_database);
        config.service.nats_url = Some(NO_BROKER.parse().unwrap());
        let catalog = catalog::start(config).await.unwrap();
        Self {
            database,
            catalog_at: catalog.grpc.to_string(),
            catalog: catalog.service,
            _catalog_database: catalog_database,
        }
    }

    pub async fn node(&self) -> Node {
        self.node_with(|_| ()).await
    }

    pub async fn node_with(&self, adjust: impl FnOnce(&mut orders::Config)) -> Node {
        let mut config = orders::Config::parse_from(["orders"]);
        let nowhere = "127.0.0.1:9";
        config.service = ServiceConfig {
            nats_url: Some(NO_BROKER.parse().unwrap()),
            discovery: format!(
                "catalog=static:{};inventory=static:{nowhere};payments=static:{nowhere};\
                 shipping=static:{nowhere}",
                self.catalog_at
            ),
            ..service(&self.database)
        };
        adjust(&mut config);
        let started = orders::start(config).await.unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", started.grpc)).unwrap();
        Node { service: started.service, channel: endpoint.connect_lazy() }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.catalog.stop();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.service.stop();
    }
}

fn service(database: &Database) -> ServiceConfig {
    ServiceConfig {
        database_url: Some(database.url().parse().unwrap()),
        log_level: "error".to_owned(),
        ..ServiceConfig::default()
    }
}

impl Node {
    pub fn carts(&self) -> CartsServiceClient<Channel> {
        CartsServiceClient::new(self.channel.clone())
    }

    pub fn orders(&self) -> OrdersServiceClient<Channel> {
        OrdersServiceClient::new(self.channel.clone())
    }

    pub fn queries(&self) -> OrderQueriesServiceClient<Channel> {
        OrderQueriesServiceClient::new(self.channel.clone())
    }

    pub fn sagas(
        &self,
    ) -> mesh_proto::operator::v1::sagas_service_client::SagasServiceClient<Channel> {
        mesh_proto::operator::v1::sagas_service_client::SagasServiceClient::new(
            self.channel.clone(),
        )
    }

    pub async fn stop(self) {
        self.service.stop();
        self.service.finish().await;
    }

    /// The customer's cart, once it holds these lines and no others.
    pub async fn fill(&self, customer_id: &str, lines: &[(&str, i64)]) -> Cart {
        let request = SetCartLinesRequest {
            request_id: uuid(),
            customer_id: customer_id.to_owned(),
            lines: cart_lines(lines),
            etag: String::new(),
        };
        self.carts().set_cart_lines(request).await.unwrap().into_inner().cart.unwrap()
    }

    pub async fn place(&self, customer_id: &str) -> Order {
        let cart = self.fill(customer_id, &[(MUG, 1), (TEAPOT, 2)]).await;
        let request = PlaceOrderRequest {
            request_id: uuid(),
            customer_id: cart.customer_id,
            cart_etag: cart.etag,
            address: Some(address()),
            card_token: "card".to_owned(),
        };
        self.orders().place_order(request).await.unwrap().into_inner().order.unwrap()
    }

    /// Every order that is listed for these pages.
    pub async fn listed(&self, request: &shop::orders::v1::ListOrdersRequest) -> Vec<OrderSummary> {
        let mut request = request.clone();
        let mut all = Vec::new();
        loop {
            let page = self.queries().list_orders(request.clone()).await.unwrap().into_inner();
            all.extend(page.orders);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return all;
            }
        }
    }

    /// Waits until so many orders are listed.
    pub async fn lists(&self, count: usize) {
        let all = shop::orders::v1::ListOrdersRequest::default();
        mesh_testkit::eventually("the orders to be listed", async || {
            self.listed(&all).await.len() == count
        })
        .await;
    }
}

pub fn cart_lines(lines: &[(&str, i64)]) -> Vec<CartLine> {
    let line =
        |(sku, quantity): &(&str, i64)| CartLine { sku: (*sku).to_owned(), quantity: *quantity };
    lines.iter().map(line).collect()
}

pub fn address() -> Address {
    Address {
        recipient: "Ada Lovelace".to_owned(),
        lines: vec!["Analytical Street 1".to_owned()],
        city: "Berlin".to_owned(),
        postal_code: "10115".to_owned(),
        country_code: "DE".to_owned(),
    }
}

pub fn uuid() -> String {
    Uuid::now_v7().to_string()
}

/// Asserts that a call was refused with this code, for this reason, naming this field.
pub fn refused<T: std::fmt::Debug>(
    answer: Result<Response<T>, Status>,
    code: Code,
    why: &str,
    field: &str,
) {
    let status = answer.expect_err(&format!("{why} of {field}"));
    let reason = mesh_rpc::reason(&status).unwrap_or_default();
    assert_eq!((status.code(), reason.as_str()), (code, why), "{field}: {status:?}");
    let details = status.get_error_details();
    let violations = &details.bad_request().expect(field).field_violations;
    assert_eq!((violations[0].field.as_str(), violations[0].reason.as_str()), (field, why));
}

pub fn malformed<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, why: &str, field: &str) {
    refused(answer, Code::InvalidArgument, why, field);
}
