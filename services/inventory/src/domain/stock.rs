use super::{Line, Sku};

/// A place where pieces can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Where all pieces come from, and go back to; holds the negative of what was received.
    Supplier,
    OnHand,
    Reserved,
    Committed,
    Shipped,
    Lost,
}

impl Bucket {
    /// The name that the database and auditors know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Supplier => "supplier",
            Self::OnHand => "on_hand",
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Shipped => "shipped",
            Self::Lost => "lost",
        }
    }

    /// The bucket that the database calls so.
    pub fn parse(name: &str) -> Option<Self> {
        use Bucket::{Committed, Lost, OnHand, Reserved, Shipped, Supplier};
        [Supplier, OnHand, Reserved, Committed, Shipped, Lost]
            .into_iter()
            .find(|bucket| bucket.as_str() == name)
    }
}

/// Where the pieces of one SKU are. The buckets always sum to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    pub sku: Sku,
    /// Grows by one with every movement; 0 if nothing was ever delivered.
    pub version: i32,
    pub supplier: i64,
    pub on_hand: i64,
    pub reserved: i64,
    pub committed: i64,
    pub shipped: i64,
    pub lost: i64,
    /// From how many pieces on hand downwards it counts as low; 0 if nobody wants to be warned.
    pub threshold: i64,
    /// How often the threshold changed.
    pub threshold_version: i32,
    /// How much was announced about it.
    pub told: i32,
}

/// A threshold that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub sku: Sku,
    pub threshold: i64,
    /// How often the threshold of the SKU changed.
    pub version: i32,
}

impl Stock {
    /// A SKU of which nothing was ever delivered.
    pub fn empty(sku: Sku) -> Self {
        Self {
            sku,
            version: 0,
            supplier: 0,
            on_hand: 0,
            reserved: 0,
            committed: 0,
            shipped: 0,
            lost: 0,
            threshold: 0,
            threshold_version: 0,
            told: 0,
        }
    }

    /// False until the first delivery.
    pub fn is_known(&self) -> bool {
        self.version > 0
    }

    /// All that suppliers ever delivered and that was found, less what went back.
    pub fn received(&self) -> i64 {
        -self.supplier
    }

    pub fn quantity(&self, bucket: Bucket) -> i64 {
        match bucket {
            Bucket::Supplier => self.supplier,
            Bucket::OnHand => self.on_hand,
            Bucket::Reserved => self.reserved,
            Bucket::Committed => self.committed,
            Bucket::Shipped => self.shipped,
            Bucket::Lost => self.lost,
        }
    }

    /// True if a bucket holds what a line asks for.
    pub fn covers(&self, bucket: Bucket, line: &Line) -> bool {
        self.quantity(bucket) >= line.quantity
    }

    /// Moves pieces from one bucket to another; what one loses the other gains.
    pub(super) fn shift(&mut self, from: Bucket, to: Bucket, quantity: i64) {
        *self.slot(from) -= quantity;
        *self.slot(to) += quantity;
        self.version += 1;
    }

    fn slot(&mut self, bucket: Bucket) -> &mut i64 {
        match bucket {
            Bucket::Supplier => &mut self.supplier,
            Bucket::OnHand => &mut self.on_hand,
            Bucket::Reserved => &mut self.reserved,
            Bucket::Committed => &mut self.committed,
            Bucket::Shipped => &mut self.shipped,
            Bucket::Lost => &mut self.lost,
        }
    }
}
