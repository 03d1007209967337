//! Why a request is not carried out, although it is well-formed.

use thiserror::Error;

/// A rule that a request breaks as things are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("there is no product {sku}")]
    ProductNotFound { sku: String },
    #[error("the product was changed by somebody else")]
    ProductChanged,
    #[error("the product is archived")]
    ProductArchived,
    #[error("another product has or had this SKU")]
    SkuTaken,
    #[error("there is no such category")]
    CategoryNotFound,
    /// In a request that names it by its slug.
    #[error("there is no such category")]
    SlugNotFound,
    /// In a request about a product.
    #[error("there is no such category")]
    CategoryUnknown,
    #[error("the category was changed by somebody else")]
    CategoryChanged,
    #[error("another category has this slug")]
    SlugTaken,
    #[error("this request_id was used for other content")]
    ContentDiffers,
}
