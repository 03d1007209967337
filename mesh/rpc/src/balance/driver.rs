//! Keeps one endpoint connected, and its breaker's clock.

use std::{pin::pin, sync::Arc, time::Duration};

use mesh_policy::values;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    connection::{self, End},
    endpoint::Endpoint,
    pool::Pool,
};

/// A connection that ends sooner than this is no better than none.
const SHORT_LIFE: Duration = Duration::from_millis(5);
/// One that breaks within this time is likely to break again.
const STABLE_LIFE: Duration = Duration::from_secs(1);
const GROWTH: f64 = 1.6;
/// HTTP/2's ENHANCE_YOUR_CALM: pings came too often (gRFC A8).
const CALM: u32 = 0xb;

/// Runs until the endpoint is removed. Calls under way outlive it.
pub(super) async fn run(pool: Arc<Pool>, endpoint: Arc<Endpoint>) {
    let removed = endpoint.removed.clone();
    let connect = pin!(connect_for_ever(&pool, &endpoint));
    let watch = pin!(watch_breaker(&pool, &endpoint));
    tokio::select! {
        () = removed.cancelled() => {}
        () = connect => {}
        () = watch => {}
    }
    pool.parted(&endpoint);
}

async fn connect_for_ever(pool: &Pool, endpoint: &Endpoint) {
    let mut failures = 0;
    let mut aged = false;
    let mut calm = 1;
    loop {
        let values = pool.values().connection;
        pool.connecting(endpoint);
        let opened =
            connection::open(&*pool.connect, endpoint.address, &values, values.ping * calm).await;
        let begin = Instant::now();
        match opened {
            Ok(opened) => {
                pool.connected(endpoint, Arc::clone(&opened.link), !aged);
                let end = opened.ended().await;
                pool.disconnected(endpoint, end);
                calm = if end == End::GoAway(CALM) { (calm * 2).min(64) } else { calm };
                // An orderly end is followed at once by the next connection.
                let least = if end == End::Lost { STABLE_LIFE } else { SHORT_LIFE };
                failures = if begin.elapsed() >= least { 0 } else { failures + 1 };
                aged = failures == 0 && end != End::Lost;
            }
            Err(error) => {
                pool.unreachable(endpoint, error);
                failures += 1;
                aged = false;
            }
        }
        if failures > 0 {
            let pause = backoff(failures, &values).mul_f64(pool.jitter());
            tokio::select! {
                () = sleep(pause) => {}
                () = endpoint.kick.notified() => {}
            }
        }
    }
}

/// The pause after so many failures (gRPC's connection backoff, with a first pause for neighbours).
fn backoff(failures: i32, values: &values::Connection) -> Duration {
    let factor = GROWTH.powi((failures - 1).min(64));
    let pause = values.first_backoff.as_secs_f64() * factor;
    Duration::from_secs_f64(pause.min(values.max_backoff.as_secs_f64()))
}

/// Ends windows and impatience with probes when their time has come.
async fn watch_breaker(pool: &Pool, endpoint: &Endpoint) {
    loop {
        let next = endpoint.breaker().next_event();
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => pool.tick(endpoint),
            () = endpoint.breaker_changed.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let values = values::Connection::default();

        assert_eq!(backoff(1, &values), Duration::from_millis(100));
        assert_eq!(backoff(3, &values), Duration::from_millis(256));
        assert_eq!(backoff(i32::MAX, &values), values.max_backoff);
    }
}
