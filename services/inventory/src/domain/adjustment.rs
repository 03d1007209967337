use std::ops::RangeInclusive;

use uuid::Uuid;

use super::{Bucket, Digest, MAX_QUANTITY, Sku, Stock};

/// Why the books are brought in line with the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustmentReason {
    Counted,
    Damaged,
    Found,
    ReturnedToSupplier,
}

impl AdjustmentReason {
    const ALL: [Self; 4] = [Self::Counted, Self::Damaged, Self::Found, Self::ReturnedToSupplier];

    /// The name that the database knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Damaged => "damaged",
            Self::Found => "found",
            Self::ReturnedToSupplier => "returned_to_supplier",
        }
    }

    /// The reason that the database calls so.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// How many pieces may come to the shelf, or leave it if negative, for this reason; never 0.
    pub fn range(self) -> RangeInclusive<i64> {
        match self {
            Self::Counted => -MAX_QUANTITY..=MAX_QUANTITY,
            Self::Found => 1..=MAX_QUANTITY,
            Self::Damaged | Self::ReturnedToSupplier => -MAX_QUANTITY..=-1,
        }
    }

    /// Where pieces go that leave the shelf for this reason. What comes to it comes from outside.
    pub fn sink(self) -> Bucket {
        match self {
            Self::ReturnedToSupplier => Bucket::Supplier,
            Self::Counted | Self::Damaged | Self::Found => Bucket::Lost,
        }
    }
}

/// The books are to be brought in line with the shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjust {
    pub id: Uuid,
    pub digest: Digest,
    pub sku: Sku,
    /// Within the range of the reason, and not 0.
    pub quantity: i64,
    pub reason: AdjustmentReason,
    pub note: String,
}

/// A correction of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub id: Uuid,
    pub digest: Digest,
    pub quantity: i64,
    pub reason: AdjustmentReason,
    pub note: String,
    /// The stock right after it.
    pub stock: Stock,
}
