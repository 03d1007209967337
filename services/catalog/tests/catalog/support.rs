//! The catalog service in this process, on a database of its own.
//!
//! No broker answers it. What it tells others is in its log, and the relay is proven elsewhere.

use mesh_rpc::{Channel, Discovery};
use mesh_runtime::{Secret, Service, ServiceConfig};
use mesh_testkit::Database;
use prost::{Message, Name};
use shop::{
    catalog::v1::{
        ArchiveProductRequest, BatchGetProductsRequest, BatchGetProductsResponse, Category,
        CreateCategoryRequest, CreateProductRequest, GetCategoryRequest, GetProductRequest,
        ListCategoriesRequest, ListCategoriesResponse, ListProductsRequest, ListProductsResponse,
        Product, SearchProductsRequest, SearchProductsResponse, UpdateCategoryRequest,
        UpdateProductRequest, catalog_service_client::CatalogServiceClient,
    },
    common::v1::Money,
};
use sqlx::PgPool;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The categories of the first products.
pub const TABLEWARE: &str = "20f5257d-3e61-5809-bb24-0251dbb71071";
pub const TEA: &str = "656f6a49-0925-5a5c-8efc-b7ed249bb28c";

/// A running service, its client, and a hand on its tables.
pub struct Catalog {
    client: CatalogServiceClient<Channel>,
    pub pool: PgPool,
    service: Service,
    _database: Database,
}

impl Catalog {
    pub async fn start() -> Self {
        let database = Database::empty("catalog", &catalog::MIGRATIONS).await;
        let secret = |url: &str| url.parse::<Secret>().ok();
        let service = ServiceConfig {
            database_url: secret(database.url()),
            nats_url: secret("nats://127.0.0.1:9"),
            log_level: "off".to_owned(),
            ..ServiceConfig::default()
        };
        let started = catalog::start(catalog::Config { service }).await.unwrap();
        let place = format!("catalog=static:{}", started.grpc).parse::<Discovery>().unwrap();
        let channel = place.channel(&started.service, "catalog").unwrap();
        let client = CatalogServiceClient::new(channel);
        let pool = database.pool().await;
        Self { client, pool, service: started.service, _database: database }
    }

