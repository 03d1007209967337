//! What the catalog says, kept for a while.
//!
//! The catalog is asked as the service and for nobody: what it answers is the same for everybody, so
//! whoever comes meanwhile shares one call, and no caller's deadline or leaving ends it.

use std::time::Duration;

use mesh_rpc::Channel;
use shop::catalog::v1::{
    GetProductRequest, ListProductsRequest, Product, ProductState,
    catalog_service_client::CatalogServiceClient,
};
use tonic::Status;

use crate::cache::{Cache, Cached, Forgotten, Limits};

/// Products of a page.
const PAGE: i32 = 8;
/// Keys of lists, each of which may show any product.
const LISTS: &str = "list:";

/// Products, by way of a cache. Cheap to clone.
#[derive(Clone)]
pub struct Products {
    catalog: CatalogServiceClient<Channel>,
    cache: Cache<Vec<Product>>,
    /// The longest that a page waits for the catalog.
    wait: Duration,
}

impl Products {
    pub fn new(catalog: CatalogServiceClient<Channel>, limits: Limits, wait: Duration) -> Self {
        Self { catalog, cache: Cache::new(limits), wait }
    }

    /// The product with this SKU.
    ///
    /// # Errors
    /// As the catalog's call ended, if nothing was kept.
    pub async fn one(&self, sku: &str) -> Result<Cached<Vec<Product>>, Status> {
        let (mut catalog, request) =
            (self.catalog.clone(), GetProductRequest { sku: sku.to_owned() });
        let load = async move {
            let answer = catalog.get_product(request).await?.into_inner();
            Ok(answer.product.into_iter().collect())
        };
        self.cache.get(&key(sku), self.wait, load).await
    }

    /// The first that are sold, of a category or of all.
    ///
    /// # Errors
    /// As the catalog's call ended, if nothing was kept.
    pub async fn first(&self, category_id: &str) -> Result<Cached<Vec<Product>>, Status> {
        let mut catalog = self.catalog.clone();
        let request = ListProductsRequest {
            page_size: PAGE,
            category_id: category_id.to_owned(),
            state: ProductState::Active.into(),
            ..ListProductsRequest::default()
        };
        let load = async move { Ok(catalog.list_products(request).await?.into_inner().products) };
        self.cache.get(&format!("{LISTS}{category_id}"), self.wait, load).await
    }

    /// A product changed: neither it nor a list is taken as it is.
    pub fn changed(&self, sku: &str) {
        self.cache.doubt(|known| known == key(sku) || known.starts_with(LISTS), Forgotten::Event);
    }

    /// Changes may have been missed: nothing is taken as it is.
    pub fn missed(&self) {
        self.cache.doubt(|_| true, Forgotten::Missed);
    }

    /// Forgets everything whose key begins so. Returns how much that was.
    pub fn purge(&self, prefix: &str) -> usize {
        self.cache.purge(prefix)
    }
}

fn key(sku: &str) -> String {
    format!("product:{sku}")
}
