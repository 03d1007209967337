//! `shop.catalog.v1.CatalogService`.

mod status;

use mesh_log::Database;
use shop::catalog::v1::{
    BatchGetProductsRequest, BatchGetProductsResponse, GetProductRequest, GetProductResponse,
    ListProductsRequest, ListProductsResponse, catalog_service_server::CatalogService,
};
use tonic::{Request, Response, Status};

use self::status::{Failure, to_status};
use crate::{
    app::{self, Found},
    domain::Sku,
    wire,
};

/// Answers calls.
pub struct Api {
    pub db: Database,
}

#[tonic::async_trait]
impl CatalogService for Api {
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<GetProductResponse>, Status> {
        let sku = wire::get_product(request.get_ref()).map_err(to_status)?;
        let found = app::get_product(self.db.pool(), &sku).await.map_err(to_status)?;
        let product = found.ok_or(Failure::NotFound { sku }).map_err(to_status)?;
        Ok(Response::new(GetProductResponse { product: Some(wire::product(product)) }))
    }

    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Result<Response<BatchGetProductsResponse>, Status> {
        let skus = wire::batch_get_products(request.get_ref()).map_err(to_status)?;
        let found = app::batch_get_products(self.db.pool(), skus).await.map_err(to_status)?;
        let Found { products, missing } = found;
        Ok(Response::new(BatchGetProductsResponse {
            products: products.into_iter().map(wire::product).collect(),
            missing_skus: missing.into_iter().map(Sku::into_string).collect(),
        }))
    }

    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        let page = wire::list_products(request.get_ref()).map_err(to_status)?;
        let listed = app::list_products(self.db.pool(), page.after.as_ref(), page.size).await;
        let (products, more) = listed.map_err(to_status)?;
        Ok(Response::new(wire::products_page(products, more)))
    }
}
