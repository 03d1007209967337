//! Orders as they are, and as they were.

use mesh_log::{Recorded, Subscription};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Orders};
use crate::{
    domain::{Order, OrderEvent},
    events,
    store::decode,
};

/// An order, and when it came to be what it is, by the database's clock.
#[derive(Clone, Debug)]
pub struct Shown {
    pub order: Order,
    pub created: OffsetDateTime,
    pub updated: OffsetDateTime,
}

/// An order that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub order: Uuid,
    /// Whose it has to be; anybody's if nobody is named.
    pub only_of: Option<Uuid>,
}

impl Wanted {
    /// Keeps an order of somebody else's from whoever asks: to them it is not there.
    pub fn check(&self, order: &Order) -> Result<(), Error> {
        match self.only_of {
            Some(user) if user != order.placement.customer => Err(Error::NotFound),
            _ => Ok(()),
        }
    }
}

/// Returns an order as it is, or as it was at a version.
pub async fn get_order(
    orders: &Orders,
    wanted: Wanted,
    version: Option<i32>,
) -> Result<Shown, Error> {
    let id = wanted.order;
    match version {
        Some(version) => order_at(orders, wanted, version).await,
        None => {
            let stored = orders.engine.streams().load(id).await?.ok_or(Error::NotFound)?;
            let kept = decode(id, stored.version, &stored.state).ok_or(Error::Unreadable)?;
            wanted.check(&kept.order)?;
            Ok(Shown { order: kept.order, created: stored.created_at, updated: stored.updated_at })
        }
    }
}

async fn order_at(orders: &Orders, wanted: Wanted, version: i32) -> Result<Shown, Error> {
    let mut story = Story::new(wanted);
    for chapter in story.go_on(orders).await? {
        if chapter.shown.order.version == version {
            return Ok(chapter.shown);
        }
    }
    Err(if story.version() == 0 {
        Error::NotFound
    } else {
        Error::VersionAhead { field: "as_of_version" }
    })
}

/// An order's events, read as they come.
pub struct Story {
    wanted: Wanted,
    now: Option<Shown>,
}

/// One event of an order, and the order after it.
pub struct Chapter {
    pub event: OrderEvent,
    /// Full name of the event's type, if it is public.
    pub kind: Option<String>,
    pub shown: Shown,
}

impl Story {
    /// The story of an order, from its beginning.
    pub fn new(wanted: Wanted) -> Self {
        Self { wanted, now: None }
    }

    /// Version of the order after what was read; 0 if nothing was.
    pub fn version(&self) -> i32 {
        self.now.as_ref().map_or(0, |shown| shown.order.version)
    }

    /// True if nothing can come any more.
    pub fn is_over(&self) -> bool {
        self.now.as_ref().is_some_and(|shown| shown.order.is_final())
    }

    /// Reads what has happened since the last time.
    pub async fn go_on(&mut self, orders: &Orders) -> Result<Vec<Chapter>, Error> {
        let recorded = orders.engine.streams().events(self.wanted.order, self.version()).await?;
        self.told(recorded)
    }

    /// The same of an order that is followed, which costs less.
    pub async fn follow(
        &mut self,
        orders: &Orders,
        stream: &Subscription,
    ) -> Result<Vec<Chapter>, Error> {
        let streams = orders.engine.streams();
        let recorded = streams.followed_events(stream, self.version()).await?;
        self.told(recorded)
    }

    fn told(&mut self, recorded: Vec<Recorded>) -> Result<Vec<Chapter>, Error> {
        let chapters = recorded.into_iter().map(|row| self.turn(row)).collect();
        self.now.as_ref().map_or(Ok(()), |shown| self.wanted.check(&shown.order))?;
        chapters
    }

    fn turn(&mut self, row: Recorded) -> Result<Chapter, Error> {
        let event = events::from_log(&row.kind, &row.body).ok_or(Error::Unreadable)?;
        let shown = match self.now.take() {
            Some(Shown { mut order, created, .. }) => {
                order.apply(&event);
                Shown { order, created, updated: row.at }
            }
            None => {
                let order =
                    Order::fold(self.wanted.order, [event.clone()]).ok_or(Error::Unreadable)?;
                Shown { order, created: row.at, updated: row.at }
            }
        };
        self.now = Some(shown.clone());
        Ok(Chapter { kind: events::public_name(&event), event, shown })
    }
}
