//! What the shop sells, from its first day to its last, and what others hear of it.

use shop::{
    catalog::v1::{
        ArchiveProductRequest, CreateProductRequest, GetProductRequest, ListCategoriesRequest,
        Product, ProductArchived, ProductCreated, ProductState, ProductUpdated,
        SearchProductsRequest, UpdateProductRequest,
    },
    common::v1::Money,
    orders::v1::OrderState,
};
use tonic::Code;

use crate::{
    evidence::{minor, reason},
    shop::{GOOD_CARD, Shop, uuid},
};

const SKU: &str = "SAMOVAR-5";

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_sold_at_its_price_of_the_moment_until_it_is_archived() {
    let shop = Shop::open().await;
    let made = shop.sell(120).await;
    shop.receive(SKU, 10).await;
    let before = shop.order_of(SKU, 1, GOOD_CARD).await;
    let after = shop.order_of(SKU, 1, GOOD_CARD).await;
    let late = shop.order_of(SKU, 1, GOOD_CARD).await;

    let first = shop.place(before.clone()).await.unwrap();
    let dearer = UpdateProductRequest {
        request_id: uuid(),
        sku: SKU.to_owned(),
        price: Some(euros(130)),
        etag: made.etag,
        ..Default::default()
    };
    shop.catalog().update_product(dearer).await.unwrap();
    let second = shop.place(after).await.unwrap();
    let end =
        ArchiveProductRequest { request_id: uuid(), sku: SKU.to_owned(), ..Default::default() };
    shop.catalog().archive_product(end).await.unwrap();
    let refused = shop.place(late).await.unwrap_err();

    assert_eq!((minor(first.total.as_ref()), minor(second.total.as_ref())), (12_000, 13_000));
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "PRODUCT_NOT_SOLD");
    // Who ordered in time gets it, and whoever asks again hears the same.
    for order in [&first, &second] {
        assert_eq!(shop.settled(&order.order_id).await.state(), OrderState::Confirmed);
    }
    assert_eq!(shop.place(before).await.unwrap().order_id, first.order_id);

    let created: ProductCreated = shop.told(&made.product_id).await;
    let updated: ProductUpdated = shop.told(&made.product_id).await;
    let archived: ProductArchived = shop.told(&made.product_id).await;
    assert_eq!((created.price, created.sku.as_str()), (Some(euros(120)), SKU));
    assert_eq!((updated.old_price, updated.new_price), (Some(euros(120)), Some(euros(130))));
    assert_eq!(archived.sku, SKU);
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_was_changed_while_the_broker_was_away_is_announced_later() {
    let shop = Shop::open().await;
    shop.platform.nats().down().await;

    let made = shop.sell(120).await;
    let query = SearchProductsRequest { query: "samovr".to_owned(), ..Default::default() };
    let found = shop.catalog().search_products(query).await.unwrap().into_inner().products;
    shop.platform.nats().up().await;

    assert_eq!((found.len(), &found[0]), (1, &made));
    let created: ProductCreated = shop.told(&made.product_id).await;
    assert_eq!(created.price, Some(euros(120)));
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_whose_maker_died_is_made_once() {
    let shop = Shop::open().await;
    for point in ["before_commit", "after_commit"] {
        let catalog = shop.platform.service("catalog");
        let starts = catalog.arm(&format!("create_product:{point}")).await;
        let request = samovar(&format!("SAMOVAR-{}", point.to_uppercase().replace('_', "-")), 120);

        let made = crate::shop::persist("to make a product", async || {
            shop.catalog().create_product(request.clone()).await
        });
        let made = made.await.unwrap().into_inner().product.unwrap();
        catalog.restarted(starts).await;

        assert_eq!(made.product_id, request.request_id, "{point}");
        let _: ProductCreated = shop.told(&made.product_id).await;
        let get = GetProductRequest { sku: made.sku.clone() };
        let now = shop.catalog().get_product(get).await.unwrap().into_inner().product.unwrap();
        assert_eq!((now.state(), &now), (ProductState::Active, &made));
    }
    shop.platform.shutdown().await;
}

impl Shop {
    /// A new product, at so many euros.
    async fn sell(&self, euros: i64) -> Product {
        let request = ListCategoriesRequest::default();
        let answer = self.catalog().list_categories(request).await.unwrap().into_inner();
        let tea = answer.categories.into_iter().find(|category| category.slug == "tea").unwrap();
        let request = CreateProductRequest { category_id: tea.category_id, ..samovar(SKU, euros) };
        let made = self.catalog().create_product(request).await.unwrap();
        made.into_inner().product.unwrap()
    }
}

fn samovar(sku: &str, price: i64) -> CreateProductRequest {
    CreateProductRequest {
        request_id: uuid(),
        sku: sku.to_owned(),
        name: "Samovar, brass".to_owned(),
        description: "Boils five litres.".to_owned(),
        price: Some(euros(price)),
        category_id: String::new(),
    }
}

fn euros(units: i64) -> Money {
    Money { currency_code: "EUR".to_owned(), units, nanos: 0 }
}
