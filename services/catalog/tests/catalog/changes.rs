//! Products that are created, changed and archived.

use prost_types::FieldMask;
use shop::catalog::v1::{
    ArchiveProductRequest, CreateProductRequest, Product, ProductArchived, ProductCreated,
    ProductState, ProductUpdated, UpdateProductRequest,
};
use tonic::Code;

use crate::support::{
    Catalog, TABLEWARE, TEA, archive, euros, product, read, refused, reprice, update, uuid,
};

#[tokio::test]
async fn a_new_product_is_sold_and_announced() {
    let catalog = Catalog::start().await;
    let request = product("SAMOVAR-5");

    let samovar = catalog.create(request.clone()).await.unwrap();

    assert_eq!(samovar.product_id, request.request_id);
    assert_eq!(samovar.state(), ProductState::Active);
    assert_eq!((samovar.name.as_str(), samovar.category_id.as_str()), ("Samovar, brass", TEA));
    assert_eq!((&samovar.description, &samovar.price), (&request.description, &request.price));
    assert_eq!(samovar.create_time, samovar.update_time);
    assert_eq!(catalog.get("SAMOVAR-5").await.unwrap(), samovar);
    assert_eq!(catalog.batch(&["SAMOVAR-5"]).await.unwrap().products[0], samovar);
    let told = catalog.told(&samovar.product_id).await;
    let expected = ProductCreated {
        product_id: samovar.product_id,
        sku: samovar.sku,
        name: samovar.name,
        price: samovar.price,
        category_id: samovar.category_id,
    };
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0, read::<ProductCreated>(&told[0])), (1, expected));
}

#[tokio::test]
async fn a_repeated_create_makes_one_product_and_answers_as_the_first_time() {
    let catalog = Catalog::start().await;
    let request = product("SAMOVAR-5");

    let first = catalog.create(request.clone()).await.unwrap();
    let second = catalog.create(request.clone()).await.unwrap();
    catalog.update(reprice("SAMOVAR-5", euros(99, 0))).await.unwrap();
    catalog.archive(archive("SAMOVAR-5")).await.unwrap();
    let late = catalog.create(request.clone()).await.unwrap();

    assert_eq!((&second, &late), (&first, &first));
    assert_eq!(catalog.told(&first.product_id).await.len(), 3, "created, updated, archived");
    let other = CreateProductRequest { name: "Samovar".to_owned(), ..request.clone() };
    let differs = catalog.create(other).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    let elsewhere = CreateProductRequest { sku: "SAMOVAR-6".to_owned(), ..request };
    let differs = catalog.create(elsewhere).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    assert_eq!(catalog.get("SAMOVAR-6").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_at_the_same_time_make_one_product() {
    let catalog = Catalog::start().await;
    let same = product("SAMOVAR-5");
    let before = catalog.events().await;

    let calls = (0..8).map(|_| catalog.create(same.clone()));
    let made = futures::future::try_join_all(calls).await.unwrap();
    let rivals = (0..8).map(|_| catalog.create(product("SAMOVAR-6")));
    let rivals = futures::future::join_all(rivals).await;

    assert!(made.iter().all(|product| *product == made[0]), "{made:?}");
    let (won, lost): (Vec<_>, Vec<_>) = rivals.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for rival in lost {
        refused(&rival.unwrap_err(), Code::AlreadyExists, "SKU_TAKEN", &["sku"]);
    }
    assert_eq!(catalog.events().await - before, 2);
}

#[tokio::test]
async fn a_sku_is_given_once_and_a_category_must_exist() {
    let catalog = Catalog::start().await;
    catalog.archive(archive("BEANIE-RUST")).await.unwrap();
    let events = catalog.events().await;

    for taken in ["MUG-BLUE-350", "BEANIE-RUST"] {
        let status = catalog.create(product(taken)).await.unwrap_err();
        refused(&status, Code::AlreadyExists, "SKU_TAKEN", &["sku"]);
    }
    let nowhere = CreateProductRequest { category_id: uuid(), ..product("SAMOVAR-5") };
    let status = catalog.create(nowhere).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "CATEGORY_UNKNOWN", &["category_id"]);
    let moved = UpdateProductRequest { category_id: uuid(), ..update("MUG-BLUE-350") };
    let status = catalog.update(moved).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "CATEGORY_UNKNOWN", &["category_id"]);

    assert_eq!(catalog.events().await, events, "a refused request is not announced");
    let shelved = CreateProductRequest { category_id: String::new(), ..product("SAMOVAR-5") };
    assert_eq!(catalog.create(shelved).await.unwrap().category_id, "");
}

