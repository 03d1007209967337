//! What was measured, and whether that is good enough.

use serde::Serialize;

use super::Round;
use crate::bench::growth::median;
use crate::bench::rpc::{Ratio, Target};
use crate::demo::rounded;

/// The place of the peer among the ways.
const ENVOY: usize = 3;

/// The figures of a run, as `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each number of callers.
    pub rows: Vec<Row>,
    /// What streams cost that are open.
    pub streams: Streams,
}

/// All ways with so many callers.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
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
    /// The targets, as far as their number of callers and their ways were measured.
    pub fn targets(&self) -> Vec<Target> {
        const CALLERS: usize = 64;
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
    /// Of rounds of the three ways that followed each other, and of Envoy as a fourth.
    pub(super) fn new(callers: usize, rounds: &[Vec<Round>]) -> Row {
        let way = |which: usize| {
            let of = |figure: fn(&Round) -> f64| {
                rounded(median(&rounds.iter().map(|it| figure(&it[which])).collect::<Vec<_>>()))
            };
            Figures { rps: of(|it| it.rps), p50_us: of(|it| it.p50_us), p99_us: of(|it| it.p99_us) }
        };
        let ratio = |which: usize, of: usize| {
            Ratio::new(rounds.iter().map(|it| it[which].rps / it[of].rps).collect())
        };
        let has_peer = rounds.iter().all(|it| it.len() > ENVOY);
        Row {
            callers,
            direct: way(0),
            grpc: way(1),
            json: way(2),
            envoy: has_peer.then(|| way(ENVOY)),
            grpc_throughput: ratio(1, 0),
            json_throughput: ratio(2, 0),
            json_of_envoy: has_peer.then(|| ratio(2, ENVOY)),
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

    fn round(rps: f64) -> Round {
        Round { rps, p50_us: 5.0, p99_us: 9.0 }
    }

    #[test]
    fn ratios_are_those_of_neighbours() {
        // The machine halves its speed twice.
        let speeds = [100.0, 200.0, 400.0, 200.0, 100.0];
        let rounds = speeds.map(|rps| vec![round(rps), round(rps * 0.7), round(rps * 0.5)]);
        let row = Row::new(64, &rounds);

        assert_eq!((row.grpc_throughput.median, row.json_throughput.median), (0.7, 0.5));
        assert_eq!((row.direct.rps, row.grpc.rps, row.json.rps), (200.0, 140.0, 100.0));
        assert!(row.envoy.is_none() && row.json_of_envoy.is_none());
        let report = |row| Report { rows: vec![row], streams: Streams::new(10, 2048, 4096) };
        let reached = |row| report(row).targets().iter().map(|it| it.reached).collect::<Vec<_>>();
        assert_eq!(reached(row), [true]);
        assert!(reached(Row::new(1, &rounds)).is_empty());

        let beside = speeds.map(|rps| vec![rps, rps * 0.5, rps * 0.5, rps]);
        let row = Row::new(64, &beside.map(|it| it.into_iter().map(round).collect()));
        assert_eq!(row.json_of_envoy.as_ref().map(|it| it.median), Some(0.5));
        assert_eq!(reached(row), [false, false]);
    }

    #[test]
    fn a_stream_costs_what_is_more_than_without() {
        let streams = Streams::new(1000, 20 << 10, 30 << 10);
        assert_eq!((streams.idle_mib, streams.rss_mib, streams.kib_per_stream), (20.0, 30.0, 10.2));
    }
}
