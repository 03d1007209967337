//! The services that this one calls.

use mesh_rpc::{Channel, Discovery};
use mesh_runtime::Service;
use shop::{
    catalog::v1::catalog_service_client::CatalogServiceClient,
    inventory::v1::inventory_service_client::InventoryServiceClient,
    orders::v1::{
        carts_service_client::CartsServiceClient,
        order_queries_service_client::OrderQueriesServiceClient,
        orders_service_client::OrdersServiceClient,
    },
    payments::v1::payments_service_client::PaymentsServiceClient,
    shipping::v1::shipping_service_client::ShippingServiceClient,
};

/// Clients of the neighbours. Cheap to clone.
#[derive(Clone)]
pub struct Neighbours {
    pub catalog: CatalogServiceClient<Channel>,
    pub inventory: InventoryServiceClient<Channel>,
    pub carts: CartsServiceClient<Channel>,
    pub orders: OrdersServiceClient<Channel>,
    pub queries: OrderQueriesServiceClient<Channel>,
    pub payments: PaymentsServiceClient<Channel>,
    pub shipping: ShippingServiceClient<Channel>,
}

impl Neighbours {
    /// Connections are made when they are needed.
    pub fn connect(service: &Service, discovery: &Discovery) -> anyhow::Result<Self> {
        let channel = |target| discovery.channel(service, target);
        let orders = channel("orders")?;
        Ok(Self {
            catalog: CatalogServiceClient::new(channel("catalog")?),
            inventory: InventoryServiceClient::new(channel("inventory")?),
            carts: CartsServiceClient::new(orders.clone()),
            queries: OrderQueriesServiceClient::new(orders.clone()),
            orders: OrdersServiceClient::new(orders),
            payments: PaymentsServiceClient::new(channel("payments")?),
            shipping: ShippingServiceClient::new(channel("shipping")?),
        })
    }
}
