//! Crash points: named places at which a test kills the process. Nothing in a release build.
//!
//! A point is armed by the environment (`CRASH_POINTS=ReserveStock:before_commit[,…]`) or by
//! `POST /crash?point=ReserveStock:before_commit` on the admin port, and fires once per arming.

/// Kills this process, as `kill -9` would, if `label:when` is armed.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_label: &str, _when: &str) {}

#[cfg(debug_assertions)]
pub use armed::{arm, point};

#[cfg(debug_assertions)]
mod armed {
    use std::{
        env, process,
        sync::{
            LazyLock, Mutex, PoisonError,
            atomic::{AtomicBool, Ordering},
        },
    };

    use rustix::process::{Signal, getpid, kill_process};

    static ANY: AtomicBool = AtomicBool::new(true);
    static POINTS: LazyLock<Mutex<Vec<String>>> = LazyLock::new(|| {
        let points = env::var("CRASH_POINTS").unwrap_or_default();
        let points = points.split(',').map(str::trim).filter(|point| !point.is_empty());
        Mutex::new(points.map(str::to_owned).collect())
    });

    /// Kills this process, as `kill -9` would, if `label:when` is armed.
    pub fn point(label: &str, when: &str) {
        if ANY.load(Ordering::Relaxed) && take(label, when) {
            tracing::warn!(label, when, "crash point reached");
            die();
        }
    }

    /// Arms `label:when` once.
    pub fn arm(point: &str) {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        points.push(point.to_owned());
        ANY.store(true, Ordering::Relaxed);
    }

    pub(super) fn take(label: &str, when: &str) -> bool {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let armed = points.iter().position(|point| {
            point.rsplit_once(':').is_some_and(|(name, time)| name == label && time == when)
        });
        if let Some(index) = armed {
            points.swap_remove(index);
        }
        ANY.store(!points.is_empty(), Ordering::Relaxed);
        armed.is_some()
    }

    fn die() -> ! {
        // Nothing that runs at a regular end may run here.
        let _ = kill_process(getpid(), Signal::KILL);
        process::abort()
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::{arm, take};

    #[test]
    fn a_point_fires_once_per_arming_and_only_where_it_was_armed() {
        arm("a::Label:before_commit");

        assert!(!take("a::Label", "after_commit"));
        assert!(!take("Label", "before_commit"));
        assert!(take("a::Label", "before_commit"));
        assert!(!take("a::Label", "before_commit"));
    }
}
