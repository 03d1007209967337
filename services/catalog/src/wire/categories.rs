//! Requests about categories.

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid, page_token};
use shop::catalog::v1 as proto;
use uuid::Uuid;

use super::{PageOf, key, name, page, seen, timestamp};
use crate::{
    app::{CreateCategory, UpdateCategory},
    domain::{Category, Named, Slug},
};

pub(super) const LONGEST_NAME: usize = 100;

pub fn create_category(request: &proto::CreateCategoryRequest) -> Result<CreateCategory, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("request_id", &request.request_id);
    let slug = slug(&mut fields, &request.slug);
    let name = fields.text("name", &request.name, 1..=LONGEST_NAME);
    let slug = fields.finish(slug)?.expect("a slug is missing only with a violation");
    Ok(CreateCategory { id, slug, name, digest: digest(request) })
}

pub fn update_category(request: &proto::UpdateCategoryRequest) -> Result<UpdateCategory, Invalid> {
    let mut fields = Fields::default();
    let key = key(&mut fields, "UpdateCategory", &request.request_id);
    let id = fields.uuid("category_id", &request.category_id);
    let seen = seen(&mut fields, &request.etag);
    let name = fields.text("name", &request.name, 1..=LONGEST_NAME);
    fields.finish(UpdateCategory { key, digest: digest(request), named: Named::Id(id), seen, name })
}

pub fn get_category(request: &proto::GetCategoryRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let id = fields.uuid("category_id", &request.category_id);
    fields.finish(id)
}

pub fn list_categories(
    request: &proto::ListCategoriesRequest,
) -> Result<PageOf<Option<Slug>>, Invalid> {
    let mut fields = Fields::default();
    let list = name("ListCategories");
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
        category_id: category.id.to_string(),
        slug: category.slug.as_str().to_owned(),
        name: category.name.clone(),
        etag: category.version.to_string(),
        create_time: Some(timestamp(category.created)),
        update_time: Some(timestamp(category.updated)),
    }
}

/// Reads a category's name in addresses; none only with a violation.
pub(super) fn slug(fields: &mut Fields, text: &str) -> Option<Slug> {
    let slug = Slug::parse(text);
    if slug.is_none() {
        let right = "must be 1 to 60 of a-z, 0-9 and '-', with a letter or digit at both ends";
        fields.refuse("slug", "SLUG_MALFORMED", right);
    }
    slug
}
