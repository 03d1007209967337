use time::OffsetDateTime;
use uuid::Uuid;

use super::{Bucket, Digest, Line};

/// What has become of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Reserved,
    Expired,
    Committed,
    Released,
    Restocked,
    Shipped,
    Lost,
}

impl State {
    /// Where the pieces of a reservation in this state are.
    pub fn bucket(self) -> Bucket {
        match self {
            Self::Reserved => Bucket::Reserved,
            Self::Committed => Bucket::Committed,
            Self::Shipped => Bucket::Shipped,
            Self::Lost => Bucket::Lost,
            Self::Expired | Self::Released | Self::Restocked => Bucket::OnHand,
        }
    }

    /// The name that the database knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Expired => "expired",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Restocked => "restocked",
            Self::Shipped => "shipped",
            Self::Lost => "lost",
        }
    }

    /// The state that the database calls so.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Reserved,
            Self::Expired,
            Self::Committed,
            Self::Released,
            Self::Restocked,
            Self::Shipped,
            Self::Lost,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
    }
}

/// Pieces held for one order, or the mark of one that was given up before it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub id: Uuid,
    /// What made it; `None` on a mark, which nobody asked to reserve yet.
    pub origin: Option<Origin>,
    /// By SKU; none on a mark.
    pub lines: Vec<Line>,
    pub created_at: OffsetDateTime,
    /// Every state it ever had, the current one last; never empty. Its answers at any version
    /// are rebuilt from here.
    pub states: Vec<State>,
}

/// The request that made a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub order_id: Uuid,
    pub digest: Digest,
    /// Never changes, so a hold that was once due stays due.
    pub expires_at: OffsetDateTime,
}

impl Reservation {
    pub fn state(&self) -> State {
        *self.states.last().expect("a reservation has at least one state")
    }

    /// How often its state changed, its making included.
    pub fn version(&self) -> i32 {
        i32::try_from(self.states.len()).expect("no path through the states is that long")
    }

    /// What it was at an earlier version.
    pub fn at(&self, version: i32) -> Self {
        let states = usize::try_from(version).map_or(1, |version| version.max(1));
        let mut then = self.clone();
        then.states.truncate(states);
        then
    }

    pub fn order_id(&self) -> Option<Uuid> {
        self.origin.as_ref().map(|origin| origin.order_id)
    }
}
