//! Durations as people write them.

use std::time::Duration;

/// Reads `250ms`, `5s`, `2m`, `1h`; none if it is something else.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "us" => 0.000_001,
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    Duration::try_from_secs_f64(number * seconds_per_unit).ok()
}

/// Writes it with the largest unit that leaves a whole number.
pub(crate) fn text(duration: Duration) -> String {
    let micros = duration.as_micros();
    for (unit, name) in [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms")] {
        if micros >= unit && micros.is_multiple_of(unit) {
            return format!("{}{name}", micros / unit);
        }
    }
    if micros == 0 { "0s".to_owned() } else { format!("{micros}us") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for written in ["250us", "50ms", "1500ms", "2s", "90s", "5m", "1h", "0s"] {
            assert_eq!(text(parse(written).unwrap()), written);
        }
        assert_eq!(parse("0.5s"), Some(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for written in ["", "5", "s", "5 days", "-1s", "nans", "1e400s"] {
            assert_eq!(parse(written), None, "{written}");
        }
    }
}
