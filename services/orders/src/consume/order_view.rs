//! The list of orders follows the log.

use std::collections::BTreeMap;

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{LogRow, View, ViewError};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::OrderEvent,
    events,
    store::{self, Turn},
};

/// Feeds `order_view`.
pub struct OrderView;

impl View for OrderView {
    const NAME: &'static str = "order_view";

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        rows: &'c [LogRow],
    ) -> BoxFuture<'c, Result<(), ViewError>> {
        async move {
            let turns = turns(rows)?;
            match store::add(tx, &turns).await? {
                0 => Ok(()),
                gaps => Err(ViewError::Broken(format!(
                    "{gaps} orders are not at the version that their next event follows"
                ))),
            }
        }
        .boxed()
    }
}

/// What the rows tell, order by order.
fn turns(rows: &[LogRow]) -> Result<Vec<Turn>, ViewError> {
    let mut turns: BTreeMap<Uuid, Turn> = BTreeMap::new();
    for row in rows {
        let event = events::from_log(&row.kind, &row.body);
        let event = event.ok_or_else(|| unknown(row))?;
        let turn = turns.entry(row.key).or_insert_with(|| Turn {
            order: row.key,
            placed: None,
            state: None,
            parked: None,
            versions: (row.version - 1, row.version),
            updated: row.at,
        });
        turn.state = event.state().or(turn.state);
        turn.parked = event.parks().or(turn.parked);
        turn.versions.1 = row.version;
        turn.updated = row.at;
        if let OrderEvent::Placed(placement) = event {
            turn.placed = Some((placement, row.at));
        }
    }
    Ok(turns.into_values().collect())
}

fn unknown(row: &LogRow) -> ViewError {
    let LogRow { kind, key, version, .. } = row;
    ViewError::Broken(format!("cannot read {kind}, event {version} of order {key}"))
}
