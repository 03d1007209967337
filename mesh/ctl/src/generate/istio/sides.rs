//! One user stays on one side: routes by the part of all users that the user of a call is in, as the
//! gateway says it (`x-user-bucket`, 00 to 99).

use mesh_rpc::USER_BUCKET;
use serde_json::{Value, json};

/// A route for each version's share of the users, like `all` but for where it leads. Whoever is no user
/// goes by `all` itself.
///
/// The last version has the first part, so that a share of it that grows adds users to it and takes none
/// away.
pub(super) fn of(
    weights: &[(String, u32)],
    all: &Value,
    destination: impl Fn(&str) -> Value,
) -> Vec<Value> {
    let shares: Vec<_> = weights.iter().rev().filter(|(_, weight)| *weight > 0).collect();
    if shares.len() < 2 {
        return Vec::new();
    }
    let mut begin = 0;
    let side = |(version, weight): &(String, u32)| {
        let users = buckets(begin, begin + weight);
        begin += weight;
        let mut route = all.clone();
        route["match"] = json!([{ "headers": { (USER_BUCKET.as_str()): { "regex": users } } }]);
        route["name"] = json!(format!("users-{version}"));
        route["route"] = json!([{ "destination": destination(version), "weight": 100 }]);
        route
    };
    shares.into_iter().map(side).collect()
}

/// What the two digits of the buckets from `begin` up to `end` match, and no others.
fn buckets(begin: u32, end: u32) -> String {
    // First and last of the tens that have the same ones.
    let mut tens: Vec<(u32, u32, [u32; 2])> = Vec::new();
    for ten in begin / 10..=(end - 1) / 10 {
        let ones = [begin.max(ten * 10) % 10, (end - 1).min(ten * 10 + 9) % 10];
        match tens.last_mut().filter(|(_, _, known)| *known == ones) {
            Some((_, last, _)) => *last = ten,
            None => tens.push((ten, ten, ones)),
        }
    }
    let parts = tens
        .into_iter()
        .map(|(first, last, [low, high])| format!("{}{}", digit(first, last), digit(low, high)));
    parts.collect::<Vec<_>>().join("|")
}

fn digit(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("[{first}-{last}]") }
}

#[cfg(test)]
mod tests {
    use super::buckets;

    /// Whether two digits are what a pattern of this kind means.
    fn fits(pattern: &str, bucket: u32) -> bool {
        let both = [bucket / 10, bucket % 10].map(|it| char::from_digit(it, 10).unwrap());
        pattern.split('|').any(|part| {
            let mut rest = part;
            both.iter().all(|digit| {
                let (class, after) = match rest.strip_prefix('[') {
                    Some(class) => class.split_once(']').unwrap(),
                    None => rest.split_at(1),
                };
                rest = after;
                let ends: Vec<char> = class.chars().filter(|it| *it != '-').collect();
                (ends[0]..=ends[ends.len() - 1]).contains(digit)
            }) && rest.is_empty()
        })
    }

    #[test]
    fn a_pattern_means_its_buckets_and_no_others() {
        assert_eq!(buckets(0, 1), "00");
        assert_eq!(buckets(5, 100), "0[5-9]|[1-9][0-9]");
        assert_eq!(buckets(25, 31), "2[5-9]|30");
        for begin in 0..100 {
            for end in begin + 1..=100 {
                let pattern = buckets(begin, end);
                assert!(pattern.split('|').count() <= 3, "{pattern}");
                for bucket in 0..100 {
                    let is_in = (begin..end).contains(&bucket);
                    assert_eq!(fits(&pattern, bucket), is_in, "{bucket} and {pattern}");
                }
            }
        }
    }
}
