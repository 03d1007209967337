//! A contract whose second version is served beside its first: the same data through both, by gRPC and by
//! JSON, and whoever calls the old one is told until when it may.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use mesh_testkit::{Answer, browse};
use serde_json::Value;
use shop::catalog::{
    v1::{self, catalog_service_client::CatalogServiceClient},
    v2::{self, categories_service_client::CategoriesServiceClient},
};
use tonic::{Code, Status};

use crate::callers::Channel;
use crate::shop::{Shop, uuid};

const GATEWAY: &str = "gateway";
/// What the contract announces: 2026-12-01 and 2027-12-01.
const END: [&str; 2] = ["@1796083200", "Wed, 01 Dec 2027 00:00:00 GMT"];

/// Both versions, at the service itself or at the gateway.
struct Both {
    old: CatalogServiceClient<Channel>,
    new: CategoriesServiceClient<Channel>,
}

impl Both {
    fn at(channel: &Channel) -> Self {
        let old = CatalogServiceClient::new(channel.clone());
        Self { old, new: CategoriesServiceClient::new(channel.clone()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_show_and_change_the_same_categories() {
    let shop = Shop::open().await;
    let Both { mut old, mut new } = Both::at(&shop.channel("catalog"));
    let (request_id, slug) = (uuid(), format!("shelf-{}", uuid()));
    let name = "Shelf".to_owned();

    // Made by the new one; the old one's request is the same wish, and has the same outcome.
    let wish = v2::CreateCategoryRequest {
        request_id: request_id.clone(),
        slug: slug.clone(),
        name: name.clone(),
    };
    let made = new.create_category(wish).await.unwrap().into_inner().category.unwrap();
    let wish =
        v1::CreateCategoryRequest { request_id: request_id.clone(), slug: slug.clone(), name };
    let again = old.create_category(wish).await.unwrap().into_inner().category.unwrap();
    assert_eq!((&made.category_id, &made.etag), (&request_id, &again.etag));
    assert_eq!((&again.category_id, &again.slug), (&request_id, &slug));

    // Renamed by the old one, and seen by the new one, which then has another etag.
    let rename = v1::UpdateCategoryRequest {
        request_id: uuid(),
        category_id: request_id.clone(),
        etag: made.etag.clone(),
        name: "Old shelf".to_owned(),
    };
    old.update_category(rename).await.unwrap();
    let by_slug = v2::GetCategoryRequest { slug: slug.clone() };
    let seen = new.get_category(by_slug).await.unwrap().into_inner().category.unwrap();
    assert_eq!(seen.name, "Old shelf");
    let rename = |request_id: &str, etag: &str| v2::UpdateCategoryRequest {
        request_id: request_id.to_owned(),
        slug: slug.clone(),
        etag: etag.to_owned(),
        name: "New shelf".to_owned(),
    };
    let stale = new.update_category(rename(&uuid(), &made.etag)).await.unwrap_err();
    assert_eq!(why(&stale), (Code::Aborted, "CATEGORY_CHANGED".to_owned()));

    // Renamed by the new one, twice by the same request, and seen by the old one.
    let wish = rename(&uuid(), &seen.etag);
    let renamed = new.update_category(wish.clone()).await.unwrap().into_inner();
    assert_eq!(new.update_category(wish).await.unwrap().into_inner(), renamed);
    let by_id = v1::GetCategoryRequest { category_id: request_id };
    let seen = old.get_category(by_id).await.unwrap().into_inner().category.unwrap();
    assert_eq!(seen.name, "New shelf");
    assert_eq!(seen.etag, renamed.category.unwrap().etag);

    // Who lists them finds the same ones in the same order.
    let all = v1::ListCategoriesRequest { page_size: 1000, ..Default::default() };
    let listed = old.list_categories(all).await.unwrap().into_inner().categories;
    let old_slugs: Vec<String> = listed.into_iter().map(|category| category.slug).collect();
    let all = v2::ListCategoriesRequest { page_size: 1000, ..Default::default() };
    let listed = new.list_categories(all).await.unwrap().into_inner().categories;
    let new_slugs: Vec<String> = listed.into_iter().map(|category| category.slug).collect();
    assert_eq!(old_slugs, new_slugs);
    assert!(old_slugs.contains(&slug));
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_what_ends_says_when_and_no_other_does() {
    let shop = Shop::with_gateway(|options| options).await;
    let gateway = Channel::to(&shop.platform, GATEWAY, shop.platform.uri(GATEWAY));
    for channel in [shop.channel("catalog"), gateway] {
        grpc_says_when(Both::at(&channel)).await;
    }

    let door = shop.platform.grpc(GATEWAY);
    let listed = get(door, "/v1/categories?page_size=1").await;
    assert_eq!(ends(&listed.headers), Some(END.map(str::to_owned)));
    let category = listed.json().await["categories"][0].clone();
    let old = format!("/v1/categories/{}", category["categoryId"].as_str().unwrap());
    let new = format!("/v2/categories/{}", category["slug"].as_str().unwrap());
    let (old, new) = (get(door, &old).await, get(door, &new).await);
    assert_eq!(ends(&old.headers), Some(END.map(str::to_owned)));
    assert_eq!(ends(&new.headers), None);
    let (old, new) = (old.json().await, new.json().await);
    assert_eq!(old["category"], new["category"], "the same, whichever name it is asked by");
    // A refusal, and what the gateway refuses by itself, are answers as well.
    for (path, status) in [
        (format!("/v1/categories/{}", uuid()), 404),
        ("/v1/categories?no_such_field=1".to_owned(), 400),
    ] {
        let refused = get(door, &path).await;
        assert_eq!(refused.status, status, "{path}");
        assert_eq!(ends(&refused.headers), Some(END.map(str::to_owned)), "{path}");
    }
    for path in ["/v2/categories", "/v2/categories/no-such-shelf", "/v1/products"] {
        assert_eq!(ends(&get(door, path).await.headers), None, "{path}");
    }

    let page = get(door, "/openapi.json").await.json().await;
    assert_eq!(deprecated(&page), ["/v1/categories", "/v1/categories/{category_id}"]);
    shop.platform.shutdown().await;
}

/// Every RPC that ends is answered as before, and says it in its metadata.
async fn grpc_says_when(both: Both) {
    let Both { mut old, mut new } = both;
    let listed = old.list_categories(v1::ListCategoriesRequest::default()).await.unwrap();
    assert_eq!(metadata(listed.metadata().clone()), Some(END.map(str::to_owned)));
    let refused = v1::GetCategoryRequest { category_id: uuid() };
    let refused = old.get_category(refused).await.unwrap_err();
    assert_eq!(why(&refused), (Code::NotFound, "CATEGORY_NOT_FOUND".to_owned()));
    assert_eq!(metadata(refused.metadata().clone()), Some(END.map(str::to_owned)));
    let products = old.list_products(v1::ListProductsRequest::default()).await.unwrap();
    assert_eq!(metadata(products.metadata().clone()), None);
    let listed = new.list_categories(v2::ListCategoriesRequest::default()).await.unwrap();
    assert_eq!(metadata(listed.metadata().clone()), None);
    let unknown = v2::GetCategoryRequest { slug: "no-such-shelf".to_owned() };
    let unknown = new.get_category(unknown).await.unwrap_err();
    assert_eq!(why(&unknown), (Code::NotFound, "CATEGORY_NOT_FOUND".to_owned()));
    assert_eq!(metadata(unknown.metadata().clone()), None);
}

fn why(status: &Status) -> (Code, String) {
    (status.code(), mesh_rpc::reason(status).unwrap_or_default())
}

fn metadata(metadata: tonic::metadata::MetadataMap) -> Option<[String; 2]> {
    ends(&metadata.into_headers())
}

/// What headers say of an end, if they do.
fn ends(headers: &HeaderMap) -> Option<[String; 2]> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    match (text("deprecation"), text("sunset")) {
        (Some(deprecation), Some(sunset)) => Some([deprecation, sunset]),
        (None, None) => None,
        other => panic!("one without the other: {other:?}"),
    }
}

async fn get(door: SocketAddr, path: &str) -> Answer {
    browse(door, Request::get(path).body(Bytes::new()).unwrap()).await.unwrap()
}

/// The paths that OpenAPI calls deprecated.
fn deprecated(page: &Value) -> Vec<&str> {
    let paths = page["paths"].as_object().unwrap().iter();
    let ends = paths.filter(|(_, place)| {
        place.as_object().unwrap().values().any(|operation| operation["deprecated"] == true)
    });
    let paths: BTreeSet<&str> = ends.map(|(path, _)| path.as_str()).collect();
    paths.into_iter().collect()
}
