//! Which endpoint is worse than the others.

use mesh_policy::values;

/// Deviations below this are no deviations: among perfect ones a single failure is not an outlier.
const MIN_DEVIATION: f64 = 0.05;

/// What one endpoint answered within an interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl Tally {
    fn success(self) -> f64 {
        1.0 - f64::from(self.failures) / f64::from(self.calls)
    }
}

/// Returns the indexes of the outliers by success rate (gRFC A50), worst first.
///
/// An endpoint is measured by the mean and deviation of the *others*. A50 includes it, and then
/// none of `n` can lie more than `√(n−1)` deviations below: with fewer than five, 1.9 never fires.
/// One that was found no longer hides the next.
pub(super) fn find(tallies: &[Tally], values: &values::Outlier) -> Vec<usize> {
    let mut rates: Vec<_> = tallies
        .iter()
        .enumerate()
        .filter(|(_, tally)| tally.calls >= values.min_calls.max(1))
        .map(|(index, tally)| (tally.success(), index))
        .collect();
    if rates.len() < values.min_hosts.max(2) {
        return Vec::new();
    }
    rates.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    let is_outlier = |rest: &[(f64, usize)]| match rest {
        [(worst, _), others @ ..] if !others.is_empty() => *worst < threshold(others, values),
        _ => false,
    };
    let count = (0..rates.len()).take_while(|from| is_outlier(&rates[*from..])).count();
    rates[..count].iter().map(|(_, index)| *index).collect()
}

/// The success rate below which one is not like these.
fn threshold(others: &[(f64, usize)], values: &values::Outlier) -> f64 {
    let count = others.len() as f64;
    let mean = others.iter().map(|(rate, _)| rate).sum::<f64>() / count;
    let squares = others.iter().map(|(rate, _)| (rate - mean).powi(2)).sum::<f64>();
    mean - values.deviations * (squares / count).sqrt().max(MIN_DEVIATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(failures: &[u32]) -> Vec<Tally> {
        failures.iter().map(|&failures| Tally { calls: 100, failures }).collect()
    }

    #[test]
    fn one_of_three_that_fails_more_than_the_others_is_found() {
        let values = values::Outlier::default();

        assert_eq!(find(&tallies(&[1, 30, 0]), &values), [1]);
        assert_eq!(find(&tallies(&[0, 100, 60, 0, 0, 1, 0, 2]), &values), [1, 2], "worst first");
    }

    #[test]
    fn equals_few_hosts_and_few_calls_have_no_outlier() {
        let values = values::Outlier::default();

        assert!(find(&tallies(&[50, 52, 48]), &values).is_empty(), "all equally bad");
        assert!(find(&tallies(&[0, 5, 0, 1]), &values).is_empty(), "hardly worse");
        assert!(find(&tallies(&[0, 100]), &values).is_empty(), "two: which is right?");
        assert_eq!(find(&tallies(&[0, 100, 100, 1]), &values).len(), 0, "half of them");
        let mut few = tallies(&[0, 0, 0]);
        few.push(Tally { calls: 19, failures: 19 });
        assert!(find(&few, &values).is_empty(), "too few calls");
    }
}
