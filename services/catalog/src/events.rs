//! What happened to a product, as others hear of it.

use mesh_log::Event;
use shop::{catalog::v1 as proto, money};

use crate::domain::{Product, ProductEvent};

/// Announces what has just happened to the product.
pub fn announce(product: &Product, event: ProductEvent) -> Event {
    let product_id = product.id.to_string();
    let sku = product.sku.as_str().to_owned();
    let name = product.name.clone();
    let price = Some(money::to_wire(product.price));
    let category_id = product.category.map(|id| id.to_string()).unwrap_or_default();
    match event {
        ProductEvent::Created => {
            Event::public(&proto::ProductCreated { product_id, sku, name, price, category_id })
        }
        ProductEvent::Updated { old_price } => Event::public(&proto::ProductUpdated {
            product_id,
            sku,
            name,
            old_price: Some(money::to_wire(old_price)),
            new_price: price,
            category_id,
        }),
        ProductEvent::Archived => Event::public(&proto::ProductArchived { product_id, sku }),
    }
}
