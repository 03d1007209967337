use futures::future::join_all;
use mesh_log::Database;

use super::{Error, Guard, StockDesk};
use crate::{
    domain::{Change, Command},
    store,
};

/// How many holds end at once.
const LIMIT: i64 = 256;

/// Ends holds that are over by the database's clock; returns true if more may be waiting.
///
/// Several replicas may do this at once: a hold ends once.
pub async fn expire_holds(db: &Database, desk: &StockDesk) -> Result<bool, Error> {
    let mut connection = db.pool().acquire().await?;
    let due = store::due_reservations(&mut connection, LIMIT).await?;
    drop(connection);

    let more = i64::try_from(due.len()).is_ok_and(|count| count == LIMIT);
    let expire = |reservation| {
        desk.submit(Command::Change { reservation, change: Change::Expire }, Guard::Itself)
    };
    for ended in join_all(due.into_iter().map(expire)).await {
        ended?;
    }
    Ok(more)
}
