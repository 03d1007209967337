//! What Envoys have counted of calls to one version of a service.
//!
//! They are the sidecars of callers: each counts per subset what it has sent there and what came of it,
//! also where nobody answered. Istio's own Envoys count the same for Prometheus as `istio_requests_total`;
//! those of `cluster up` cannot, and every Envoy has these.

use std::time::Duration;

use crate::top::Metrics;

/// Statuses by which a call failed by the fault of whom it was made to: as objectives count.
const FAULTS: [u32; 6] = [2, 4, 12, 13, 14, 15];
/// gRPC has no others.
const STATUSES: u32 = 17;

/// Calls to one version, over some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Those that ended with a status.
    pub calls: u64,
    /// Of those, how many failed by its fault.
    pub failed: u64,
    /// Those whose callers would not wait any longer: they ended without a status.
    pub given_up: u64,
    /// How long those took that ended.
    pub times: Times,
}

impl Measured {
    /// Of the calls to this cluster of Envoy's what has been counted `since` some time, by its pages for
    /// Prometheus; `now` is the last of them as it is. Who `is_door` is called by HTTP as well, and fails
    /// by its statuses too.
    ///
    /// Envoy does not count calls that were given up: they have begun, have no status, and are not under
    /// way.
    pub fn of(since: &Metrics, now: &Metrics, cluster: &str, is_door: bool) -> Measured {
        let of = |page: &Metrics, name: &str, class: Option<&str>| {
            let found = page.sum(&format!("envoy_cluster_{name}"), "", |labels| {
                let class_of = labels.get("response_code_class").map(String::as_str);
                labels.get("cluster_name").is_some_and(|it| it == cluster) && class_of == class
            });
            found.unwrap_or_default() as u64
        };
        let sum = |name: &str, class: Option<&str>| of(since, name, class);
        let status = |status: u32| sum(&format!("grpc_{status}"), None);
        let faults: u64 = FAULTS.into_iter().map(status).sum();
        let (calls, failed) = match is_door {
            true => (sum("upstream_rq_completed", None), faults + sum("upstream_rq", Some("5xx"))),
            false => ((0..STATUSES).map(status).sum(), faults),
        };
        let begun = sum("upstream_rq_total", None);
        let given_up = begun.saturating_sub(calls + of(now, "upstream_rq_active", None));
        let times = since.buckets("envoy_cluster_upstream_rq_time", "", |labels| {
            labels.get("cluster_name").is_some_and(|it| it == cluster)
        });
        let times = times.counts().iter().map(|(bound, count)| (*bound, *count as u64)).collect();
        Measured { calls, failed, given_up, times: Times(times) }
    }

    /// These calls, with how long those of another time took.
    pub fn timed_as(self, other: Measured) -> Measured {
        Measured { given_up: other.given_up, times: other.times, ..self }
    }

    /// All that were made and are over.
    pub fn all(&self) -> u64 {
        self.calls + self.given_up
    }

    /// Of how many it is known how long they took: those that were given up took longer than anybody
    /// waits.
    pub fn timed(&self) -> u64 {
        self.times.all() + self.given_up
    }

    /// How many took longer than a bound of the histogram.
    pub fn slower_than(&self, bound: Duration) -> u64 {
        self.times.above(bound) + self.given_up
    }

    /// The lowest bound of the histogram that this share of calls kept; none if too few kept any.
    pub fn bound_of(&self, share: f64) -> Option<Duration> {
        let enough = (self.timed() as f64 * share).ceil() as u64;
        if enough == 0 {
            return None;
        }
        self.times.bounds().find(|(_, within)| *within >= enough).map(|(bound, _)| bound)
    }
}

/// How long calls took: upper bounds in milliseconds, each with how many kept it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times(Vec<(f64, u64)>);

impl Times {
    /// Of these counts.
    pub fn new(counts: Vec<(f64, u64)>) -> Times {
        Times(counts)
    }