    pub async fn get(&self, sku: &str) -> Result<Product, Status> {
        let request = GetProductRequest { sku: sku.to_owned() };
        let answer = self.client.clone().get_product(request).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    pub async fn batch(&self, skus: &[&str]) -> Result<BatchGetProductsResponse, Status> {
        let skus = skus.iter().copied().map(str::to_owned).collect();
        let request = BatchGetProductsRequest { skus };
        Ok(self.client.clone().batch_get_products(request).await?.into_inner())
    }

    /// A page of all products.
    pub async fn list(&self, page_size: i32, token: &str) -> Result<ListProductsResponse, Status> {
        let page_token = token.to_owned();
        self.list_of(ListProductsRequest { page_size, page_token, ..Default::default() }).await
    }

    pub async fn list_of(
        &self,
        request: ListProductsRequest,
    ) -> Result<ListProductsResponse, Status> {
        Ok(self.client.clone().list_products(request).await?.into_inner())
    }

    pub async fn search(
        &self,
        request: SearchProductsRequest,
    ) -> Result<SearchProductsResponse, Status> {
        Ok(self.client.clone().search_products(request).await?.into_inner())
    }

    /// The SKUs that a query finds, the best first.
    pub async fn found(&self, query: &str) -> Vec<String> {
        let found = self.search(query_for(query)).await.unwrap();
        assert_eq!(found.next_page_token, "");
        found.products.into_iter().map(|product| product.sku).collect()
    }

    pub async fn create(&self, request: CreateProductRequest) -> Result<Product, Status> {
        let answer = self.client.clone().create_product(request).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    pub async fn update(&self, request: UpdateProductRequest) -> Result<Product, Status> {
        let answer = self.client.clone().update_product(request).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    pub async fn archive(&self, request: ArchiveProductRequest) -> Result<Product, Status> {
        let answer = self.client.clone().archive_product(request).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    pub async fn create_category(
        &self,
        request: CreateCategoryRequest,
    ) -> Result<Category, Status> {
        let answer = self.client.clone().create_category(request).await?;
        Ok(answer.into_inner().category.unwrap())
    }

    pub async fn update_category(
        &self,
        request: UpdateCategoryRequest,
    ) -> Result<Category, Status> {
        let answer = self.client.clone().update_category(request).await?;
        Ok(answer.into_inner().category.unwrap())
    }

    pub async fn category(&self, category_id: &str) -> Result<Category, Status> {
        let request = GetCategoryRequest { category_id: category_id.to_owned() };
        let answer = self.client.clone().get_category(request).await?;
        Ok(answer.into_inner().category.unwrap())
    }

    pub async fn categories(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListCategoriesResponse, Status> {
        let request = ListCategoriesRequest { page_size, page_token: page_token.to_owned() };
        Ok(self.client.clone().list_categories(request).await?.into_inner())
    }

    /// What others are told of a product: the version, the short name of the event, and its body.
    pub async fn told(&self, product_id: &str) -> Vec<(i32, String, Vec<u8>)> {
        sqlx::query_as(
            "SELECT version, replace(type, 'shop.catalog.v1.', ''), body
             FROM log WHERE key = $1 AND public ORDER BY seq",
        )
        .bind(product_id.parse::<Uuid>().unwrap())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// How many events there are in all.
    pub async fn events(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM log").fetch_one(&self.pool).await.unwrap()
    }

    pub async fn withdraw(&self, sku: &str) {
        let delete = sqlx::query("DELETE FROM products WHERE sku = $1").bind(sku);
        delete.execute(&self.pool).await.unwrap();
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.service.stop();
    }
}

/// Reads the body of an event.
pub fn read<M: Message + Name + Default>(told: &(i32, String, Vec<u8>)) -> M {
    assert_eq!(M::NAME, told.1);
    M::decode(told.2.as_slice()).unwrap()
}

/// A request for a new product with this SKU.
pub fn product(sku: &str) -> CreateProductRequest {
    CreateProductRequest {
        request_id: uuid(),
        sku: sku.to_owned(),
        name: "Samovar, brass".to_owned(),
        description: "Boils five litres.".to_owned(),
        price: Some(euros(120, 50)),
        category_id: TEA.to_owned(),
    }
}

/// A request that changes nothing about the product yet.
pub fn update(sku: &str) -> UpdateProductRequest {
    UpdateProductRequest { request_id: uuid(), sku: sku.to_owned(), ..Default::default() }
}

/// A request that sets a price.
pub fn reprice(sku: &str, price: Money) -> UpdateProductRequest {
    UpdateProductRequest { price: Some(price), ..update(sku) }
}

pub fn archive(sku: &str) -> ArchiveProductRequest {
    ArchiveProductRequest { request_id: uuid(), sku: sku.to_owned(), etag: String::new() }
}

pub fn category(slug: &str) -> CreateCategoryRequest {
    CreateCategoryRequest { request_id: uuid(), slug: slug.to_owned(), name: "Gifts".to_owned() }
}

pub fn rename(category_id: &str, name: &str) -> UpdateCategoryRequest {
    UpdateCategoryRequest {
        request_id: uuid(),
        category_id: category_id.to_owned(),
        etag: String::new(),
        name: name.to_owned(),
    }
}

pub fn query_for(query: &str) -> SearchProductsRequest {
    SearchProductsRequest { query: query.to_owned(), ..Default::default() }
}

/// Asserts that a status has this code and reason, and blames these fields and no others.
pub fn refused(status: &Status, code: Code, why: &str, fields: &[&str]) {
    assert_eq!((status.code(), reason(status).as_str()), (code, why), "{status:?}");
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    let violations = violations.unwrap_or_default();
    let blamed: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(blamed, fields, "{status:?}");
}

pub fn malformed(status: &Status, fields: &[&str], why: &str) {
    refused(status, Code::InvalidArgument, why, fields);
}

pub fn reason(status: &Status) -> String {
    mesh_rpc::reason(status).unwrap_or_default()
}

pub fn euros(units: i64, cents: i32) -> Money {
    Money { currency_code: "EUR".into(), units, nanos: cents * 10_000_000 }
}

pub fn uuid() -> String {
    Uuid::now_v7().to_string()
}
