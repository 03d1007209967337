//! Requests that cannot be understood: everything that is wrong is said, and nothing happens.

use prost_types::FieldMask;
use shop::{
    catalog::v1::{
        ArchiveProductRequest, CreateCategoryRequest, CreateProductRequest, ListProductsRequest,
        SearchProductsRequest, UpdateCategoryRequest, UpdateProductRequest,
    },
    common::v1::Money,
};

use crate::support::{
    Catalog, archive, category, euros, malformed, product, query_for, rename, reprice, update,
};

#[tokio::test]
async fn a_malformed_product_is_refused_by_field() {
    let catalog = Catalog::start().await;
    let good = || product("SAMOVAR-5");
    let priced = |price| CreateProductRequest { price: Some(price), ..good() };
    let cases = [
        (CreateProductRequest { request_id: "1".into(), ..good() }, "request_id", "UUID_MALFORMED"),
        (CreateProductRequest { sku: "mug".into(), ..good() }, "sku", "SKU_MALFORMED"),
        (
            CreateProductRequest { name: String::new(), ..good() },
            "name",
            "TEXT_LENGTH_OUT_OF_RANGE",
        ),
        (
            CreateProductRequest { name: "x".repeat(201), ..good() },
            "name",
            "TEXT_LENGTH_OUT_OF_RANGE",
        ),
        (CreateProductRequest { name: "a\0b".into(), ..good() }, "name", "TEXT_MALFORMED"),
        (
            CreateProductRequest { description: "x".repeat(4001), ..good() },
            "description",
            "TEXT_LENGTH_OUT_OF_RANGE",
        ),
        (CreateProductRequest { price: None, ..good() }, "price", "FIELD_MISSING"),
        (priced(euros(0, 0)), "price.units", "AMOUNT_OUT_OF_RANGE"),
        (priced(euros(-1, 0)), "price.units", "AMOUNT_OUT_OF_RANGE"),
        (priced(Money { nanos: 1, ..euros(1, 0) }), "price.nanos", "AMOUNT_MALFORMED"),
        (priced(euros(i64::MAX, 0)), "price.units", "AMOUNT_OUT_OF_RANGE"),
        (
            priced(Money { currency_code: "XXX".into(), ..euros(1, 0) }),
            "price.currency_code",
            "CURRENCY_UNKNOWN",
        ),
        (
            CreateProductRequest { category_id: "tea".into(), ..good() },
            "category_id",
            "UUID_MALFORMED",
        ),
    ];

    for (request, field, why) in cases {
        malformed(&catalog.create(request).await.unwrap_err(), &[field], why);
    }
    let status = catalog.create(CreateProductRequest::default()).await.unwrap_err();
    malformed(&status, &["request_id", "sku", "name", "price"], "UUID_MALFORMED");
    assert_eq!(catalog.events().await, 0);
}

