//! Products that are found by words.

use shop::catalog::v1::{
    CreateProductRequest, Product, SearchProductsRequest, UpdateProductRequest,
};

use crate::support::{
    Catalog, TABLEWARE, archive, euros, malformed, product, query_for, reprice, update, uuid,
};

#[tokio::test]
async fn all_words_must_match_in_whatever_order_form_and_case() {
    let catalog = Catalog::start().await;

    for query in
        ["blue mug", "MUG blue", "mugs, blue!", "MUG-BLUE-350", "the blue mug of stoneware"]
    {
        assert_eq!(catalog.found(query).await, ["MUG-BLUE-350"], "{query}");
    }
    assert_eq!(catalog.found("sencha").await, ["TEA-SENCHA-100"]);
    assert_eq!(catalog.found("candle cedar burns").await, ["CANDLE-CEDAR-220"]);
    assert_eq!(catalog.found("blue unicorn").await, [""; 0]);
    assert_eq!(catalog.found("the").await, [""; 0]);
}

#[tokio::test]
async fn the_beginning_of_a_word_finds_it() {
    let catalog = Catalog::start().await;

    assert_eq!(catalog.found("choc").await[..2], ["CHOC-DARK-70", "CHOC-SEASALT-100"]);
    assert_eq!(catalog.found("goosen").await, ["KETTLE-GOOSE-900"]);
}

#[tokio::test]
async fn a_misspelt_word_finds_what_is_like_it() {
    let catalog = Catalog::start().await;

    for (query, sku) in [
        ("esspreso beans", "COFFEE-ESPRESSO-1000"),
        ("choclate madagscar", "CHOC-DARK-70"),
        ("keetle", "KETTLE-GOOSE-900"),
        ("candel", "CANDLE-CEDAR-220"),
        ("notebok dotted", "NOTEBOOK-A5-DOT"),
        ("backpak", "BACKPACK-ROLL-22"),
        ("teracotta", "PLANT-POT-TERRA-14"),
    ] {
        let found = catalog.found(query).await;
        assert_eq!(found.first().map(String::as_str), Some(sku), "{query}: {found:?}");
    }
    assert_eq!(catalog.found("xylophone").await, [""; 0]);
}

#[tokio::test]
async fn what_is_in_the_name_comes_before_what_is_in_the_description() {
    let catalog = Catalog::start().await;
    let named = |sku: &str, name: &str, description: &str| CreateProductRequest {
        name: name.to_owned(),
        description: description.to_owned(),
        ..product(sku)
    };
    // In the order of their SKUs the worst comes first.
    catalog.create(named("A-1", "Zithre", "")).await.unwrap();
    catalog.create(named("A-2", "Strings", "For a zither.")).await.unwrap();
    catalog.create(named("ZITHER-3", "Instrument", "")).await.unwrap();
    catalog.create(named("Z-4", "Zither", "")).await.unwrap();
    catalog.create(named("Z-5", "Zither", "")).await.unwrap();

    let found = catalog.found("zither").await;

    assert_eq!(found, ["Z-4", "Z-5", "ZITHER-3", "A-2", "A-1"]);
}

#[tokio::test]
async fn only_what_is_sold_is_found_and_by_its_words_of_now() {
    let catalog = Catalog::start().await;
    let made = catalog.create(product("SAMOVAR-5")).await.unwrap();
    assert_eq!(catalog.found("samovar brass").await, ["SAMOVAR-5"]);

    let name = "Tea urn, copper, ÄÖÜ Чай".to_owned();
    catalog.update(UpdateProductRequest { name, ..update("SAMOVAR-5") }).await.unwrap();
    assert_eq!(catalog.found("samovar brass").await, [""; 0]);
    for query in ["copper urn", "äöü", "ЧАЙ", "coper", "samovar"] {
        assert_eq!(catalog.found(query).await, ["SAMOVAR-5"], "{query}");
    }
    let cleared = UpdateProductRequest {
        update_mask: Some(prost_types::FieldMask { paths: vec!["description".to_owned()] }),
        ..update("SAMOVAR-5")
    };
    assert_eq!(catalog.found("litres").await, ["SAMOVAR-5"]);
    catalog.update(cleared).await.unwrap();
    assert_eq!(catalog.found("litres").await, [""; 0]);
    catalog.archive(archive("SAMOVAR-5")).await.unwrap();
    assert_eq!(catalog.found("copper urn").await, [""; 0]);
    assert_eq!(catalog.get("SAMOVAR-5").await.unwrap().product_id, made.product_id);
}

