//! Products by their SKUs, and lists of them.

use std::collections::{BTreeMap, BTreeSet};

use shop::catalog::v1::{ListProductsRequest, Product, ProductState};
use tonic::Code;
use uuid::Uuid;

use crate::support::{
    Catalog, TABLEWARE, archive, euros, malformed, product, reason, refused, uuid,
};

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

    refused(&status, Code::NotFound, "PRODUCT_NOT_FOUND", &["sku"]);
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
async fn each_of_the_first_products_has_a_category_that_fits() {
    let catalog = Catalog::start().await;
    let slugs: BTreeMap<_, _> = (catalog.categories(0, "").await.unwrap().categories)
        .into_iter()
        .map(|category| (category.category_id, category.slug))
        .collect();

    let mut shelves = BTreeMap::<String, Vec<String>>::new();
    for product in catalog.list(0, "").await.unwrap().products {
        let slug = slugs.get(&product.category_id).unwrap_or_else(|| panic!("{product:?}"));
        assert_eq!(product.state(), ProductState::Active);
        assert_eq!(product.create_time, product.update_time);
        shelves.entry(slug.clone()).or_default().push(product.sku);
    }

    assert_eq!(shelves["tea"], ["TEA-EARLGREY-100", "TEA-SENCHA-100"]);
    assert!(shelves["tableware"].contains(&"TEAPOT-GLASS-1200".to_owned()));
    assert!(shelves["brewing"].contains(&"PRESS-FRENCH-1000".to_owned()));
    assert_eq!(shelves.len(), slugs.len(), "no category is empty");
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
    let wrong = ["mug"; 1000];

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
        malformed(&catalog.batch(skus).await.unwrap_err(), fields, why);
    }
    // However much is wrong, the answer fits into the headers of an HTTP/2 response.
    let status = catalog.batch(&wrong).await.unwrap_err();
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

    catalog.create(product("AAA-FIRST")).await.unwrap();
    catalog.create(product("ZZZ-LAST")).await.unwrap();
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
        malformed(
            &catalog.list(10, token).await.unwrap_err(),
            &["page_token"],
            "PAGE_TOKEN_MALFORMED",
        );
    }
    malformed(&catalog.list(-1, "").await.unwrap_err(), &["page_size"], "PAGE_SIZE_NEGATIVE");
}

#[tokio::test]
async fn a_malformed_sku_is_refused() {
    let catalog = Catalog::start().await;

    for sku in ["", "mug-blue-350", "MUG BLUE", "MÜG", "A\0", &"X".repeat(41)] {
        malformed(&catalog.get(sku).await.unwrap_err(), &["sku"], "SKU_MALFORMED");
    }
}

#[tokio::test]
async fn a_list_is_of_a_category_and_of_a_state() {
    let catalog = Catalog::start().await;
    let all = catalog.list(0, "").await.unwrap().products;
    catalog.archive(archive("MUG-BLUE-350")).await.unwrap();
    catalog.archive(archive("PEN-FOUNTAIN-M")).await.unwrap();
    let skus = async |category_id: &str, state: ProductState| {
        let (category_id, state) = (category_id.to_owned(), state.into());
        let request = ListProductsRequest { category_id, state, ..Default::default() };
        let listed = catalog.list_of(request).await.unwrap();
        listed.products.into_iter().map(|product| product.sku).collect::<Vec<_>>()
    };

    let archived = skus("", ProductState::Archived).await;
    assert_eq!(archived, ["MUG-BLUE-350", "PEN-FOUNTAIN-M"]);
    let active = skus("", ProductState::Active).await;
    assert_eq!((active.len(), skus("", ProductState::Unspecified).await.len()), (38, 40));
    assert_eq!(skus(TABLEWARE, ProductState::Archived).await, ["MUG-BLUE-350"]);
    let ceramics = skus(TABLEWARE, ProductState::Unspecified).await;
    let expected = all.iter().filter(|it| it.category_id == TABLEWARE).map(|it| &it.sku);
    assert!(expected.eq(&ceramics), "{ceramics:?}");
    assert_eq!(skus(TABLEWARE, ProductState::Active).await.len(), ceramics.len() - 1);
    assert!(skus(&uuid(), ProductState::Unspecified).await.is_empty());
}

#[tokio::test]
async fn filtered_pages_are_the_filtered_list_whatever_comes_meanwhile() {
    let catalog = Catalog::start().await;
    let request = |page_size, page_token: &str| ListProductsRequest {
        page_size,
        page_token: page_token.to_owned(),
        category_id: TABLEWARE.to_owned(),
        state: ProductState::Active.into(),
    };
    let whole = catalog.list_of(request(0, "")).await.unwrap().products;

    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let page = catalog.list_of(request(2, &token)).await.unwrap();
        pages.extend(page.products);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        // Before all that was listed, and of another category.
        let n = pages.len();
        let mut early = product(&format!("AAA-{n}"));
        early.category_id = TABLEWARE.to_owned();
        catalog.create(early).await.unwrap();
        catalog.create(product(&format!("MUG-OF-OTHERS-{n}"))).await.unwrap();
    }

    assert_eq!(pages, whole);
    assert!(pages.len() > 4, "several pages");
}

#[tokio::test]
async fn a_page_token_belongs_to_its_filter() {
    let catalog = Catalog::start().await;
    let all = catalog.list(2, "").await.unwrap().next_page_token;
    let request = ListProductsRequest {
        page_size: 2,
        category_id: TABLEWARE.to_owned(),
        ..Default::default()
    };
    let shelf = catalog.list_of(request.clone()).await.unwrap().next_page_token;
    let archived = ProductState::Archived.into();

    let wrong = [
        ListProductsRequest { page_token: all, ..request.clone() },
        ListProductsRequest { page_token: shelf.clone(), category_id: uuid(), ..request.clone() },
        ListProductsRequest { page_token: shelf.clone(), state: archived, ..request.clone() },
        ListProductsRequest {
            page_token: shelf.clone(),
            category_id: String::new(),
            ..request.clone()
        },
    ];

    for request in wrong {
        let status = catalog.list_of(request).await.unwrap_err();
        malformed(&status, &["page_token"], "PAGE_TOKEN_MALFORMED");
    }
    // The size is no part of the query.
    let rest = ListProductsRequest { page_token: shelf, page_size: 100, ..request };
    assert!(catalog.list_of(rest).await.is_ok());
}
