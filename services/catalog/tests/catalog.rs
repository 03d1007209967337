//! What catalog promises, through gRPC on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use mesh_rpc::{Channel, Discovery};
use mesh_runtime::{Secret, Service, ServiceConfig};
use mesh_testkit::Database;
use shop::{
    catalog::v1::{
        BatchGetProductsRequest, BatchGetProductsResponse, GetProductRequest, ListProductsRequest,
        ListProductsResponse, Product, catalog_service_client::CatalogServiceClient,
    },
    common::v1::Money,
};
use sqlx::PgPool;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

#[tokio::test]
async fn a_product_is_known_by_its_sku() {
    let catalog = Catalog::start().await;

    let mug = catalog.get("MUG-BLUE-350").await.unwrap();

    assert_eq!(mug.sku, "MUG-BLUE-350");
    assert_eq!(mug.price.unwrap(), euros(12, 90));
    assert!(mug.product_id.parse::<Uuid>().is_ok());
    assert!(mug.create_time.is_some());
}

#[tokio::test]
async fn what_nobody_sells_is_not_found() {
    let catalog = Catalog::start().await;

    let status = catalog.get("UNICORN-PINK").await.unwrap_err();

    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "PRODUCT_NOT_FOUND"));
}

#[tokio::test]
async fn the_shop_opens_with_forty_products_at_believable_prices() {
    let catalog = Catalog::start().await;

    let listed = catalog.list(0, "").await.unwrap();

    let skus: BTreeSet<_> = listed.products.iter().map(|product| &product.sku).collect();
    assert_eq!((listed.products.len(), skus.len()), (40, 40));
    assert!(listed.products.is_sorted_by_key(|product| &product.sku));
    assert_eq!(listed.next_page_token, "");
    for Product { sku, name, price, .. } in &listed.products {
        let price = price.as_ref().unwrap();
        assert_eq!(price.currency_code, "EUR", "{sku}");
        assert!((4..100).contains(&price.units) && price.nanos >= 0, "{sku}: {price:?}");
        assert!(!name.is_empty());
    }
}

#[tokio::test]
async fn a_batch_comes_in_the_order_asked_and_names_what_is_missing() {
    let catalog = Catalog::start().await;

    let found =
        catalog.batch(&["TEAPOT-GLASS-1200", "NOT-SOLD", "BEANIE-RUST", "A"]).await.unwrap();

    let skus: Vec<_> = found.products.iter().map(|product| product.sku.as_str()).collect();
    assert_eq!(skus, ["TEAPOT-GLASS-1200", "BEANIE-RUST"]);
    assert_eq!(found.missing_skus, ["NOT-SOLD", "A"]);
    for product in found.products {
        assert_eq!(catalog.get(&product.sku).await.unwrap(), product);
    }
}

#[tokio::test]
async fn a_batch_is_bounded_and_names_each_sku_once() {
    let catalog = Catalog::start().await;
    let many: Vec<_> = (0..10_000).map(|n| format!("SKU-{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let malformed = ["mug"; 1000];

    let largest = catalog.batch(&many[..1000]).await.unwrap();

    assert_eq!(largest.missing_skus.len(), 1000);
    let cases: [(&[&str], &[&str], &str); 6] = [
        (&[], &["skus"], "COUNT_OUT_OF_RANGE"),
        (&many[..1001], &["skus"], "COUNT_OUT_OF_RANGE"),
        (&many, &["skus"], "COUNT_OUT_OF_RANGE"),
        (&["A", "B", "A"], &["skus[2]"], "SKU_REPEATED"),
        (&["A", "", "mug", &"X".repeat(41)], &["skus[1]", "skus[2]", "skus[3]"], "SKU_MALFORMED"),
        (&["A", "B\0"], &["skus[1]"], "SKU_MALFORMED"),
    ];
    for (skus, fields, why) in cases {
        refused(&catalog.batch(skus).await.unwrap_err(), fields, why);
    }
    // However much is wrong, the answer fits into the headers of an HTTP/2 response.
    let status = catalog.batch(&malformed).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "SKU_MALFORMED"));
}

#[tokio::test]
async fn pages_together_are_the_list() {
    let catalog = Catalog::start().await;
    let whole = catalog.list(1000, "").await.unwrap().products;

    for size in [1, 7, 39, 40, 41, 5000] {
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let page = catalog.list(size, &token).await.unwrap();
            assert!(page.products.len() <= size as usize);
            pages.extend(page.products);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, whole, "in pages of {size}");
    }
}

