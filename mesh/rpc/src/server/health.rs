//! `grpc.health.v1.Health`: the same as the admin port says.

use mesh_runtime::Service;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

/// Returns the health server; a background task keeps it true.
pub(super) async fn server(
    service: &Service,
    names: &[&'static str],
) -> HealthServer<impl Health + use<>> {
    let (reporter, server) = tonic_health::server::health_reporter();
    // Whoever can be asked is alive.
    reporter.set_service_status("liveness", ServingStatus::Serving).await;
    let mut names = names.to_vec();
    names.extend(["", "readiness"]);

    let mut readiness = service.health().watch();
    let ready = readiness.borrow_and_update().ready;
    report(&reporter, &names, ready).await;
    let stopped = service.stopped();
    service.spawn("health", async move {
        let follow = async {
            while readiness.changed().await.is_ok() {
                let ready = readiness.borrow_and_update().ready;
                report(&reporter, &names, ready).await;
            }
        };
        stopped.run_until_cancelled(follow).await;
    });
    server
}

async fn report(reporter: &HealthReporter, names: &[&'static str], ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}
