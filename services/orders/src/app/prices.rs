//! What lines cost at this moment.

use shop::{catalog::v1::BatchGetProductsRequest, money};

use super::{Error, Orders};
use crate::domain::{CartLine, Line};

/// Looks the lines of a cart up in the catalog.
pub(super) async fn price(orders: &Orders, lines: &[CartLine]) -> Result<Vec<Line>, Error> {
    let skus = lines.iter().map(|line| line.sku.clone()).collect();
    let answer = orders.catalog().batch_get_products(BatchGetProductsRequest { skus }).await;
    let answer = answer.map_err(Error::Catalog)?.into_inner();
    if let Some(sku) = answer.missing_skus.into_iter().next() {
        return Err(Error::NotSold { sku });
    }
    let priced = |line: &CartLine| {
        let product = answer.products.iter().find(|product| product.sku == line.sku);
        let price = product.and_then(|product| money::from_wire(product.price.as_ref()?).ok());
        match (product, price) {
            (Some(product), Some(unit_price)) => Ok(Line {
                sku: line.sku.clone(),
                name: product.name.clone(),
                quantity: line.quantity,
                unit_price,
            }),
            _ => Err(Error::NotSold { sku: line.sku.clone() }),
        }
    };
    lines.iter().map(priced).collect()
}
