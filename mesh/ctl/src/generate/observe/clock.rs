//! How long the windows of rules are.

use std::time::Duration;

/// The windows of rules, as they are or shorter.
///
/// An alert that looks back over an hour cannot be seen to fire by somebody who has a minute. With
/// a faster clock the same rules look back over seconds; names and thresholds stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    divisor: u32,
    shortest: Duration,
}

impl Clock {
    /// Windows as people mean them.
    pub const REAL: Clock = Clock { divisor: 1, shortest: Duration::ZERO };

    /// Windows `divisor` times as short, but never shorter than `shortest`, which is some scrapes.
    pub fn faster(divisor: u32, shortest: Duration) -> Clock {
        Clock { divisor: divisor.max(1), shortest }
    }

    /// A window as rules write it.
    pub(super) fn window(&self, window: Duration) -> String {
        shown((window / self.divisor).max(self.shortest))
    }
}

/// `5m`, `1h`, `30d`: in the largest unit that it is a whole number of.
pub(super) fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let whole = units.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Duration, shown};

    #[test]
    fn windows_keep_their_names_or_are_some_scrapes_long() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(Clock::REAL.window(hours(72)), "3d");
        assert_eq!(Clock::REAL.window(hours(6)), "6h");
        let faster = Clock::faster(720, Duration::from_secs(4));
        assert_eq!(faster.window(hours(6)), "30s");
        assert_eq!(faster.window(Duration::from_secs(300)), "4s");
        assert_eq!(shown(Duration::from_millis(90_500)), "90500ms");
    }
}