#[tokio::test]
async fn a_search_stays_in_its_category() {
    let catalog = Catalog::start().await;
    let request =
        SearchProductsRequest { category_id: TABLEWARE.to_owned(), ..query_for("coffee") };

    let everywhere = catalog.found("coffee").await;
    let found = catalog.search(request.clone()).await.unwrap().products;

    assert!(everywhere.len() > found.len() && !found.is_empty(), "{everywhere:?}, {found:?}");
    assert!(found.iter().all(|product| product.category_id == TABLEWARE));
    let nowhere = SearchProductsRequest { category_id: uuid(), ..request };
    assert!(catalog.search(nowhere).await.unwrap().products.is_empty());
}

#[tokio::test]
async fn pages_of_a_search_are_the_search_whatever_comes_meanwhile() {
    let catalog = Catalog::start().await;
    for n in 0..12 {
        let mut zither = product(&format!("Z-{n:02}"));
        zither.name = ["Zither", "Zithers for you", "Zithre"][n % 3].to_owned();
        catalog.create(zither).await.unwrap();
    }
    let whole = catalog.search(query_for("zither")).await.unwrap().products;

    for size in [1, 5, 11, 12, 13] {
        let (mut pages, mut token) = (Vec::<Product>::new(), String::new());
        loop {
            let request =
                SearchProductsRequest { page_size: size, page_token: token, ..query_for("zither") };
            let page = catalog.search(request).await.unwrap();
            pages.extend(page.products);
            token = page.next_page_token;
            assert!(pages.len() <= whole.len(), "in pages of {size}: {pages:?}");
            if token.is_empty() {
                break;
            }
            // Before all pages, with a word that is new; and one that no query finds.
            let mut early = product(&format!("A-{size}-{}", pages.len()));
            early.name = format!("Zither zithern zitherist{}", pages.len());
            let early = catalog.create(early).await.unwrap();
            catalog.create(product(&format!("B-{size}-{}", pages.len()))).await.unwrap();
            catalog.update(reprice(&early.sku, euros(1, 0))).await.unwrap();
            catalog.archive(archive(&early.sku)).await.unwrap();
        }
        assert_eq!(pages, whole, "in pages of {size}");
    }
}

#[tokio::test]
async fn a_page_token_belongs_to_its_words_and_its_category() {
    let catalog = Catalog::start().await;
    let request = SearchProductsRequest { page_size: 1, ..query_for("coffee") };
    let token = catalog.search(request.clone()).await.unwrap().next_page_token;
    let list = catalog.list(1, "").await.unwrap().next_page_token;
    let with = |page_token: &str| SearchProductsRequest {
        page_token: page_token.to_owned(),
        ..request.clone()
    };

    let wrong = [
        with("x"),
        with(&list),
        SearchProductsRequest { query: "tea".to_owned(), ..with(&token) },
        SearchProductsRequest { category_id: TABLEWARE.to_owned(), ..with(&token) },
    ];

    assert!(!token.is_empty());
    for request in wrong {
        let status = catalog.search(request).await.unwrap_err();
        malformed(&status, &["page_token"], "PAGE_TOKEN_MALFORMED");
    }
    assert_eq!(catalog.search(with(&token)).await.unwrap().products.len(), 1);
}

#[tokio::test]
async fn the_first_products_are_found_as_those_that_are_made_later() {
    let catalog = Catalog::start().await;
    let index = async || {
        let products: Vec<(String, String)> =
            sqlx::query_as("SELECT sku, search::text FROM products ORDER BY sku")
                .fetch_all(&catalog.pool)
                .await
                .unwrap();
        let words: Vec<(String, String, Vec<String>)> = sqlx::query_as(
            "SELECT sku, word, trigrams FROM product_words JOIN words USING (word)
             ORDER BY sku, word",
        )
        .fetch_all(&catalog.pool)
        .await
        .unwrap();
        (products, words)
    };
    let by_migration = index().await;

    for product in catalog.list(0, "").await.unwrap().products {
        let renamed =
            |name: &str| UpdateProductRequest { name: name.to_owned(), ..update(&product.sku) };
        catalog.update(renamed("Something else")).await.unwrap();
        catalog.update(renamed(&product.name)).await.unwrap();
    }

    assert_eq!(index().await, by_migration);
}
