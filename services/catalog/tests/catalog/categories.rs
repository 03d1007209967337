//! Categories that are made, renamed and listed.

use shop::catalog::v1::{Category, CreateCategoryRequest, UpdateCategoryRequest};
use tonic::Code;

use crate::support::{Catalog, TEA, category, malformed, refused, rename, uuid};

#[tokio::test]
async fn a_category_is_made_once_and_known_by_its_id() {
    let catalog = Catalog::start().await;
    let request = category("gifts");

    let gifts = catalog.create_category(request.clone()).await.unwrap();
    let repeated = catalog.create_category(request.clone()).await.unwrap();
    catalog.update_category(rename(&gifts.category_id, "Presents")).await.unwrap();
    let late = catalog.create_category(request.clone()).await.unwrap();

    assert_eq!((&gifts.category_id, gifts.slug.as_str()), (&request.request_id, "gifts"));
    assert_eq!((&repeated, &late), (&gifts, &gifts));
    let now = catalog.category(&gifts.category_id).await.unwrap();
    assert_eq!((now.name.as_str(), &now.create_time), ("Presents", &gifts.create_time));
    let other = CreateCategoryRequest { name: "Other".to_owned(), ..request };
    let differs = catalog.create_category(other).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    let taken = catalog.create_category(category("tea")).await.unwrap_err();
    refused(&taken, Code::AlreadyExists, "SLUG_TAKEN", &["slug"]);
    let missing = catalog.category(&uuid()).await.unwrap_err();
    refused(&missing, Code::NotFound, "CATEGORY_NOT_FOUND", &["category_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_made_at_the_same_time_are_one() {
    let catalog = Catalog::start().await;
    let same = category("gifts");

    let calls = (0..8).map(|_| catalog.create_category(same.clone()));
    let made = futures::future::try_join_all(calls).await.unwrap();
    let rivals = (0..8).map(|_| catalog.create_category(category("toys")));
    let rivals = futures::future::join_all(rivals).await;

    assert!(made.iter().all(|category| *category == made[0]), "{made:?}");
    let (won, lost): (Vec<_>, Vec<_>) = rivals.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for rival in lost {
        refused(&rival.unwrap_err(), Code::AlreadyExists, "SLUG_TAKEN", &["slug"]);
    }
}

#[tokio::test]
async fn a_category_is_renamed_once_and_only_by_who_saw_it_as_it_is() {
    let catalog = Catalog::start().await;
    let before = catalog.category(TEA).await.unwrap();
    let request =
        UpdateCategoryRequest { etag: before.etag.clone(), ..rename(TEA, "Tea and herbs") };

    let after = catalog.update_category(request.clone()).await.unwrap();
    let repeated = catalog.update_category(request.clone()).await.unwrap();
    let same_name = catalog.update_category(rename(TEA, "Tea and herbs")).await.unwrap();

    assert_ne!((&after.etag, &after.update_time), (&before.etag, &before.update_time));
    let Category { etag, update_time, .. } = after.clone();
    let expected = Category { name: "Tea and herbs".to_owned(), etag, update_time, ..before };
    assert_eq!((&after, &repeated, &same_name), (&expected, &after, &after));
    let stale = UpdateCategoryRequest { request_id: uuid(), ..request.clone() };
    let stale = catalog.update_category(stale).await.unwrap_err();
    refused(&stale, Code::Aborted, "CATEGORY_CHANGED", &["etag"]);
    let other = UpdateCategoryRequest { name: "Other".to_owned(), ..request.clone() };
    let differs = catalog.update_category(other).await.unwrap_err();
    refused(&differs, Code::FailedPrecondition, "REQUEST_CONTENT_DIFFERS", &["request_id"]);
    catalog.update_category(rename(TEA, "Leaves")).await.unwrap();
    assert_eq!(catalog.update_category(request).await.unwrap(), after);
    let missing = catalog.update_category(rename(&uuid(), "Nothing")).await.unwrap_err();
    refused(&missing, Code::NotFound, "CATEGORY_NOT_FOUND", &["category_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_at_the_same_time_happen_once_each() {
    let catalog = Catalog::start().await;
    let etag = catalog.category(TEA).await.unwrap().etag;
    let seen = |n| UpdateCategoryRequest { etag: etag.clone(), ..rename(TEA, &format!("Tea {n}")) };
    let same = rename(TEA, "Leaves");

    let racing = futures::future::join_all((0..8).map(|n| catalog.update_category(seen(n)))).await;
    let calls = (0..8).map(|_| catalog.update_category(same.clone()));
    let once = futures::future::try_join_all(calls).await.unwrap();

    assert_eq!(racing.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(once.iter().all(|category| *category == once[0]), "{once:?}");
}

#[tokio::test]
async fn categories_are_listed_by_slug_in_pages_without_gaps() {
    let catalog = Catalog::start().await;
    let whole = catalog.categories(0, "").await.unwrap().categories;

    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let page = catalog.categories(2, &token).await.unwrap();
        pages.extend(page.categories);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        catalog.create_category(category(&format!("a-{}", pages.len()))).await.unwrap();
    }

    assert_eq!((whole.len(), &pages), (9, &whole));
    assert!(whole.is_sorted_by_key(|category| &category.slug));
    let products = catalog.list(2, "").await.unwrap().next_page_token;
    for token in ["x", products.as_str()] {
        let status = catalog.categories(2, token).await.unwrap_err();
        malformed(&status, &["page_token"], "PAGE_TOKEN_MALFORMED");
    }
    malformed(&catalog.categories(-1, "").await.unwrap_err(), &["page_size"], "PAGE_SIZE_NEGATIVE");
}