#[tokio::test]
async fn a_new_price_holds_at_once_and_is_announced_with_the_old_one() {
    let catalog = Catalog::start().await;
    let before = catalog.get("MUG-BLUE-350").await.unwrap();

    let after = catalog.update(reprice("MUG-BLUE-350", euros(14, 0))).await.unwrap();

    let Product { etag, update_time, .. } = after.clone();
    assert_ne!((&etag, &update_time), (&before.etag, &before.update_time));
    let expected = Product { price: Some(euros(14, 0)), etag, update_time, ..before.clone() };
    assert_eq!(after, expected);
    assert_eq!(catalog.batch(&["MUG-BLUE-350"]).await.unwrap().products[0], after);
    let told = catalog.told(&after.product_id).await;
    let expected = ProductUpdated {
        product_id: after.product_id,
        sku: after.sku,
        name: after.name,
        old_price: before.price,
        new_price: after.price,
        category_id: TABLEWARE.to_owned(),
    };
    assert_eq!((told.len(), read::<ProductUpdated>(&told[0])), (1, expected));
}

#[tokio::test]
async fn a_mask_says_what_is_set_and_without_one_what_is_given_is() {
    let catalog = Catalog::start().await;
    let before = catalog.get("MUG-BLUE-350").await.unwrap();
    let masked = |paths: &[&str], request: UpdateProductRequest| {
        let paths = paths.iter().copied().map(str::to_owned).collect();
        UpdateProductRequest { update_mask: Some(FieldMask { paths }), ..request }
    };
    let renamed = || UpdateProductRequest { name: "Mug".to_owned(), ..update("MUG-BLUE-350") };

    let given = UpdateProductRequest { category_id: TEA.to_owned(), ..renamed() };
    let given = catalog.update(given).await.unwrap();
    assert_eq!((given.name.as_str(), given.category_id.as_str()), ("Mug", TEA));
    assert_eq!((&given.description, &given.price), (&before.description, &before.price));

    let emptied = masked(&["description", "category_id"], renamed());
    let emptied = UpdateProductRequest { name: "Not named in the mask".to_owned(), ..emptied };
    let emptied = catalog.update(emptied).await.unwrap();
    assert_eq!((emptied.description.as_str(), emptied.category_id.as_str()), ("", ""));
    assert_eq!((emptied.name.as_str(), &emptied.price), ("Mug", &before.price));

    let events = catalog.events().await;
    let nothing = catalog.update(update("MUG-BLUE-350")).await.unwrap();
    let the_same = catalog.update(masked(&["name"], renamed())).await.unwrap();
    assert_eq!((&nothing, &the_same), (&emptied, &emptied));
    assert_eq!(catalog.events().await, events, "what changes nothing is not announced");
}

#[tokio::test]
async fn a_change_of_something_that_has_changed_since_is_refused() {
    let catalog = Catalog::start().await;
    let etag = catalog.get("MUG-BLUE-350").await.unwrap().etag;
    let seen = |price| UpdateProductRequest {
        etag: etag.clone(),
        ..reprice("MUG-BLUE-350", euros(price, 0))
    };

    catalog.update(seen(14)).await.unwrap();
    let late = catalog.update(seen(15)).await.unwrap_err();
    let archived = ArchiveProductRequest { etag: etag.clone(), ..archive("MUG-BLUE-350") };
    let late_archive = catalog.archive(archived.clone()).await.unwrap_err();

    refused(&late, Code::Aborted, "PRODUCT_CHANGED", &["etag"]);
    refused(&late_archive, Code::Aborted, "PRODUCT_CHANGED", &["etag"]);
    let mug = catalog.get("MUG-BLUE-350").await.unwrap();
    assert_eq!(mug.price, Some(euros(14, 0)));
    let archived = ArchiveProductRequest { etag: mug.etag, ..archived };
    assert_eq!(catalog.archive(archived).await.unwrap().state(), ProductState::Archived);
}

