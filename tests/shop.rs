//! A shop of real processes, and what a customer does in it.

use std::time::Duration;

use mesh_proto::operator::v1::sagas_service_client::SagasServiceClient;
use mesh_testkit::{Platform, PlatformOptions, eventually};
use shop::{
    catalog::v1::catalog_service_client::CatalogServiceClient,
    common::v1::Address,
    inventory::v1::{
        GetStockRequest, ReceiveStockRequest, Stock,
        inventory_service_client::InventoryServiceClient,
    },
    orders::v1::{
        Cart, CartLine, GetOrderRequest, Order, OrderState, PlaceOrderRequest, SetCartLinesRequest,
        carts_service_client::CartsServiceClient,
        order_queries_service_client::OrderQueriesServiceClient,
        orders_service_client::OrdersServiceClient,
    },
    payments::v1::payments_service_client::PaymentsServiceClient,
    processor::v1::{
        TokenizeCardRequest, cards_service_client::CardsServiceClient,
        processor_service_client::ProcessorServiceClient,
    },
    shipping::v1::shipping_service_client::ShippingServiceClient,
};
use tonic::Status;
use uuid::Uuid;

use crate::callers::Channel;

/// The services that keep something. The gateway does not, and runs where a scenario needs it.
pub const SERVICES: &[&str] =
    &["catalog", "inventory", "orders", "payments", "processor", "shipping", "users"];

/// Those of them that an order goes through.
pub const OF_AN_ORDER: &[&str] =
    &["catalog", "inventory", "orders", "payments", "processor", "shipping"];

/// The card that is always approved; others are listed in the processor's contract.
pub const GOOD_CARD: &str = "4242424242424242";

/// A running shop.
pub struct Shop {
    pub platform: Platform,
}

impl Shop {
    /// All services, one process each.
    pub async fn open() -> Self {
        Self::open_with(|options| options).await
    }

    /// All services that customers reach behind the gateway.
    pub async fn with_storefront() -> Self {
        let all = [SERVICES, &["storefront"]].concat();
        Self { platform: Platform::start(PlatformOptions::new(&all)).await }
    }

    /// All services, with the gateway before them.
    pub async fn with_gateway(adjust: impl FnOnce(PlatformOptions) -> PlatformOptions) -> Self {
        let all = [SERVICES, &["storefront", "gateway"]].concat();
        Self { platform: Platform::start(adjust(PlatformOptions::new(&all))).await }
    }

    pub async fn open_with(adjust: impl FnOnce(PlatformOptions) -> PlatformOptions) -> Self {
        Self { platform: Platform::start(adjust(PlatformOptions::new(SERVICES))).await }
    }

    /// To the first replica of a service, as whoever may call it.
    pub fn channel(&self, service: &str) -> Channel {
        Channel::to(&self.platform, service, self.platform.uri(service))
    }

