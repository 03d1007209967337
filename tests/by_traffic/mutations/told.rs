//! Of which calls sidecars write lines.

use std::time::{Duration, Instant};

use mesh_testkit::eventually;
use meshctl::caller;

use crate::by_traffic::{
    authorization::DENIED,
    calls::{CHEAP, Line},
    lab::Lab,
};

/// Envoy writes them every ten seconds.
const WRITTEN: Duration = Duration::from_secs(12);
/// Nobody answers under this name.
const NOWHERE: &str = "shop.catalog.v1.CatalogService/Nowhere";

/// Whether of a call that goes well a line is written, or of one that fails none, by the sidecar of
/// whoever calls.
pub async fn badly(lab: &Lab) -> bool {
    let file = lab.home.logs().unwrap().join(format!("{}-sidecar.log", caller::NAME));
    let lines = |path: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| line.contains(path) && !line.contains(DENIED)).count()
    };
    let line = Line::to("catalog", lab.door());
    let (well, ill) = (lines(CHEAP), lines(NOWHERE));
    // The process that it leads to has only just come back.
    eventually("a call to go well", async || line.ask(CHEAP).await.is_ok()).await;
    assert_eq!(line.ask(NOWHERE).await.unwrap_err().code(), tonic::Code::Unimplemented);
    let begun = Instant::now();
    while begun.elapsed() < WRITTEN && lines(NOWHERE) == ill {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    lines(CHEAP) > well || lines(NOWHERE) == ill
}
