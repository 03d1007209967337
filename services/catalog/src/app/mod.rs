//! What callers may ask for.

mod categories;
mod products;
mod reads;

use mesh_log::SubmitError;

pub use categories::{CreateCategory, UpdateCategory, create_category, update_category};
pub use products::{
    ArchiveProduct, CreateProduct, UpdateProduct, archive_product, create_product, update_product,
};
pub use reads::{
    Found, Reading, batch_get_products, get_product, list_categories, list_products,
    search_products,
};

use crate::domain::Refusal;

/// Why a use case did not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}