#[tokio::test]
async fn pages_survive_products_that_come_and_go() {
    let catalog = Catalog::start().await;
    let before = catalog.list(0, "").await.unwrap().products;
    let first = catalog.list(10, "").await.unwrap();

    catalog.sell("AAA-FIRST").await;
    catalog.sell("ZZZ-LAST").await;
    catalog.withdraw(&first.products[9].sku).await;
    let second = catalog.list(10, &first.next_page_token).await.unwrap();
    let rest = catalog.list(100, &second.next_page_token).await.unwrap();

    assert_eq!(second.products, before[10..20]);
    assert_eq!(rest.products[..20], before[20..]);
    assert_eq!(rest.products[20].sku, "ZZZ-LAST");
}

#[tokio::test]
async fn a_token_that_this_list_did_not_give_is_refused() {
    let catalog = Catalog::start().await;
    let token = catalog.list(10, "").await.unwrap().next_page_token;
    let last = token.len() - 1;
    let changed = format!("{}{}", &token[..last], if token.ends_with('0') { '1' } else { '0' });

    for token in ["x", "MUG-BLUE-350", &token[..last], &token[..last - 1], &changed, "é", "00"] {
        refused(
            &catalog.list(10, token).await.unwrap_err(),
            &["page_token"],
            "PAGE_TOKEN_MALFORMED",
        );
    }
    refused(&catalog.list(-1, "").await.unwrap_err(), &["page_size"], "PAGE_SIZE_NEGATIVE");
}

#[tokio::test]
async fn a_malformed_sku_is_refused() {
    let catalog = Catalog::start().await;

    for sku in ["", "mug-blue-350", "MUG BLUE", "MÜG", "A\0", &"X".repeat(41)] {
        refused(&catalog.get(sku).await.unwrap_err(), &["sku"], "SKU_MALFORMED");
    }
}

/// A running service, its client, and a hand on its table.
struct Catalog {
    client: CatalogServiceClient<Channel>,
    pool: PgPool,
    service: Service,
    _database: Database,
}

impl Catalog {
    async fn start() -> Self {
        let database = Database::empty("catalog", &catalog::MIGRATIONS).await;
        let database_url = database.url().parse::<Secret>().ok();
        let log_level = "off".to_owned();
        let service = ServiceConfig { database_url, log_level, ..ServiceConfig::default() };
        let started = catalog::start(catalog::Config { service }).await.unwrap();
        let place = format!("catalog=static:{}", started.grpc).parse::<Discovery>().unwrap();
        let channel = place.channel(&started.service, "catalog").unwrap();
        let client = CatalogServiceClient::new(channel);
        let pool = database.pool().await;
        Self { client, pool, service: started.service, _database: database }
    }

    async fn get(&self, sku: &str) -> Result<Product, Status> {
        let request = GetProductRequest { sku: sku.to_owned() };
        let answer = self.client.clone().get_product(request).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    async fn batch(&self, skus: &[&str]) -> Result<BatchGetProductsResponse, Status> {
        let skus = skus.iter().copied().map(str::to_owned).collect();
        let request = BatchGetProductsRequest { skus };
        Ok(self.client.clone().batch_get_products(request).await?.into_inner())
    }

    async fn list(&self, page_size: i32, token: &str) -> Result<ListProductsResponse, Status> {
        let request = ListProductsRequest { page_size, page_token: token.to_owned() };
        Ok(self.client.clone().list_products(request).await?.into_inner())
    }

    async fn sell(&self, sku: &str) {
        sqlx::query(
            "INSERT INTO products (product_id, sku, name, description, currency, price_minor)
             VALUES ($1, $2, 'new', '', 'EUR', 100)",
        )
        .bind(Uuid::now_v7())
        .bind(sku)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    async fn withdraw(&self, sku: &str) {
        let delete = sqlx::query("DELETE FROM products WHERE sku = $1").bind(sku);
        delete.execute(&self.pool).await.unwrap();
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.service.stop();
    }
}

fn refused(status: &Status, fields: &[&str], why: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let blamed: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((blamed.as_slice(), reason(status).as_str()), (fields, why));
}

fn reason(status: &Status) -> String {
    mesh_rpc::reason(status).unwrap_or_default()
}

fn euros(units: i64, cents: i32) -> Money {
    Money { currency_code: "EUR".into(), units, nanos: cents * 10_000_000 }
}
