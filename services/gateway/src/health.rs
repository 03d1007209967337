//! How the services are, for people and for monitors. The gateway's own readiness rests on none of it:
//! while one service is away the others are still reached.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::StatusCode;
use mesh_rpc::{Channel, timeout_request};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long an answer is given again: who asks more often does not make the services work more.
const FRESH: Duration = Duration::from_millis(500);

/// Asks services how they are.
#[derive(Debug)]
pub(crate) struct Health {
    services: Vec<(String, Channel)>,
    limit: Duration,
    last: Mutex<Option<(Instant, Arc<Report>)>>,
}

/// How all services are.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// How one service, or all of them, are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Healthy,
    /// It answers, but took more than half of the time that it has; or some do not.
    Degraded,
    Unhealthy,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// All services together: unhealthy when none is left that answers.
    fn of_all(states: &[Self]) -> Self {
        if states.iter().all(|state| *state == Self::Healthy) {
            Self::Healthy
        } else if states.iter().all(|state| *state == Self::Unhealthy) {
            Self::Unhealthy
        } else {
            Self::Degraded
        }
    }
}

impl Health {
    pub(crate) fn new(services: Vec<(String, Channel)>, limit: Duration) -> Self {
        Self { services, limit, last: Mutex::new(None) }
    }

    /// How all of them are, now or a moment ago. Those who ask at once share one answer.
    pub(crate) async fn report(&self) -> Arc<Report> {
        let mut last = self.last.lock().await;
        if let Some((when, report)) = &*last
            && when.elapsed() < FRESH
        {
            return Arc::clone(report);
        }
        let report = Arc::new(self.ask().await);
        *last = Some((Instant::now(), Arc::clone(&report)));
        report
    }

    async fn ask(&self) -> Report {
        let checks = self.services.iter().map(|(_, channel)| check(channel, self.limit));
        let checks = join_all(checks).await;
        let states: Vec<State> = checks.iter().map(|(state, ..)| *state).collect();
        let all = State::of_all(&states);
        let mut services = Map::new();
        for ((name, _), (state, took, why)) in self.services.iter().zip(checks) {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let mut service = json!({ "status": state.as_str(), "response_ms": ms });
            if let Some(why) = why {
                service["why"] = json!(why);
            }
            services.insert(name.clone(), service);
        }
        let status = match all {
            State::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        };
        Report { status, body: json!({ "status": all.as_str(), "services": services }) }
    }
}

async fn check(channel: &Channel, limit: Duration) -> (State, Duration, Option<&'static str>) {
    let begun = Instant::now();
    let request = timeout_request(HealthCheckRequest { service: String::new() }, limit);
    let answer = HealthClient::new(channel.clone()).check(request).await;
    let took = begun.elapsed();
    let (state, why) = match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) if took * 2 <= limit => (State::Healthy, None),
        Ok(ServingStatus::Serving) => (State::Degraded, Some("slow")),
        Ok(_) => (State::Unhealthy, Some("not ready")),
        Err(status) if status.code() == tonic::Code::DeadlineExceeded => {
            (State::Unhealthy, Some("no answer in time"))
        }
        Err(_) => (State::Unhealthy, Some("not reached")),
    };
    (state, took, why)
}

#[cfg(test)]
mod tests {
    use super::State::{self, *};

    #[test]
    fn all_are_unhealthy_only_when_none_is_left() {
        assert_eq!(State::of_all(&[Healthy, Healthy]), Healthy);
        assert_eq!(State::of_all(&[Healthy, Unhealthy]), Degraded);
        assert_eq!(State::of_all(&[Healthy, Degraded]), Degraded);
        assert_eq!(State::of_all(&[Degraded, Unhealthy]), Degraded);
        assert_eq!(State::of_all(&[Unhealthy, Unhealthy]), Unhealthy);
    }
}