    /// The lowest bound that is not below a time.
    pub fn bound_from(&self, least: Duration) -> Option<Duration> {
        self.bounds().map(|(bound, _)| bound).find(|bound| *bound >= least)
    }

    fn all(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    fn above(&self, limit: Duration) -> u64 {
        let within = self.bounds().take_while(|(bound, _)| *bound <= limit).last();
        self.all() - within.map_or(0, |(_, count)| count)
    }

    fn bounds(&self) -> impl Iterator<Item = (Duration, u64)> {
        let finite = self.0.iter().filter(|(bound, _)| bound.is_finite());
        finite.map(|(bound, count)| (Duration::from_secs_f64(bound / 1000.0), *count))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::generate::observe::FAULTS as NAMES;

    const PAGE: &str = r#"# TYPE envoy_cluster_grpc_0 counter
envoy_cluster_grpc_0{cluster_name="outbound|1|v2|a"} 90
envoy_cluster_grpc_0{cluster_name="outbound|1|v1|a"} 900
envoy_cluster_grpc_5{cluster_name="outbound|1|v2|a"} 6
envoy_cluster_grpc_13{cluster_name="outbound|1|v2|a"} 3
envoy_cluster_grpc_14{cluster_name="outbound|1|v2|a"} 1
envoy_cluster_upstream_rq_completed{cluster_name="outbound|1|v2|a"} 120
envoy_cluster_upstream_rq{response_code_class="5xx",cluster_name="outbound|1|v2|a"} 7
envoy_cluster_upstream_rq{response_code="503",cluster_name="outbound|1|v2|a"} 7
envoy_cluster_upstream_rq_tx_reset{cluster_name="outbound|1|v2|a"} 9
envoy_cluster_upstream_rq_total{cluster_name="outbound|1|v2|a"} 105
envoy_cluster_upstream_rq_active{cluster_name="outbound|1|v2|a"} 3
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|1|v2|a",le="0.5"} 10
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|1|v2|a",le="10"} 90
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|1|v2|a",le="25"} 98
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|1|v2|a",le="+Inf"} 100
"#;

    fn measured(version: &str, is_door: bool) -> Measured {
        let page = Metrics::parse(PAGE);
        Measured::of(&page, &page, &format!("outbound|1|{version}|a"), is_door)
    }

    #[test]
    fn calls_are_counted_by_version_and_refusals_are_answers() {
        let new = measured("v2", false);

        assert_eq!((new.calls, new.failed, new.given_up), (100, 4, 2));
        assert_eq!((new.all(), new.timed()), (102, 102));
        let old = measured("v1", false);
        assert_eq!((old.calls, old.failed, old.timed()), (900, 0, 0));
        let door = measured("v2", true);
        assert_eq!((door.calls, door.failed), (120, 11), "HTTP's failures are failures there");
    }

    #[test]
    fn what_was_given_up_is_slower_than_everything() {
        let new = measured("v2", false);
        let ms = Duration::from_millis;

        assert_eq!(new.slower_than(ms(10)), 12);
        assert_eq!(new.slower_than(ms(25)), 4);
        assert_eq!((new.bound_of(0.5), new.bound_of(0.9)), (Some(ms(10)), Some(ms(25))));
        assert_eq!(new.bound_of(0.99), None, "the slowest hundredth kept no bound");
        assert_eq!(new.times.bound_from(ms(11)), Some(ms(25)));
        assert_eq!(Measured::default().bound_of(0.99), None);
    }

    #[test]
    fn faults_are_those_that_objectives_count() {
        let names = FAULTS.map(|number| format!("{:?}", Code::from_i32(number.cast_signed())));
        let upper = |name: &str| name.to_ascii_uppercase().replace('_', "");

        let known: Vec<_> = NAMES.split('|').map(upper).collect();

        assert_eq!(names.map(|name| upper(&name)).to_vec(), known);
    }
}
