//! The services that this one calls.

use mesh_rpc::{Channel, Discovery};
use mesh_runtime::Service;
use shop::{
    catalog::v1::{BatchGetProductsRequest, catalog_service_client::CatalogServiceClient},
    inventory::v1::inventory_service_client::InventoryServiceClient,
    money,
    payments::v1::payments_service_client::PaymentsServiceClient,
    shipping::v1::shipping_service_client::ShippingServiceClient,
};
use tonic::Status;

use crate::domain::{CartLine, Line};

/// Clients of the neighbours. Cheap to clone.
#[derive(Clone)]
pub struct Neighbours {
    catalog: CatalogServiceClient<Channel>,
    pub inventory: InventoryServiceClient<Channel>,
    pub payments: PaymentsServiceClient<Channel>,
    pub shipping: ShippingServiceClient<Channel>,
}

/// Why lines have no prices.
#[derive(Debug, thiserror::Error)]
pub enum Unpriced {
    #[error("nobody sells {sku}")]
    NotSold {
        sku: String,
        /// The cart's line that it stands in.
        line: usize,
    },
    #[error("the catalog does not answer")]
    Unanswered(#[source] Status),
}

impl Neighbours {
    /// Connections are made when they are needed.
    pub fn connect(service: &Service, discovery: &Discovery) -> anyhow::Result<Self> {
        let channel = |target| discovery.channel(service, target);
        Ok(Self {
            catalog: CatalogServiceClient::new(channel("catalog")?),
            inventory: InventoryServiceClient::new(channel("inventory")?),
            payments: PaymentsServiceClient::new(channel("payments")?),
            shipping: ShippingServiceClient::new(channel("shipping")?),
        })
    }

    /// What the lines of a cart cost at this moment, by the catalog.
    pub async fn price(&self, lines: &[CartLine]) -> Result<Vec<Line>, Unpriced> {
        let skus = lines.iter().map(|line| line.sku.clone()).collect();
        let request = BatchGetProductsRequest { skus };
        let answer = self.catalog.clone().batch_get_products(request).await;
        let answer = answer.map_err(Unpriced::Unanswered)?.into_inner();
        let priced = |(n, line): (usize, &CartLine)| {
            let product = answer.products.iter().find(|product| product.sku == line.sku);
            let price = product.and_then(|product| money::from_wire(product.price.as_ref()?).ok());
            match (product, price) {
                (Some(product), Some(unit_price)) => Ok(Line {
                    sku: line.sku.clone(),
                    name: product.name.clone(),
                    quantity: line.quantity,
                    unit_price,
                }),
                _ => Err(Unpriced::NotSold { sku: line.sku.clone(), line: n }),
            }
        };
        lines.iter().enumerate().map(priced).collect()
    }
}
