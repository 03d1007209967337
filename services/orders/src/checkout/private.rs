//! Personal data of the orders that this process is at work on, so that a step need not read it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mesh_log::Pool;
use uuid::Uuid;

use crate::store::{Private, get_private};

/// How many orders are remembered; others are read from the table.
const ORDERS: usize = 4096;
/// How long an order is remembered at most, for instance one that another replica has taken over.
const MEMORY: Duration = Duration::from_secs(600);

type Orders = HashMap<Uuid, (Instant, Private)>;

/// Remembers what PlaceOrder brought, until it is needed no more. Cheap to clone.
#[derive(Clone)]
pub struct PrivateCache {
    pool: Pool,
    orders: Arc<Mutex<Orders>>,
}

impl PrivateCache {
    pub fn new(pool: Pool) -> Self {
        Self { pool, orders: Arc::default() }
    }

    /// Remembers the data of an order that was just placed here.
    pub fn keep(&self, order: Uuid, private: Private) {
        let mut orders = self.lock();
        if orders.len() >= ORDERS {
            orders.retain(|_, (since, _)| since.elapsed() < MEMORY);
        }
        if orders.len() < ORDERS {
            orders.insert(order, (Instant::now(), private));
        }
    }

    pub fn forget(&self, order: Uuid) {
        self.lock().remove(&order);
    }

    /// The data of an order; empty where it was deleted.
    pub async fn get(&self, order: Uuid) -> sqlx::Result<Private> {
        let known = self.lock().get(&order).map(|(_, private)| private.clone());
        match known {
            Some(private) => Ok(private),
            None => get_private(&self.pool, order).await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
