//! What was measured, and whether that is good enough.

use std::fmt;

use serde::Serialize;

use super::ways::{Round, Turn, Way};
use crate::bench::growth::median;
use crate::bench::rpc::{Ratio, Target};
use crate::demo::rounded;

/// The figures of a run, as `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each service that was asked, and number of callers.
    pub rows: Vec<Row>,
    /// What streams cost that are open.
    pub streams: Streams,
}

/// The service behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The catalog of a shop that runs.
    Catalog,
    /// One that does nothing but answer.
    AtOnce,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::Catalog => "catalog",
            Asked::AtOnce => "at once",
        })
    }
}

/// All ways to a service with so many callers.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The service that was asked.
    pub asked: Asked,
    /// Callers, each with one call under way.
    pub callers: usize,
    /// gRPC, at the service itself.
    pub direct: Figures,
    /// gRPC through the gateway.
    pub grpc: Figures,
    /// JSON through the gateway.
    pub json: Figures,
    /// JSON through Envoy's transcoder, if there was one.
    pub envoy: Option<Figures>,
    /// Requests per second by gRPC, as a share of the service's own.
    pub grpc_throughput: Ratio,
    /// Those by JSON.
    pub json_throughput: Ratio,
    /// Those by JSON, as a share of Envoy's.
    pub json_of_envoy: Option<Ratio>,
}

/// One way: the median of its rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Calls per second.
    pub rps: f64,
    /// Half of the calls took no longer, in microseconds.
    pub p50_us: f64,
    /// Of a hundred calls 99 took no longer, in microseconds.
    pub p99_us: f64,
}

/// What the gateway's process holds, resident.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Streams {
    /// Streams that were open at once.
    pub open: usize,
    /// Without any.
    pub idle_mib: f64,
    /// With all of them.
    pub rss_mib: f64,
    /// What one more costs.
    pub kib_per_stream: f64,
}

impl Report {
    /// The targets, as far as their number of callers and their ways were measured: of the shop's
    /// catalog, if it was asked, and else of the service that answers at once.
    pub fn targets(&self) -> Vec<Target> {
        const CALLERS: usize = 64;
        // The catalog comes first.
        let Some(row) = self.rows.iter().find(|row| row.callers == CALLERS) else {
            return Vec::new();
        };
        let target = |what, bound, ratio: &Ratio| {
            let value = ratio.median;
            Target { what, bound, value, reached: value >= bound }
        };
        let grpc = "of the service's own throughput by gRPC with 64 callers, at least";
        let json = "of Envoy's throughput by JSON with 64 callers, at least";
        let peer = row.json_of_envoy.as_ref().map(|ratio| target(json, 1.0, ratio));
        [target(grpc, 0.6, &row.grpc_throughput)].into_iter().chain(peer).collect()
    }
}

impl Row {
    /// Of turns in which the ways of the shop's own were all taken.
    pub(super) fn new(asked: Asked, callers: usize, turns: &[Turn]) -> Row {
        let all = |way| turns.iter().filter_map(|turn| turn.of(way)).collect::<Vec<_>>();
        let way = |way| {
            let rounds = all(way);
            let of = |figure: fn(&Round) -> f64| {
                rounded(median(&rounds.iter().map(figure).collect::<Vec<_>>()))
            };
            Figures { rps: of(|it| it.rps), p50_us: of(|it| it.p50_us), p99_us: of(|it| it.p99_us) }
        };
        // Of neighbours: the machine changes its speed meanwhile.
        let ratio = |one: Way, of: Way| {
            let pairs = turns.iter().filter_map(|turn| turn.of(one).zip(turn.of(of)));
            Ratio::new(pairs.map(|(one, of)| one.rps / of.rps).collect())
        };
        let has_peer = !all(Way::Envoy).is_empty();
        Row {
            asked,
            callers,
            direct: way(Way::Direct),
            grpc: way(Way::Grpc),
            json: way(Way::Json),
            envoy: has_peer.then(|| way(Way::Envoy)),
            grpc_throughput: ratio(Way::Grpc, Way::Direct),
            json_throughput: ratio(Way::Json, Way::Direct),
            json_of_envoy: has_peer.then(|| ratio(Way::Json, Way::Envoy)),
        }
    }
}

impl Streams {
    pub(super) fn new(open: usize, before_kib: u64, after_kib: u64) -> Streams {
        let mib = |kib: u64| rounded(kib as f64 / 1024.0);
        let more = after_kib.saturating_sub(before_kib) as f64;
        Streams {
            open,
            idle_mib: mib(before_kib),
            rss_mib: mib(after_kib),
            kib_per_stream: rounded(more / open.max(1) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [Way; 4] = [Way::Direct, Way::Grpc, Way::Json, Way::Envoy];

    /// Turns of a machine that halves its speed twice.
    fn turns(shares: &[f64]) -> Vec<Turn> {
        let round = |rps| Round { rps, p50_us: 5.0, p99_us: 9.0 };
        let turn = |rps| {
            let ways = WAYS.into_iter().zip(shares);
            Turn(ways.map(|(way, share)| (way, round(rps * share))).collect())
        };
        [100.0, 200.0, 400.0, 200.0, 100.0].map(turn).into()
    }

    fn reached(rows: Vec<Row>) -> Vec<bool> {
        let report = Report { rows, streams: Streams::new(10, 2048, 4096) };
        report.targets().iter().map(|it| it.reached).collect()
    }

    #[test]
    fn ratios_are_those_of_neighbours() {
        let row = Row::new(Asked::AtOnce, 64, &turns(&[1.0, 0.7, 0.5]));

        assert_eq!((row.grpc_throughput.median, row.json_throughput.median), (0.7, 0.5));
        assert_eq!((row.direct.rps, row.grpc.rps, row.json.rps), (200.0, 140.0, 100.0));
        assert!(row.envoy.is_none() && row.json_of_envoy.is_none());
        assert_eq!(reached(vec![row]), [true]);
        assert!(reached(vec![Row::new(Asked::AtOnce, 1, &turns(&[1.0, 0.7, 0.5]))]).is_empty());

        let row = Row::new(Asked::AtOnce, 64, &turns(&[1.0, 0.5, 0.5, 1.0]));
        assert_eq!(row.json_of_envoy.as_ref().map(|it| it.median), Some(0.5));
        assert_eq!(reached(vec![row]), [false, false]);
    }

    #[test]
    fn what_counts_is_a_real_service_if_one_was_asked() {
        let shop = Row::new(Asked::Catalog, 64, &turns(&[1.0, 0.7, 0.5]));
        let at_once = Row::new(Asked::AtOnce, 64, &turns(&[1.0, 0.4, 0.5]));

        assert_eq!(reached(vec![at_once.clone()]), [false]);
        assert_eq!(reached(vec![shop, at_once]), [true]);
    }

    #[test]
    fn a_stream_costs_what_is_more_than_without() {
        let streams = Streams::new(1000, 20 << 10, 30 << 10);
        assert_eq!((streams.idle_mib, streams.rss_mib, streams.kib_per_stream), (20.0, 30.0, 10.2));
    }
}
