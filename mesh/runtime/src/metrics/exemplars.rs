//! Exemplars: which trace to look at for a bucket of a histogram. Of each bucket the latest
//! measurement that was made in a sampled trace is kept, as OpenTelemetry's SDK for Rust does for none.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use super::SECONDS;
use crate::trace::TraceContext;

static SERIES: LazyLock<Mutex<HashMap<Name, Arc<Series>>>> = LazyLock::new(Mutex::default);

/// A histogram's name and its labels in order, both as Prometheus writes them.
type Name = (String, Vec<(String, String)>);

/// One measurement, and where it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) seconds: f64,
    pub(crate) place: TraceContext,
    /// Since 1970.
    pub(crate) nanos: u64,
}

/// The exemplars of one series. Takes no room until there is one.
#[derive(Debug, Default)]
pub(super) struct Series(Mutex<Vec<Option<Exemplar>>>);

/// The series of a histogram of seconds that has these labels.
pub(super) fn series<'a>(
    histogram: &str,
    labels: impl IntoIterator<Item = (&'a str, String)>,
) -> Arc<Series> {
    Arc::clone(all().entry(name(histogram, labels)).or_default())
}

/// What [`series`] has kept of it, the exemplars of its buckets from the lowest on.
pub(crate) fn of<'a>(
    histogram: &str,
    labels: impl IntoIterator<Item = (&'a str, String)>,
) -> Vec<Exemplar> {
    let name = name(histogram, labels);
    let series = all().get(&name).cloned();
    series.map(|series| series.lock().iter().flatten().copied().collect()).unwrap_or_default()
}

/// The bucket that a measurement is counted in: bounds belong to the bucket below.
pub(super) fn bucket(seconds: f64) -> usize {
    SECONDS.partition_point(|bound| *bound < seconds)
}

impl Series {
    pub(super) fn keep(&self, seconds: f64, place: TraceContext) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let mut buckets = self.lock();
        buckets.resize(SECONDS.len() + 1, None);
        buckets[bucket(seconds)] = Some(Exemplar { seconds, place, nanos });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Exemplar>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all() -> MutexGuard<'static, HashMap<Name, Arc<Series>>> {
    SERIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// OpenTelemetry's names and Prometheus' come to the same.
fn name<'a>(histogram: &str, labels: impl IntoIterator<Item = (&'a str, String)>) -> Name {
    let mut labels: Vec<_> =
        labels.into_iter().map(|(key, value)| (underscored(key), value)).collect();
    labels.sort();
    let histogram = histogram.strip_suffix("_seconds").unwrap_or(histogram);
    (underscored(histogram), labels)
}

fn underscored(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(span_id: u64) -> TraceContext {
        TraceContext { trace_id: 7, span_id, sampled: true }
    }

    #[test]
    fn each_bucket_has_the_latest_one() {
        let labels = || [("rpc.method", "A/B".to_owned()), ("a", "1".to_owned())];
        let series = series("test.exemplars", labels());
        series.keep(0.003, place(1));
        series.keep(0.004, place(2));
        series.keep(120.0, place(3));

        let turned = [("a", "1".to_owned()), ("rpc_method", "A/B".to_owned())];
        let kept = of("test_exemplars_seconds", turned);
        assert_eq!(kept.iter().map(|it| it.place.span_id).collect::<Vec<_>>(), [2, 3]);
        assert!(kept.iter().all(|it| it.nanos > 0));
        assert_eq!(of("test.exemplars", [("a", "2".to_owned())]), []);
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        assert_eq!(bucket(0.0), 0);
        assert_eq!(bucket(SECONDS[0]), 0);
        assert_eq!(bucket(SECONDS[0] + 1e-9), 1);
        assert_eq!(bucket(SECONDS[15]), 15);
        assert_eq!(bucket(SECONDS[15] + 1.0), 16);
    }
}