    pub fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel("catalog"))
    }

    pub fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.channel("inventory"))
    }

    pub fn orders(&self) -> OrdersServiceClient<Channel> {
        OrdersServiceClient::new(self.channel("orders"))
    }

    /// The orders service as one of its replicas serves it.
    pub fn orders_at(&self, replica: u32) -> OrdersServiceClient<Channel> {
        let address = self.platform.replica("orders", replica).grpc();
        OrdersServiceClient::new(Channel::to(&self.platform, "orders", format!("http://{address}")))
    }

    /// The operator's view of the checkouts.
    pub fn sagas(&self) -> SagasServiceClient<Channel> {
        SagasServiceClient::new(self.channel("orders"))
    }

    pub fn carts(&self) -> CartsServiceClient<Channel> {
        CartsServiceClient::new(self.channel("orders"))
    }

    pub fn order_queries(&self) -> OrderQueriesServiceClient<Channel> {
        OrderQueriesServiceClient::new(self.channel("orders"))
    }

    pub fn payments(&self) -> PaymentsServiceClient<Channel> {
        PaymentsServiceClient::new(self.channel("payments"))
    }

    pub fn shipping(&self) -> ShippingServiceClient<Channel> {
        ShippingServiceClient::new(self.channel("shipping"))
    }

    pub fn processor(&self) -> ProcessorServiceClient<Channel> {
        ProcessorServiceClient::new(self.channel("processor"))
    }

    pub fn cards(&self) -> CardsServiceClient<Channel> {
        CardsServiceClient::new(self.channel("processor"))
    }

    /// A product that is sold and of which there are so many pieces more.
    pub async fn stocked(&self, pieces: i64) -> String {
        let request = shop::catalog::v1::ListProductsRequest::default();
        let products = self.catalog().list_products(request).await.unwrap().into_inner().products;
        let sku = products[0].sku.clone();
        self.receive(&sku, pieces).await;
        sku
    }

    pub async fn receive(&self, sku: &str, quantity: i64) {
        let request = ReceiveStockRequest { request_id: uuid(), sku: sku.to_owned(), quantity };
        self.inventory().receive_stock(request).await.unwrap();
    }

    pub async fn stock(&self, sku: &str) -> Stock {
        let request = GetStockRequest { sku: sku.to_owned() };
        self.inventory().get_stock(request).await.unwrap().into_inner().stock.unwrap()
    }

    pub async fn card(&self, number: &str) -> String {
        let request = TokenizeCardRequest {
            request_id: uuid(),
            card_number: number.to_owned(),
            expiry_month: 12,
            expiry_year: 2040,
        };
        let kept =
            persist("to keep a card", async || self.cards().tokenize_card(request.clone()).await);
        kept.await.unwrap().into_inner().card_token
    }

    /// A cart of a new customer's with these pieces in it.
    pub async fn cart(&self, sku: &str, quantity: i64) -> Cart {
        let request = SetCartLinesRequest {
            request_id: uuid(),
            customer_id: uuid(),
            lines: vec![CartLine { sku: sku.to_owned(), quantity }],
            etag: String::new(),
        };
        let kept =
            persist("to fill a cart", async || self.carts().set_cart_lines(request.clone()).await);
        kept.await.unwrap().into_inner().cart.unwrap()
    }

    /// A request that orders so many pieces for a new customer.
    pub async fn order_of(&self, sku: &str, quantity: i64, card: &str) -> PlaceOrderRequest {
        let cart = self.cart(sku, quantity).await;
        PlaceOrderRequest {
            request_id: uuid(),
            customer_id: cart.customer_id,
            cart_etag: cart.etag,
            address: Some(address("DE")),
            card_token: self.card(card).await,
        }
    }

    pub async fn place(&self, request: PlaceOrderRequest) -> Result<Order, Status> {
        Ok(self.orders().place_order(request).await?.into_inner().order.unwrap())
    }

    pub async fn order(&self, order_id: &str) -> Order {
        let request = GetOrderRequest { order_id: order_id.to_owned(), as_of_version: 0 };
        self.orders().get_order(request).await.unwrap().into_inner().order.unwrap()
    }

    /// The order, once it is settled.
    pub async fn settled(&self, order_id: &str) -> Order {
        let orders = self.orders();
        eventually("the order to settle", async || {
            let request = GetOrderRequest { order_id: order_id.to_owned(), as_of_version: 0 };
            let answer = orders.clone().get_order(request).await.ok()?;
            let order = answer.into_inner().order.unwrap();
            is_settled(order.state()).then_some(order)
        })
        .await
    }

    /// The order, once it is in a state.
    pub async fn comes_to(&self, order_id: &str, state: OrderState) -> Order {
        let orders = self.orders();
        eventually(&format!("the order to be {state:?}"), async || {
            let request = GetOrderRequest { order_id: order_id.to_owned(), as_of_version: 0 };
            let answer = orders.clone().get_order(request).await.ok()?;
            let order = answer.into_inner().order.unwrap();
            (order.state() == state).then_some(order)
        })
        .await
    }

    /// Waits until the order's saga has nothing left to do.
    pub async fn rests(&self, order_id: &str) {
        let id = Uuid::parse_str(order_id).unwrap();
        let url = self.platform.database_url("orders");
        let pool = sqlx::PgPool::connect(url).await.unwrap();
        eventually("the order's saga to rest", async || {
            sqlx::query_scalar("SELECT awake_since IS NULL FROM streams WHERE id = $1")
                .bind(id)
                .fetch_one(&pool)
                .await
                .unwrap_or(false)
        })
        .await;
        pool.close().await;
    }

    /// A placed order of one piece, paid by a card that is good.
    pub async fn simple_order(&self) -> Order {
        let sku = self.stocked(10).await;
        let request = self.order_of(&sku, 1, GOOD_CARD).await;
        self.place(request).await.unwrap()
    }
}

pub fn is_settled(state: OrderState) -> bool {
    !matches!(state, OrderState::Unspecified | OrderState::Pending | OrderState::Cancelling)
}

pub fn address(country: &str) -> Address {
    Address {
        recipient: "Ada Lovelace".to_owned(),
        lines: vec!["Analytical Street 1".to_owned()],
        city: "Berlin".to_owned(),
        postal_code: "10115".to_owned(),
        country_code: country.to_owned(),
    }
}

pub fn uuid() -> String {
    Uuid::now_v7().to_string()
}

/// Calls again, with the same content, until there is an answer that is final.
pub async fn persist<T>(
    what: &str,
    mut call: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<T, Status> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match call().await {
            Err(status) if is_passing(&status) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(status) if is_passing(&status) => panic!("{what}: still {status:?}"),
            answer => return answer,
        }
    }
}

fn is_passing(status: &Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Unknown
            | Code::Cancelled
            | Code::Internal
    )
}
