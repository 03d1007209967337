//! Requests of `shop.catalog.v2`: about the same categories, by their slugs.

use mesh_log::requests::{Key, digest};
use mesh_rpc::{Fields, Invalid, page_token};
use shop::catalog::v2 as proto;

use super::{
    PageOf,
    categories::{LONGEST_NAME, slug},
    page, seen, timestamp,
};
use crate::{
    app::{CreateCategory, UpdateCategory},
    domain::{Category, Named, Slug},
};

const MISSING: &str = "a slug is missing only with a violation";

pub fn create_category(request: &proto::CreateCategoryRequest) -> Result<CreateCategory, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let slug = slug(&mut fields, &request.slug);
    let name = fields.text("name", &request.name, 1..=LONGEST_NAME);
    let slug = fields.finish(slug)?.expect(MISSING);
    Ok(CreateCategory { id, slug, name, digest: digest(request) })
}

pub fn update_category(request: &proto::UpdateCategoryRequest) -> Result<UpdateCategory, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let slug = slug(&mut fields, &request.slug);
    let seen = seen(&mut fields, &request.etag);
    let name = fields.text("name", &request.name, 1..=LONGEST_NAME);
    let slug = fields.finish(slug)?.expect(MISSING);
    let key = Key::new(&method("UpdateCategory"), "", request_id);
    Ok(UpdateCategory { key, digest: digest(request), named: Named::Slug(slug), seen, name })
}

pub fn get_category(request: &proto::GetCategoryRequest) -> Result<Slug, Invalid> {
    let mut fields = Fields::default();
    let slug = slug(&mut fields, &request.slug);
    Ok(fields.finish(slug)?.expect(MISSING))
}

pub fn list_categories(
    request: &proto::ListCategoriesRequest,
) -> Result<PageOf<Option<Slug>>, Invalid> {
    let mut fields = Fields::default();
    let list = method("ListCategories");
    let part = (request.page_size, request.page_token.as_str());
    let (after, size) = page(&mut fields, &list, part, Slug::parse);
    fields.finish(PageOf { list, query: after, size })
}

/// The answer to a list; `more` says that the list goes on after these.
pub fn categories_page(
    asked: &PageOf<Option<Slug>>,
    categories: &[Category],
    more: bool,
) -> proto::ListCategoriesResponse {
    let last = categories.last().filter(|_| more);
    let token = last.map(|last| page_token(&asked.list, last.slug.as_str()));
    proto::ListCategoriesResponse {
        categories: categories.iter().map(category).collect(),
        next_page_token: token.unwrap_or_default(),
    }
}

pub fn category(category: &Category) -> proto::Category {
    proto::Category {
        slug: category.slug.as_str().to_owned(),
        name: category.name.clone(),
        category_id: category.id.to_string(),
        etag: category.version.to_string(),
        create_time: Some(timestamp(category.created)),
        update_time: Some(timestamp(category.updated)),
    }
}

fn method(name: &str) -> String {
    format!("shop.catalog.v2.CategoriesService/{name}")
}