#[tokio::test]
async fn a_malformed_change_is_refused_by_field() {
    let catalog = Catalog::start().await;
    let before = catalog.get("MUG-BLUE-350").await.unwrap();
    let good = || reprice("MUG-BLUE-350", euros(14, 0));
    let masked = |paths: &[&str]| {
        let paths = paths.iter().copied().map(str::to_owned).collect();
        UpdateProductRequest { update_mask: Some(FieldMask { paths }), ..update("MUG-BLUE-350") }
    };
    let cases = [
        (
            UpdateProductRequest { request_id: String::new(), ..good() },
            "request_id",
            "UUID_MALFORMED",
        ),
        (UpdateProductRequest { sku: String::new(), ..good() }, "sku", "SKU_MALFORMED"),
        (UpdateProductRequest { etag: "0".into(), ..good() }, "etag", "ETAG_MALFORMED"),
        (UpdateProductRequest { etag: "+1".into(), ..good() }, "etag", "ETAG_MALFORMED"),
        (UpdateProductRequest { etag: "x".repeat(4000), ..good() }, "etag", "ETAG_MALFORMED"),
        (masked(&["price", "sku"]), "update_mask.paths[1]", "PATH_UNKNOWN"),
        (masked(&["*"]), "update_mask.paths[0]", "PATH_UNKNOWN"),
        (masked(&["price.units"]), "update_mask.paths[0]", "PATH_UNKNOWN"),
        (masked(&["name"; 17]), "update_mask.paths", "COUNT_OUT_OF_RANGE"),
        (masked(&["name"]), "name", "TEXT_LENGTH_OUT_OF_RANGE"),
        (masked(&["price"]), "price", "FIELD_MISSING"),
        (
            UpdateProductRequest { category_id: "x".into(), ..good() },
            "category_id",
            "UUID_MALFORMED",
        ),
        (reprice("MUG-BLUE-350", euros(-1, 0)), "price.units", "AMOUNT_OUT_OF_RANGE"),
    ];

    for (request, field, why) in cases {
        let status = catalog.update(request).await.unwrap_err();
        let blamed = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
        assert_eq!(blamed.field_violations[0].field, field, "{status:?}");
        assert_eq!(mesh_rpc::reason(&status).as_deref(), Some(why), "{status:?}");
    }
    let wrong = ArchiveProductRequest { request_id: "1".into(), sku: "x".into(), etag: "y".into() };
    let status = catalog.archive(wrong).await.unwrap_err();
    malformed(&status, &["request_id", "sku", "etag"], "UUID_MALFORMED");
    let oversized = ArchiveProductRequest { sku: "X".repeat(41), ..archive("") };
    malformed(&catalog.archive(oversized).await.unwrap_err(), &["sku"], "SKU_MALFORMED");
    assert_eq!(catalog.get("MUG-BLUE-350").await.unwrap(), before);
    assert_eq!(catalog.events().await, 0);
}

#[tokio::test]
async fn a_malformed_category_is_refused_by_field() {
    let catalog = Catalog::start().await;

    for slug in ["", "Tea", "-tea", "tea-", "te a", "tea\0", &"x".repeat(61)] {
        let status = catalog.create_category(category(slug)).await.unwrap_err();
        malformed(&status, &["slug"], "SLUG_MALFORMED");
    }
    let wrong = CreateCategoryRequest::default();
    let status = catalog.create_category(wrong).await.unwrap_err();
    malformed(&status, &["request_id", "slug", "name"], "UUID_MALFORMED");
    let wrong = UpdateCategoryRequest { etag: "x".into(), ..rename("tea", "") };
    let status = catalog.update_category(wrong).await.unwrap_err();
    malformed(&status, &["category_id", "etag", "name"], "UUID_MALFORMED");
    malformed(&catalog.category("").await.unwrap_err(), &["category_id"], "UUID_MALFORMED");
    assert_eq!(catalog.categories(0, "").await.unwrap().categories.len(), 9);
}

#[tokio::test]
async fn a_malformed_question_is_refused_by_field() {
    let catalog = Catalog::start().await;
    let eleven = (0..11).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    let long = "x ".repeat(101);

    for state in [3, -1, i32::MAX] {
        let request = ListProductsRequest { state, ..Default::default() };
        malformed(&catalog.list_of(request).await.unwrap_err(), &["state"], "ENUM_UNKNOWN");
    }
    let request = ListProductsRequest { category_id: "tea".into(), ..Default::default() };
    malformed(&catalog.list_of(request).await.unwrap_err(), &["category_id"], "UUID_MALFORMED");
    for (query, fields, why) in [
        ("", &["query", "query"][..], "TEXT_LENGTH_OUT_OF_RANGE"),
        (&long, &["query"], "TEXT_LENGTH_OUT_OF_RANGE"),
        ("a\nb", &["query"], "TEXT_MALFORMED"),
        ("!? -- ☕", &["query"], "WORD_COUNT_OUT_OF_RANGE"),
        (&eleven, &["query"], "WORD_COUNT_OUT_OF_RANGE"),
    ] {
        malformed(&catalog.search(query_for(query)).await.unwrap_err(), fields, why);
    }
    let request =
        SearchProductsRequest { page_size: -1, category_id: "x".into(), ..query_for("mug") };
    let status = catalog.search(request).await.unwrap_err();
    malformed(&status, &["category_id", "page_size"], "UUID_MALFORMED");
    // Words that mean something to a query language are words like others.
    for query in ["mug & !blue | (x:*)", "'; DROP TABLE products --", "a:* b\\c", "% _ ' \" mug"] {
        assert!(catalog.search(query_for(query)).await.is_ok(), "{query}");
    }
}
