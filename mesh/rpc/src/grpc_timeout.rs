//! The `grpc-timeout` header.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// At most eight digits.
const MAX: u128 = 99_999_999;

/// Reads the header. A malformed one counts as none, as it does for every gRPC server.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Writes the header in the finest unit that fits, rounded down.
pub(crate) fn write(headers: &mut HeaderMap, timeout: Duration) {
    let (number, unit) = match timeout.as_micros() {
        micros @ 0..=MAX => (micros, b'u'),
        micros if micros / 1_000 <= MAX => (micros / 1_000, b'm'),
        micros => ((micros / 1_000_000).min(MAX), b'S'),
    };
    let mut value = value(number as u32, unit);
    // No secret, but different each time: such a value stays out of HPACK's table (RFC 7541 §7.1.3).
    value.set_sensitive(true);
    headers.insert(GRPC_TIMEOUT, value);
}

/// Of at most eight digits. By hand, because each call writes one.
fn value(mut number: u32, unit: u8) -> HeaderValue {
    let mut text = [b'0'; 9];
    let mut from = text.len() - 1;
    text[from] = unit;
    loop {
        from -= 1;
        text[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return HeaderValue::from_bytes(&text[from..]).expect("digits and a letter");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(timeout: Duration) -> String {
        let mut headers = HeaderMap::new();
        write(&mut headers, timeout);
        headers[GRPC_TIMEOUT].to_str().unwrap().to_owned()
    }

    fn parsed(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static(text));
        read(&headers)
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits_and_is_rounded_down() {
        assert_eq!(written(Duration::ZERO), "0u");
        assert_eq!(written(Duration::from_nanos(1_999)), "1u");
        assert_eq!(written(Duration::from_micros(99_999_999)), "99999999u");
        assert_eq!(written(Duration::from_micros(100_000_999)), "100000m");
        assert_eq!(written(Duration::from_secs(100_000)), "100000S");
        assert_eq!(written(Duration::MAX), "99999999S");
    }

    #[test]
    fn a_malformed_timeout_counts_as_none() {
        assert_eq!(parsed("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parsed("1H"), Some(Duration::from_secs(3600)));
        for text in ["", "5", "m", "+5m", "-5m", "123456789m", "5x", "5.5S"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
