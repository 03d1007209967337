//! `shop.catalog.v1.CatalogService`.

use shop::catalog::v1::{
    ArchiveProductRequest, ArchiveProductResponse, BatchGetProductsRequest,
    BatchGetProductsResponse, CreateCategoryRequest, CreateCategoryResponse, CreateProductRequest,
    CreateProductResponse, GetCategoryRequest, GetCategoryResponse, GetProductRequest,
    GetProductResponse, ListCategoriesRequest, ListCategoriesResponse, ListProductsRequest,
    ListProductsResponse, SearchProductsRequest, SearchProductsResponse, UpdateCategoryRequest,
    UpdateCategoryResponse, UpdateProductRequest, UpdateProductResponse,
    catalog_service_server::CatalogService,
};
use tonic::{Request, Response, Status};

use super::{Api, status::to_status};
use crate::{
    app::{self, Found},
    domain::{Refusal, Sku},
    store, wire,
};

#[tonic::async_trait]
impl CatalogService for Api {
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<GetProductResponse>, Status> {
        let sku = wire::get_product(request.get_ref()).map_err(to_status)?;
        let found = app::get_product(&self.read, &sku).await.map_err(to_status)?;
        let missing = || Refusal::ProductNotFound { sku: sku.into_string() };
        let product = found.ok_or_else(missing).map_err(to_status)?;
        Ok(Response::new(GetProductResponse { product: Some(wire::product(product)) }))
    }

    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Result<Response<BatchGetProductsResponse>, Status> {
        let skus = wire::batch_get_products(request.get_ref()).map_err(to_status)?;
        let found = app::batch_get_products(&self.read, skus).await.map_err(to_status)?;
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
        let asked = wire::list_products(request.get_ref()).map_err(to_status)?;
        let listed = app::list_products(self.db.pool(), &asked.query, asked.size).await;
        let (products, more) = listed.map_err(to_status)?;
        Ok(Response::new(wire::products_page(&asked, products, more)))
    }

    async fn search_products(
        &self,
        request: Request<SearchProductsRequest>,
    ) -> Result<Response<SearchProductsResponse>, Status> {
        let asked = wire::search_products(request.get_ref()).map_err(to_status)?;
        let found = app::search_products(self.db.pool(), &asked.query, asked.size).await;
        let (products, more) = found.map_err(to_status)?;
        Ok(Response::new(wire::found_page(&asked, products, more)))
    }

    async fn create_product(
        &self,
        request: Request<CreateProductRequest>,
    ) -> Result<Response<CreateProductResponse>, Status> {
        let command = wire::create_product(request.get_ref()).map_err(to_status)?;
        let product = app::create_product(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(CreateProductResponse { product: Some(wire::product(product)) }))
    }

    async fn update_product(
        &self,
        request: Request<UpdateProductRequest>,
    ) -> Result<Response<UpdateProductResponse>, Status> {
        let command = wire::update_product(request.get_ref()).map_err(to_status)?;
        let product = app::update_product(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(UpdateProductResponse { product: Some(wire::product(product)) }))
    }

    async fn archive_product(
        &self,
        request: Request<ArchiveProductRequest>,
    ) -> Result<Response<ArchiveProductResponse>, Status> {
        let command = wire::archive_product(request.get_ref()).map_err(to_status)?;
        let product = app::archive_product(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(ArchiveProductResponse { product: Some(wire::product(product)) }))
    }

    async fn create_category(
        &self,
        request: Request<CreateCategoryRequest>,
    ) -> Result<Response<CreateCategoryResponse>, Status> {
        let command = wire::create_category(request.get_ref()).map_err(to_status)?;
        let category = app::create_category(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(CreateCategoryResponse { category: Some(wire::category(&category)) }))
    }

    async fn get_category(
        &self,
        request: Request<GetCategoryRequest>,
    ) -> Result<Response<GetCategoryResponse>, Status> {
        let id = wire::get_category(request.get_ref()).map_err(to_status)?;
        let found = store::get_category(self.db.pool(), id).await.map_err(to_status)?;
        let category = found.ok_or(Refusal::CategoryNotFound).map_err(to_status)?;
        Ok(Response::new(GetCategoryResponse { category: Some(wire::category(&category)) }))
    }

    async fn list_categories(
        &self,
        request: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        let asked = wire::list_categories(request.get_ref()).map_err(to_status)?;
        let after = asked.query.as_ref();
        let listed = app::list_categories(self.db.pool(), after, asked.size).await;
        let (categories, more) = listed.map_err(to_status)?;
        Ok(Response::new(wire::categories_page(&asked, &categories, more)))
    }

    async fn update_category(
        &self,
        request: Request<UpdateCategoryRequest>,
    ) -> Result<Response<UpdateCategoryResponse>, Status> {
        let command = wire::update_category(request.get_ref()).map_err(to_status)?;
        let category = app::update_category(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(UpdateCategoryResponse { category: Some(wire::category(&category)) }))
    }
}