#[tokio::test]
async fn a_repeated_update_changes_once_and_answers_as_the_first_time() {
    let catalog = Catalog::start().await;
    let etag = catalog.get("MUG-BLUE-350").await.unwrap().etag;
    let request = UpdateProductRequest { etag, ..reprice("MUG-BLUE-350", euros(14, 0)) };

    let first = catalog.update(request.clone()).await.unwrap();
    let second = catalog.update(request.clone()).await.unwrap();
    catalog.update(reprice("MUG-BLUE-350", euros(16, 0))).await.unwrap();
    catalog.archive(archive("MUG-BLUE-350")).await.unwrap();
    let late = catalog.update(request.clone()).await.unwrap();

    assert_eq!((&second, &late), (&first, &first));
    assert_eq!(catalog.told(&first.product_id).await.len(), 3);
    let other = UpdateProductRequest { price: Some(euros(1, 0)), ..request.clone() };
    let differs = catalog.update(other).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    let elsewhere = UpdateProductRequest { sku: "MUG-GREEN-350".to_owned(), ..request };
    let differs = catalog.update(elsewhere).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_happen_once_each() {
    let catalog = Catalog::start().await;
    let etag = catalog.get("MUG-BLUE-350").await.unwrap().etag;
    let same = reprice("MUG-BLUE-350", euros(14, 0));
    let seen = |n: i64| UpdateProductRequest {
        etag: etag.clone(),
        ..reprice("MUG-GREEN-350", euros(20 + n, 0))
    };

    let calls = (0..8).map(|_| catalog.update(same.clone()));
    let once = futures::future::try_join_all(calls).await.unwrap();
    let elsewhere = ["PEN-FOUNTAIN-M", "LAMP-DESK-LED", "CLOCK-WALL-OAK", "BEANIE-RUST"];
    let request = reprice("", euros(14, 0));
    let spread = elsewhere.map(|sku| {
        let request = UpdateProductRequest { sku: sku.to_owned(), ..request.clone() };
        catalog.update(request)
    });
    let spread = futures::future::join_all(spread).await;
    let racing = futures::future::join_all((0..8).map(|n| catalog.update(seen(n)))).await;

    assert!(once.iter().all(|product| *product == once[0]), "{once:?}");
    assert_eq!(catalog.told(&once[0].product_id).await.len(), 1);
    let (won, lost): (Vec<_>, Vec<_>) = spread.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 3), "one id, one effect");
    for status in lost {
        let (code, why) = (Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS");
        refused(&status.unwrap_err(), code, why, &["request_id"]);
    }
    let (won, lost): (Vec<_>, Vec<_>) = racing.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7), "one of those who saw the same");
    for status in lost {
        refused(&status.unwrap_err(), Code::Aborted, "PRODUCT_CHANGED", &["etag"]);
    }
}

#[tokio::test]
async fn an_archived_product_is_known_but_not_sold() {
    let catalog = Catalog::start().await;
    let request = archive("BEANIE-RUST");

    let archived = catalog.archive(request.clone()).await.unwrap();

    assert_eq!(archived.state(), ProductState::Archived);
    assert_eq!(catalog.get("BEANIE-RUST").await.unwrap(), archived);
    let batch = catalog.batch(&["BEANIE-RUST", "MUG-BLUE-350"]).await.unwrap();
    assert_eq!(
        (batch.products.len(), batch.missing_skus.as_slice()),
        (1, &["BEANIE-RUST".into()][..])
    );
    let told = catalog.told(&archived.product_id).await;
    let expected =
        ProductArchived { product_id: archived.product_id.clone(), sku: archived.sku.clone() };
    assert_eq!((told.len(), read::<ProductArchived>(&told[0])), (1, expected));

    let repeated = catalog.archive(request.clone()).await.unwrap();
    let again = catalog.archive(archive("BEANIE-RUST")).await.unwrap();
    assert_eq!((&repeated, &again), (&archived, &archived));
    assert_eq!(catalog.told(&archived.product_id).await.len(), 1);
    let other = ArchiveProductRequest { sku: "MUG-BLUE-350".to_owned(), ..request };
    let differs = catalog.archive(other).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    let update = catalog.update(reprice("BEANIE-RUST", euros(1, 0))).await.unwrap_err();
    refused(&update, Code::FailedPrecondition, "PRODUCT_ARCHIVED", &["sku"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_at_the_same_time_are_announced_once() {
    let catalog = Catalog::start().await;
    let same = archive("BEANIE-RUST");

    let calls = (0..8).map(|n| match n % 2 {
        0 => catalog.archive(same.clone()),
        _ => catalog.archive(archive("BEANIE-RUST")),
    });
    let archived = futures::future::try_join_all(calls).await.unwrap();

    assert!(archived.iter().all(|product| *product == archived[0]), "{archived:?}");
    assert_eq!(catalog.told(&archived[0].product_id).await.len(), 1);
}

#[tokio::test]
async fn what_nobody_sells_can_be_neither_changed_nor_archived() {
    let catalog = Catalog::start().await;

    let update = catalog.update(reprice("UNICORN-PINK", euros(1, 0))).await.unwrap_err();
    let archive = catalog.archive(archive("UNICORN-PINK")).await.unwrap_err();

    refused(&update, Code::NotFound, "PRODUCT_NOT_FOUND", &["sku"]);
    refused(&archive, Code::NotFound, "PRODUCT_NOT_FOUND", &["sku"]);
}
