//! The first attempt of a call: its span is made when a second one begins. Until then the call's span
//! tells all that there is to tell.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tonic::Code;
use tracing::{Span, field::Empty};

use super::telemetry::tell;

/// How far the first attempt of a sampled call has come.
#[derive(Debug, Default)]
pub(super) struct First(Mutex<Stage>);

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Alone,
    Ended(Ended),
    Followed,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Ended {
    /// The call's span.
    pub(super) call: Span,
    pub(super) target: String,
    pub(super) took: Duration,
    pub(super) at: SystemTime,
    pub(super) code: Code,
}

impl First {
    /// Notes that another attempt begins.
    pub(super) fn followed(&self) {
        let before = std::mem::replace(&mut *self.stage(), Stage::Followed);
        if let Stage::Ended(ended) = before {
            ended.tell();
        }
    }

    /// Notes that it has ended: as a hedged one, while another may be under way.
    pub(super) fn ended(&self, ended: Ended) {
        let mut stage = self.stage();
        match *stage {
            Stage::Followed => {
                drop(stage);
                ended.tell();
            }
            Stage::Alone | Stage::Ended(_) => *stage = Stage::Ended(ended),
        }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ended {
    /// Makes its span, with the times that it had.
    fn tell(&self) {
        let begun = self.at.checked_sub(self.took).unwrap_or(self.at);
        let span = tracing::error_span!(
            parent: &self.call,
            "rpc.attempt",
            otel.name = "attempt",
            otel.kind = "client",
            otel.status_code = Empty,
            otel.start = nanoseconds(begun),
            otel.end = nanoseconds(self.at),
            attempt = 1_u32,
            server.name = self.target,
            rpc.response.status_code = Empty,
        );
        tell(&span, self.code);
    }
}

/// Since 1970.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
